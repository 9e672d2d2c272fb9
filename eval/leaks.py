"""What flatters an evaluation: copies among queries and references, and photos and classes that were trained on."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.neighbours import Neighbours

SIMILAR_VECTOR = 0.995
"""The cosine from which on two photos count as near copies for the embedder."""

SIMILAR_PICTURE = 3
"""The bits, of the 64 of ``eval.images.picture_hash``, in which near copies may differ."""

TRAINED_ON, CLASS_TRAINED_ON, PICTURE_HASH = "trained_on", "class_trained_on", "picture_hash"
"""Columns of a table: whether the embedder was trained on the photo, whether on its class, and what it looks like."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Leaks:
    """How many queries are flattered, and by what; None where the tables do not say.

    Attributes:
        queries: how many there are in all.
        same_photo: those with a reference that has their id, besides themselves.
        similar_vector: those with another photo among their nearest references of at least ``SIMILAR_VECTOR``.
        similar_picture: those with another photo among their nearest references that looks the same, by its hash.
        repeated_rows: rows of either set that are there already, as several processes that fill up their last batch
            leave them.
        trained_on: those that the embedder was trained on.
        class_trained_on: those of a class that the embedder was trained on, by its name.
        pairs: query and reference, by path or else id, of the first near copies, as examples.
    """

    queries: int
    same_photo: int
    similar_vector: int
    similar_picture: int | None
    repeated_rows: int
    trained_on: int | None
    class_trained_on: int | None
    pairs: list[tuple[str, str]]

    @property
    def protocol(self) -> str:
        """The name of the protocol, by the classes that were trained on."""
        if self.class_trained_on is None:
            return "unknown"
        return {0: "zero-shot", self.queries: "closed-set"}.get(self.class_trained_on, "neither")

    def warnings(self) -> list[str]:
        """What a reader of the numbers must know, a sentence each."""
        texts = {
            "same_photo": "are themselves among the references: too easy for them",
            "similar_picture": "have a reference that looks the same: too easy for them",
            "similar_vector": f"have a reference with a cosine of {SIMILAR_VECTOR} or more: near copies, or collapse",
            "trained_on": "are photos that the embedder was trained on: too easy for it",
        }
        found = [f"{getattr(self, name)} of {self.queries} queries {text}" for name, text in texts.items()]
        found = [text for name, text in zip(texts, found, strict=True) if getattr(self, name)]
        if self.repeated_rows:
            found.append(f"{self.repeated_rows} rows are there twice, as padding for several processes leaves them")
        if self.protocol == "neither":
            share = f"{self.class_trained_on} of {self.queries}"
            found.append(f"{share} queries are of classes that were trained on: neither zero-shot nor closed-set")
        if self.pairs:
            found.append("such as " + "; ".join(f"{query} and {reference}" for query, reference in self.pairs))
        return found


def find_leaks(
    queries: EmbeddingSet, references: EmbeddingSet | None, rows: Rows, nearest: Neighbours, examples: int = 3
) -> Leaks:
    """Look for what flatters some of the queries.

    Args:
        queries: what was searched for.
        references: what was searched in; none for a set that searched itself.
        rows: ``[Q]``, the rows of the queries that were measured.
        nearest: the nearest references of all queries; near copies are looked for among them, where they must be.
        examples: how many pairs to name.
    """
    targets = queries if references is None else references
    ids, target_ids = np.array(queries.ids, object)[rows], np.array(targets.ids, object)
    found, similarities = nearest.rows[rows], nearest.similarities[rows]
    others = (found >= 0) & (target_ids[found] != ids[:, None])
    vector = others & (similarities >= SIMILAR_VECTOR)
    picture = _similar_pictures(queries, targets, rows, found)
    copies = vector if picture is None else vector | (picture & others)
    return Leaks(
        queries=len(rows),
        same_photo=_same_photo(ids, target_ids, references is None),
        similar_vector=int(vector.any(axis=1).sum()),
        similar_picture=None if picture is None else int((picture & others).any(axis=1).sum()),
        repeated_rows=sum(map(_repeated, (queries,) if references is None else (queries, references))),
        trained_on=_count(queries, TRAINED_ON, rows),
        class_trained_on=_count(queries, CLASS_TRAINED_ON, rows),
        pairs=_pairs(queries, targets, rows, found, copies, examples),
    )


def _same_photo(ids: NDArray[np.object_], target_ids: NDArray[np.object_], itself: bool) -> int:
    """How many of some ids are found among others, or more than once among themselves."""
    names, counts = np.unique(target_ids.astype(str), return_counts=True)
    places = np.minimum(np.searchsorted(names, ids.astype(str)), len(names) - 1)
    return int(((names[places] == ids.astype(str)) & (counts[places] > itself)).sum())


def _similar_pictures(
    queries: EmbeddingSet, targets: EmbeddingSet, rows: Rows, found: Rows
) -> NDArray[np.bool_] | None:
    """Which of the references found ``[Q, k]`` look like the query; none where a table does not say."""
    if any(PICTURE_HASH not in one.table.column_names for one in (queries, targets)):
        return None
    hashes, target_hashes = (one.table[PICTURE_HASH] for one in (queries, targets))
    known, target_known = (column.is_valid().to_numpy() for column in (hashes, target_hashes))
    bits, target_bits = (column.fill_null(0).to_numpy() for column in (hashes, target_hashes))
    differing = np.bitwise_count(bits[rows][:, None] ^ target_bits[found])
    return (found >= 0) & known[rows][:, None] & target_known[found] & (differing <= SIMILAR_PICTURE)


def _repeated(one: EmbeddingSet) -> int:
    """How many rows have the id, path and label of an earlier row."""
    return len(one) - len(set(zip(one.ids, one.paths, one.labels, strict=True)))


def _count(queries: EmbeddingSet, column: str, rows: Rows) -> int | None:
    """For how many of some rows a column is true; none where it is missing or not known for all of them."""
    if column not in queries.table.column_names:
        return None
    known = queries.table[column].take(pa.array(rows))
    return None if known.null_count else known.to_pylist().count(True)


def _pairs(
    queries: EmbeddingSet, targets: EmbeddingSet, rows: Rows, found: Rows, copies: NDArray[np.bool_], examples: int
) -> list[tuple[str, str]]:
    """The first near copies by name, each pair once."""
    pairs: dict[tuple[str, str], None] = {}
    for place, column in zip(*np.nonzero(copies), strict=True):
        if len(pairs) == examples:
            break
        query, reference = rows[place], found[place, column]
        pair = queries.paths[query] or queries.ids[query], targets.paths[reference] or targets.ids[reference]
        if pair[::-1] not in pairs:
            pairs[pair] = None
    return list(pairs)
