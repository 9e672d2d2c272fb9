"""What flatters an evaluation: copies among queries and references, and photos and classes that were trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import CLASS_TRAINED_ON, PICTURE_HASH, TRAINED_ON, EmbeddingSet, common_ids
from eval.neighbours import Neighbours, nearest
from eval.rows import taken

SIMILAR_VECTOR = 0.995
"""The cosine from which on two photos count as near copies for the embedder."""

SIMILAR_PICTURE = 3
"""The bits, of the 64 of ``eval.images.picture_hash``, in which near copies may differ."""

MOST_COMPARED = 50_000
"""References up to which all are compared with each other; that takes 10 s on two cores."""

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Leaks:
    """How many queries are flattered, and by what; None where the tables do not say.

    Attributes:
        queries: how many there are in all.
        same_photo: those with a reference that has their id, besides themselves.
        similar_vector: those with another photo among their nearest references of at least ``SIMILAR_VECTOR``.
        similar_picture: those with a reference that is another photo and looks the same, by its hash.
        copies_among_references: references that have a copy among the other references, exact or near; None beyond
            ``MOST_COMPARED`` of them.
        repeated_rows: rows of either set that are there already, as several processes that fill up their last batch
            leave them.
        trained_on: those that the embedder was trained on.
        class_trained_on: those of a class that the embedder was trained on, by its name.
        pairs: query and reference, by path or else id, of the first near copies, as examples.
        among_themselves: whether the queries are the references, so that copies among these have been told of already.
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
    among_themselves: bool

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
        if not self.among_themselves and self.copies_among_references:
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
        found: the nearest references of all queries, two at least; near copies by vector are looked for among them.
        examples: how many pairs to name.
    """
    targets = queries if references is None else references
    every = _copies(queries, targets, found)
    copies = every.of(rows)
    labelled = np.flatnonzero(targets.label_codes()[0] >= 0)
    return Leaks(
        queries=len(rows),
        same_photo=int(copies.same.sum()),
        similar_vector=int((copies.vector >= 0).sum()),
        similar_picture=None if copies.picture is None else int((copies.picture >= 0).sum()),
        copies_among_references=every.of(labelled).count() if references is None else _copies_among(references),
        repeated_rows=sum(map(_repeated, (queries,) if references is None else (queries, references))),
        trained_on=_count(queries, TRAINED_ON, rows),
        class_trained_on=_count(queries, CLASS_TRAINED_ON, rows),
        pairs=_named(queries, targets, _pairs(rows, copies.near(), references is None), examples),
        among_themselves=references is None,
    )


def near_copies(queries: EmbeddingSet, references: EmbeddingSet | None, rows: Rows, found: Neighbours) -> Rows:
    """The rows ``[P, 2]`` of queries and references that are near copies of each other; those of one set once a pair.

    Args:
        queries: as for ``find_leaks``, like the others. Of each query one near copy is told of.
        references: likewise.
        rows: likewise.
        found: likewise.
    """
    targets = queries if references is None else references
    return _pairs(rows, _copies(queries, targets, found).of(rows).near(), references is None)


@dataclass(frozen=True)
class _Copies:
    """Of each query, whether its own photo is among the references, and a reference that is a near copy of it.

    Attributes:
        same: ``[Q]``.
        vector: ``[Q]``, the nearest that is near by its vector; -1 for none.
        picture: ``[Q]``, one that looks the same; -1 for none. None where a table does not say what photos look like.
    """

    same: Mask
    vector: Rows
    picture: Rows | None

    def of(self, rows: Rows) -> "_Copies":
        """The same of some queries."""
        return _Copies(self.same[rows], self.vector[rows], None if self.picture is None else self.picture[rows])

    def near(self) -> Rows:
        """A near copy of each query, of either kind; -1 for none."""
        return self.vector if self.picture is None else np.maximum(self.vector, self.picture)

    def count(self) -> int:
        """How many queries have a copy of any kind."""
        return int((self.same | (self.near() >= 0)).sum())


def _copies(queries: EmbeddingSet, targets: EmbeddingSet, found: Neighbours) -> _Copies:
    """The copies of all queries; those that are near by their vector are among the neighbours found.

    References without a label are not searched in, so they are no copies of anything.
    """
    ids, target_ids = common_ids(queries, targets)
    codes, _ = targets.label_codes()
    target_ids = np.where(codes >= 0, target_ids, -1 - np.arange(len(target_ids)))
    often = np.bincount(target_ids[target_ids >= 0], minlength=ids.max(initial=0) + 1)
    near = (found.rows >= 0) & (target_ids[found.rows] != ids[:, None]) & (found.similarities >= SIMILAR_VECTOR)
    nearest_copy = found.rows[np.arange(len(ids)), near.argmax(axis=1)]
    return _Copies(
        same=often[ids] > ((codes >= 0) if queries is targets else 0),
        vector=np.where(near.any(axis=1), nearest_copy, -1),
        picture=_lookalikes(queries, targets, ids, target_ids),
    )


def _copies_among(references: EmbeddingSet) -> int | None:
    """How many references with a label have a copy among the others; none where there are too many to compare."""
    references = references.labelled()
    if len(references) > MOST_COMPARED:
        return None
    return _copies(references, references, nearest(references.vectors, None, 2)).count()


def _lookalikes(queries: EmbeddingSet, targets: EmbeddingSet, ids: Rows, target_ids: Rows) -> Rows | None:
    """For each query a reference that shows another photo and looks the same, by its hash; -1 for none.

    None where a table does not say what its photos look like.
    """
    if any(PICTURE_HASH not in one.table.column_names for one in (queries, targets)):
        return None
    import faiss  # noqa: PLC0415 - not for sets without hashes

    (asked, has_hash), (there, target_has_hash) = (_hashes(one) for one in (queries, targets))
    known = np.flatnonzero(target_has_hash & (target_ids >= 0))
    partners = np.full(len(ids), -1)
    if not len(known):
        return partners
    hashes, first, places = np.unique(there[known], return_index=True, return_inverse=True)
    # Of each hash two references with different ids are enough: one of them is not the query's own photo.
    shown = np.stack([known[first], np.full(len(first), -1)], axis=1)
    others = target_ids[known] != target_ids[shown[places, 0]]
    shown[places[others], 1] = known[others]
    index = faiss.IndexBinaryFlat(64)
    index.add(hashes.view(np.uint8).reshape(-1, 8))
    wanted, numbers = np.unique(asked, return_inverse=True)
    limits, _, near = index.range_search(wanted.view(np.uint8).reshape(-1, 8), SIMILAR_PICTURE + 1)
    for row in np.flatnonzero(has_hash):
        alike = shown[near[limits[numbers[row]] : limits[numbers[row] + 1]]].ravel()
        alike = alike[(alike >= 0) & (target_ids[alike] != ids[row])]
        if len(alike):
            partners[row] = alike[0]
    return partners


def _hashes(one: EmbeddingSet) -> tuple[NDArray[np.uint64], Mask]:
    """The hashes of a set's photos ``[N]``, and which of them are known ``[N]``."""
    column = one.table[PICTURE_HASH]
    return column.fill_null(0).to_numpy(), column.is_valid().to_numpy()


