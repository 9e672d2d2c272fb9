"""References as arrays, and some of them searched for among all."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.embeddings import PICTURE_HASH
from eval.groups import first_rows, group_codes, independent
from eval.neighbours import Neighbours, nearest, nearest_in_blocks

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class References:
    """What is known of some references, which are numbered from 0 on.

    Attributes:
        rows: ``[N]``, their rows in the index or catalog, ascending.
        vectors: ``[N, D]`` float32, of unit length.
        codes: ``[N]``, their labels as numbers from 0 on.
        names: the label of each number.
        groups: ``[N]``, the same for photos of one individual or burst.
        ids: ``[N]``, the same for one photo.
        pictures: ``[N]`` uint64, what they look like, by ``eval.images.picture_hash``.
        pictured: ``[N]``, whether that is known.
    """

    rows: Rows
    vectors: NDArray[np.float32]
    codes: Rows
    names: list[str]
    groups: Rows
    ids: Rows
    pictures: NDArray[np.uint64]
    pictured: Mask

    @classmethod
    def made(cls, rows: Rows, vectors: NDArray[np.float32], labels: list[str], table: pa.Table) -> "References":
        """The same from parts; ``table`` has ``id`` and, where they are known, ``group`` and ``picture_hash``."""
        names, codes = np.unique(labels, return_inverse=True)
        known = PICTURE_HASH in table.column_names
        pictures = table[PICTURE_HASH] if known else pa.nulls(len(table), pa.uint64())
        return cls(
            rows=rows,
            vectors=vectors,
            codes=codes,
            names=names.tolist(),
            groups=group_codes(table, shared_ids=True),
            ids=first_rows(table["id"]),
            pictures=pictures.fill_null(0).to_numpy(),
            pictured=np.asarray(pictures.is_valid()),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def independent(self) -> Rows:
        """How many groups each class has ``[C]``."""
        return independent(self.codes, self.groups)

    def drawn(self, sample: int, seed: int) -> Rows:
        """Up to ``sample`` of them, in whole classes; where every class is larger, the smallest one.

        0 stands for all.
        """
        if not 0 < sample < len(self):
            return np.arange(len(self))
        sizes = np.bincount(self.codes)
        chosen, room = [], sample
        for code in np.random.default_rng(seed).permutation(len(sizes)):
            if sizes[code] <= room:
                chosen.append(code)
                room -= sizes[code]
        return np.flatnonzero(np.isin(self.codes, chosen or [sizes.argmin()]))

    def search(self, queries: Rows, k: int) -> tuple[Neighbours, Neighbours]:
        """Search for some of them among all, in blocks.

        Args:
            queries: ``[Q]``, ascending.
            k: neighbours a query.

        Returns:
            The ``k`` nearest others, and the ``k`` nearest that show another photo of another group: ``[Q, k]``
            numbers, -1 where there are fewer, or fewer columns where there are fewer references.
        """
        itself = len(queries) == len(self)
        wanted = np.minimum(k + (_sizes(self.groups) + _sizes(self.ids))[queries], len(self))
        every, voters = [], []
        start = 0
        vectors = self.vectors if itself else self.vectors[queries]
        for found in nearest_in_blocks(vectors, None if itself else self.vectors, wanted):
            own = queries[start : start + len(found.rows), None]
            other = (self.groups[found.rows] != self.groups[own]) & (self.ids[found.rows] != self.ids[own])
            every.append(_first(found, found.rows != own, k))
            voters.append(_first(found, other, k))
            start += len(found.rows)
        return Neighbours.joined(every), Neighbours.joined(voters)

    def nearest_of_own(self, queries: Rows) -> Neighbours:
        """Of each of some references the nearest other one of its class and of another group: ``[Q, 1]``, likewise."""
        own = Neighbours.none(len(queries), 1)
        for code in np.unique(self.codes[queries]):
            places, others = np.flatnonzero(self.codes[queries] == code), np.flatnonzero(self.codes == code)
            some = queries[places]
            most = int(_sizes(self.groups[others]).max()) + 1
            found = nearest(self.vectors[some], self.vectors[others], most)
            found = Neighbours(np.where(found.rows >= 0, others[found.rows], -1), found.similarities)
            found = _first(found, self.groups[found.rows] != self.groups[some, None], 1)
            own.rows[places], own.similarities[places] = found.rows, found.similarities
        return own


def split(values: Rows, codes: Rows) -> Iterator[Rows]:
    """The values of each number, from 0 on, in the order that they stand in."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    for start, end in zip(ends - np.bincount(codes), ends, strict=True):
        yield values[order[start:end]]


def _first(found: Neighbours, wanted: Mask, k: int) -> Neighbours:
    """The first ``k`` of each query's neighbours that are ``wanted``, which says nothing where there is none."""
    order = np.argsort(~wanted, axis=1, kind="stable")[:, :k]
    rows, similarities = np.where(wanted, found.rows, -1), np.where(wanted, found.similarities, np.float32(-np.inf))
    return Neighbours(np.take_along_axis(rows, order, 1), np.take_along_axis(similarities, order, 1))


def _sizes(codes: Rows) -> Rows:
    """Of each ``[N]``, how many have the same number."""
    return np.bincount(codes)[codes]
