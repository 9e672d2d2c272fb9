"""Vectors in Milvus: for more references than one machine holds.

The index folder stays what it is but for its vectors. These are the entities of a collection, whose primary key is the
row, with the id of the photo beside it. A row is given once in a collection's life, so entities are never changed, and
whoever has an older generation open finds in it what he has always found: he searches the rows of his generation
without those that were deleted by then. What a writer that died has left lies beyond them.

Whatever comes from Milvus is held against the folder: a row that is missing, or is another photo's, is an error.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.errors import InputError
from eval.neighbours import Neighbours, nearest
from eval.rows import taken
from index.candidates import NEIGHBOURS
from index.manifest import Collection, Search
from index.milvus_client import ADDRESS, SECONDS, connect, milvus_errors
from index.vectors import SPARE, Found, Rows, nearest_with_ties

MESSAGE = 16 << 20
"""Bytes of one message; Milvus takes four times that."""

MOST = 16_384
"""Neighbours that Milvus finds for a query at most."""

LARGEST = {"ef": 32_768, "nprobe": 4096}
"""What the parameters that the effort of a search grows with may be at most."""

LONG = 64
"""Deleted rows in a stretch that are named by the first and the last of them."""


class MilvusVectors:
    """The vectors of an index that are in Milvus, which is asked at the first need; see ``index.vectors.Vectors``.

    Args:
        collection: where they are.
        dimension: length D of a vector.
        ids: the photo of each row.
        deleted: rows that are no longer references, ascending.
    """

    def __init__(self, collection: Collection, dimension: int, ids: pa.ChunkedArray, deleted: Rows) -> None:
        self._collection, self._dimension, self._ids, self._deleted = collection, dimension, ids, deleted
        self._kept = np.ones(len(ids), bool)
        self._kept[deleted] = False
        self._conditions: dict[int, str] = {}

    @cached_property
    def _client(self) -> Any:
        """A connection, by which the collection and the last row have been found to be there."""
        client, collection = connect(self._collection.address), self._collection
        with milvus_errors(collection):
            described = client.describe_collection(collection.name)["fields"]
            fields = {one["name"]: int(one["params"].get("dim", 0)) for one in described}
            if fields != {"row": 0, "id": 0, "vector": self._dimension}:
                raise self._strange(f"its fields are {fields}")
            client.load_collection(collection.name)
            self._fetch(client, np.array([len(self._ids) - 1]))
        return client

    def candidates(self, queries: NDArray[np.float32], k: int, first: int = 0) -> Rows:
        """Rows ``[Q, C]`` that hold the k nearest of each query, among those from a row on."""

        def search(some: NDArray[np.float32], wanted: int) -> Found:
            if self._collection.index != "FLAT" or wanted > MOST:
                return self._by_blocks(some, wanted, first)
            similarities, rows = self.nearest(some, wanted, first=first)
            if (rows < 0).any():
                raise self._strange("it lacks rows")
            return similarities, rows

        return nearest_with_ties(search, queries, k, int(self._kept[first:].sum()))

    def nearest(
        self, queries: NDArray[np.float32], wanted: int, parameters: dict[str, int] | None = None, first: int = 0
    ) -> Found:
        """What Milvus calls the nearest references of each query.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            wanted: how many; at most ``MOST``.
            parameters: the effort, by Milvus's name.
            first: the row from which on references are searched.

        Returns:
            Similarities, with the rounding of float32, and rows ``[Q, wanted]``; -inf and -1 where there are fewer.
        """
        found = Neighbours.none(len(queries), wanted)
        at_once = max(1, min(1000, MESSAGE // (4 * self._dimension + 32 * wanted)))
        client = self._client
        for start in range(0, len(queries), at_once):
            with milvus_errors(self._collection):
                hits = client.search(
                    self._collection.name,
                    data=queries[start : start + at_once],
                    anns_field="vector",
                    limit=wanted,
                    filter=self._condition(first),
                    output_fields=["row"],
                    search_params={"metric_type": "IP", "params": parameters or {}},
                    timeout=SECONDS,
                )
            for place, near in enumerate(hits, start):
                found.rows[place, : len(near)] = [hit.id for hit in near]
                found.similarities[place, : len(near)] = [hit.distance for hit in near]
        return found.similarities, found.rows

    def at(self, rows: Rows) -> NDArray[np.float32]:
        """The vectors ``[C, D]`` of some rows, not to be written to; deleted rows have theirs.

        Raises:
            InputError: they are not in the collection, or those of other photos are.
        """
        wanted, places = np.unique(rows, return_inverse=True)
        at_once = rows_at_once(self._dimension)
        parts = [self._fetch(self._client, wanted[start : start + at_once]) for start in range(0, len(wanted), at_once)]
        return np.concatenate([*parts, np.empty((0, self._dimension), np.float32)])[places]

    def _fetch(self, client: Any, rows: Rows) -> NDArray[np.float32]:
        """The vectors of a few rows, which ascend."""
        with milvus_errors(self._collection):
            found = client.query(
                self._collection.name,
                filter=f"row in {rows.tolist()}",
                output_fields=["row", "id", "vector"],
                timeout=SECONDS,
            )
        by_row = {one["row"]: one for one in found}
        for row, name in zip(rows.tolist(), taken(self._ids, rows).to_pylist(), strict=True):
            if row not in by_row:
                raise self._strange(f"it lacks the row {row}")
            if by_row[row]["id"] != name:
                raise self._strange(f"its row {row} is the photo {by_row[row]['id']} instead of {name}")
        return np.array([by_row[row]["vector"] for row in rows.tolist()], np.float32)

    def _by_blocks(self, queries: NDArray[np.float32], wanted: int, first: int) -> Found:
        """The nearest of each query, by reading every vector."""
        best = Neighbours.none(len(queries), wanted)
        there = first + np.flatnonzero(self._kept[first:])
        at_once = rows_at_once(self._dimension)
        for start in range(0, len(there), at_once):
            block = there[start : start + at_once]
            found = nearest(queries, self.at(block), wanted)
            rows = np.hstack([best.rows, np.where(found.rows < 0, -1, block[found.rows])])
            similarities = np.hstack([best.similarities, found.similarities])
            order = np.lexsort((rows, -similarities))[:, :wanted]
            best = Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(similarities, order, 1))
        return best.similarities, best.rows

    def _condition(self, first: int) -> str:
        """What Milvus is to search: the rows from one on, without the deleted ones."""
        if first not in self._conditions:
            deleted = self._deleted[self._deleted >= first]
            stretches = np.split(deleted, np.flatnonzero(np.diff(deleted) > 1) + 1)
            terms = [f"row >= {first}", f"row < {len(self._ids)}"]
            terms += [f"not (row >= {one[0]} and row <= {one[-1]})" for one in stretches if len(one) >= LONG]
            if few := [int(row) for one in stretches if len(one) < LONG for row in one]:
                terms.append(f"row not in {few}")
            self._conditions[first] = " and ".join(terms)
        return self._conditions[first]

    def _strange(self, reason: str) -> InputError:
        """The error for a collection that does not hold what the folder says."""
        return InputError(
            f"the collection {self._collection.name} at {self._collection.address} is not what this index needs: "
            f"{reason}; was it written to from a copy of the folder? Name the right address in {ADDRESS}, or build the "
            "index again"
        )


class MilvusSearch:
    """Proposes candidates by an index of Milvus's that does not compare everything; see ``index.vectors.Proposals``.

    Args:
        vectors: where they are.
        search: what the manifest says about it.
        count: how many references there are.
    """

    def __init__(self, vectors: MilvusVectors, search: Search, count: int) -> None:
        self._vectors, self._parameters, self._count = vectors, search.parameters, count

    def candidates(self, queries: NDArray[np.float32], k: int) -> tuple[Rows, NDArray[np.bool_]]:
        """Rows ``[Q, C]`` among which the k nearest are likely to be, and which queries ``[Q]`` have fewer than k.

        For more neighbours than the effort was tuned for, it grows with them.
        """
        wanted = min(k + SPARE, self._count, MOST)
        growth = max(1.0, k / NEIGHBOURS)
        grown = {name: min(LARGEST[name], math.ceil(value * growth)) for name, value in self._parameters.items()}
        _, rows = self._vectors.nearest(queries, wanted, grown)
        return rows, (rows >= 0).sum(axis=1) < min(k, self._count)


def rows_at_once(dimension: int) -> int:
    """How many entities fit into one message."""
    return max(1, min(MOST, MESSAGE // (4 * dimension + 100)))