def _repeated(one: EmbeddingSet) -> int:
    """How many rows have the id, path and label of an earlier row."""
    return len(one) - len(set(zip(one.ids, one.paths, one.labels, strict=True)))


def _count(queries: EmbeddingSet, column: str, rows: Rows) -> int | None:
    """For how many of some rows a column is true; none where it is missing or not known for all of them."""
    if column not in queries.table.column_names:
        return None
    known = taken(queries.table[column], rows)
    return None if known.null_count else known.to_pylist().count(True)


def _pairs(rows: Rows, partners: Rows, itself: bool) -> Rows:
    """The queries of some rows that have a near copy, each with it, ``[P, 2]``; in a set that searches itself once."""
    pairs = np.stack([rows, partners], axis=1)[partners >= 0]
    if not itself:
        return pairs
    there = {(query, reference) for query, reference in pairs.tolist()}
    once = [query < reference or (reference, query) not in there for query, reference in pairs.tolist()]
    return pairs[np.array(once, bool)]


def _named(queries: EmbeddingSet, targets: EmbeddingSet, pairs: Rows, examples: int) -> list[tuple[str, str]]:
    """The first pairs, by name, each once."""
    named: dict[tuple[str, str], None] = {}
    for pair in zip(queries.named(pairs[:, 0]), targets.named(pairs[:, 1]), strict=True):
        if len(named) == examples:
            break
        if pair[::-1] not in named:
            named[pair] = None
    return list(named)
