"""What flatters an evaluation: copies among queries and references, and photos and classes that were trained on."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.neighbours import Neighbours, nearest

SIMILAR_VECTOR = 0.995
"""The cosine from which on two photos count as near copies for the embedder."""

SIMILAR_PICTURE = 3
"""The bits, of the 64 of ``eval.images.picture_hash``, in which near copies may differ."""

MOST_COMPARED = 50_000
"""References up to which all are compared with each other; that takes 10 s on two cores."""

TRAINED_ON, CLASS_TRAINED_ON, PICTURE_HASH = "trained_on", "class_trained_on", "picture_hash"
"""Columns of a table: whether the embedder was trained on the photo, whether on its class, and what it looks like."""

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Leaks:
    """How many queries are flattered, and by what; None where the tables do not say.

    Attributes:
        queries: how many there are in all.
        same_photo: those with a reference that has their id, besides themselves.
        similar_vector: those with another photo among their nearest references of at least ``SIMILAR_VECTOR``.
        similar_picture: those with another photo among their nearest references that looks the same, by its hash.
        copies_among_references: references that have a copy among the other references, exact or near; None beyond
            ``MOST_COMPARED`` of them.
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
    copies_among_references: int | None
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
        if self.copies_among_references:
            found.append(f"{self.copies_among_references} references have a copy among the others: each counts twice")
        if self.repeated_rows:
            found.append(f"{self.repeated_rows} rows are there twice, as padding for several processes leaves them")
        if self.protocol == "neither":
            share = f"{self.class_trained_on} of {self.queries}"
            found.append(f"{share} queries are of classes that were trained on: neither zero-shot nor closed-set")
        if self.pairs:
            found.append("such as " + "; ".join(f"{query} and {reference}" for query, reference in self.pairs))
        return found


def find_leaks(
    queries: EmbeddingSet, references: EmbeddingSet | None, rows: Rows, found: Neighbours, examples: int = 3
) -> Leaks:
    """Look for what flatters some of the queries.

    Args:
        queries: what was searched for.
        references: what was searched in; none for a set that searched itself.
        rows: ``[Q]``, the rows of the queries that were measured.
        found: the nearest references of all queries; near copies are looked for among them, where they must be.
        examples: how many pairs to name.
    """
    targets = queries if references is None else references
    measured = Neighbours(found.rows[rows], found.similarities[rows])
    same, vector, picture = _copies(queries, targets, rows, measured)
    copies = vector if picture is None else vector | picture
    return Leaks(
        queries=len(rows),
        same_photo=int(same.sum()),
        similar_vector=int(vector.any(axis=1).sum()),
        similar_picture=None if picture is None else int(picture.any(axis=1).sum()),
        copies_among_references=_copies_among(targets, found if references is None else None),
        repeated_rows=sum(map(_repeated, (queries,) if references is None else (queries, references))),
        trained_on=_count(queries, TRAINED_ON, rows),
        class_trained_on=_count(queries, CLASS_TRAINED_ON, rows),
        pairs=_pairs(queries, targets, rows, measured.rows, copies, examples),
    )


def _copies(
    queries: EmbeddingSet, targets: EmbeddingSet, rows: Rows, found: Neighbours
) -> tuple[Mask, Mask, Mask | None]:
    """For some queries, which have the same photo among all references ``[Q]``; and which of the references found
    ``[Q, k]`` are near copies of another photo by vector, and by picture (none where a table does not say).
    """
    ids, target_ids = (np.array(one.ids) for one in (queries, targets))
    names, counts = np.unique(target_ids, return_counts=True)
    places = np.minimum(np.searchsorted(names, ids[rows]), len(names) - 1)
    same = (names[places] == ids[rows]) & (counts[places] > (queries is targets))
    others = (found.rows >= 0) & (target_ids[found.rows] != ids[rows][:, None])
    vector = others & (found.similarities >= SIMILAR_VECTOR)
    if any(PICTURE_HASH not in one.table.column_names for one in (queries, targets)):
        return same, vector, None
    hashes, target_hashes = (one.table[PICTURE_HASH] for one in (queries, targets))
    known, target_known = (column.is_valid().to_numpy() for column in (hashes, target_hashes))
    bits, target_bits = (column.fill_null(0).to_numpy() for column in (hashes, target_hashes))
    alike = np.bitwise_count(bits[rows][:, None] ^ target_bits[found.rows]) <= SIMILAR_PICTURE
    return same, vector, others & alike & known[rows][:, None] & target_known[found.rows]


def _copies_among(references: EmbeddingSet, found: Neighbours | None) -> int | None:
    """How many references have a copy among the others, of which the nearest may have been ``found``; none where there
    are too many to compare.
    """
    if found is None and len(references) > MOST_COMPARED:
        return None
    found = found or nearest(references.vectors, None, 2)
    same, vector, picture = _copies(references, references, np.arange(len(references)), found)
    near = vector if picture is None else vector | picture
    return int((same | near.any(axis=1)).sum())


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
