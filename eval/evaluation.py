"""How well the vectors of one set find those of their class in another: search exactly, and measure every query."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import Interval, class_intervals
from eval.embeddings import EmbeddingSet, common_codes, common_ids
from eval.errors import InputError
from eval.metrics import (
    Counts,
    PerQuery,
    Relevance,
    average_precision_at_k,
    map_at_r,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)
from eval.neighbours import Neighbours, nearest_in_blocks
from eval.on_device import nearest_on_device
from eval.open_set import auroc, false_positive_rate
from eval.rerank import Rerank, reranked
from eval.vote import elected

KEPT = 8
"""Neighbours of each query that are kept beyond its metrics, to look for copies among them."""


@dataclass(frozen=True)
class Evaluation:
    """How well queries find references of their own class.

    Attributes:
        per_query: ``[Q]`` values of each metric: recall@k for each k; r_precision; map@r; and for the largest k map@k,
            precision@k, mrr@k, and knn@k, whether the vote of the k nearest elects the right label. As in an index, a
            reference that shows the query's own photo has no vote where another one has.
        shares: ``[Q]``, the elected label's share of that vote, in [0, 1].
        rows: ``[Q]`` int64, the rows of the queries that the values belong to.
        codes: ``[Q]`` int64, their classes.
        names: the name of each code.
        left_out: queries without a label, or without any reference of their class; they are in no mean.
        unlabelled_references: references without a label; as they may be of any class, they are not searched in.
        nearest: the nearest references of all queries that have a label, from two to ``KEPT``, or as many as wanted.
        hidden_scores: of the labelled queries, the similarity of the nearest reference of another class: the score that
            they would have if their own class had no references.
    """

    per_query: dict[str, PerQuery]
    shares: NDArray[np.float64]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    names: list[str]
    left_out: int
    unlabelled_references: int
    nearest: Neighbours
    hidden_scores: NDArray[np.float32]

    @property
    def queries(self) -> int:
        """How many queries the means are taken over."""
        return len(self.rows)

    @property
    def right(self) -> NDArray[np.bool_]:
        """``[Q]``, whether the nearest reference is of the query's class; where recall@1 was asked for."""
        return self.per_query["recall@1"] > 0

    def means(self) -> dict[str, float]:
        """The mean of each metric over the queries (micro); in [0, 1]."""
        return {name: float(values.mean()) for name, values in self.per_query.items()}

    def intervals(self, families: NDArray[np.int64] | None = None) -> dict[str, Interval]:
        """The mean of each metric with its 95 % interval, over other classes against the same references.

        Args:
            families: ``[Q]``, which classes fail together, as a number for each query; none where each fails alone.
        """
        return class_intervals(self.per_query, self.codes if families is None else families)

    def per_class(self) -> dict[str, dict[str, float]]:
        """By the name of each class that has queries: how many, and the mean of each metric over them."""
        codes, places, sizes = np.unique(self.codes, return_inverse=True, return_counts=True)
        means = {name: np.bincount(places, values) / sizes for name, values in self.per_query.items()}
        return {
            self.names[code]: {"queries": int(sizes[place]), **{name: float(of[place]) for name, of in means.items()}}
            for place, code in enumerate(codes)
        }

    def macro_means(self) -> dict[str, float]:
        """The mean over classes of each class's mean, so that a class of few photos counts as much as one of many."""
        classes = self.per_class().values()
        return {name: float(np.mean([one[name] for one in classes])) for name in self.per_query}

    def open_set(self) -> dict[str, float]:
        """How well the similarity of the nearest reference tells known classes from unknown ones.

        Known are the queries as they are; unknown are all labelled queries with their own class hidden. Empty where
        there is but one class.

        Returns:
            ``auroc``, and ``fpr@95``: the share of unknown ones accepted where 95 % of the known ones are.
        """
        known = self.nearest.similarities[self.rows, 0]
        if len(self.hidden_scores) == 0:
            return {}
        return {
            "auroc": auroc(known, self.hidden_scores),
            "fpr@95": false_positive_rate(known, self.hidden_scores),
        }


def evaluate(
    queries: EmbeddingSet,
    references: EmbeddingSet | None = None,
    ks: Sequence[int] = (1, 2, 4, 8),
    device: str = "cpu",
    rerank: Rerank | None = None,
    kept: int = 2,
) -> Evaluation:
    """Search exactly and measure.

    Args:
        queries: what is searched for.
        references: what is searched in; none for a set that searches itself, where no row finds itself.
        ks: the numbers of neighbours that recall is measured at; mAP@k and others are measured at the largest.
        device: where to search; anything but ``cpu`` needs PyTorch. It does not change the result.
        rerank: puts what is near a query into another order, whose metrics are then taken. As in an index it changes
            neither the vote (``knn@k``, ``shares``) nor what tells known from unknown, nor ``nearest``.
        kept: how many of the nearest of each query to keep at least, two or more.

    Raises:
        InputError: the two sets come from different embedders, every query is itself among the references, no query
            can be evaluated, or a k is below 1.
    """
    itself, targets = references is None, queries if references is None else references
    _check_comparable(queries, targets, itself, ks)
    (query_codes, target_codes), names = common_codes(queries, targets)
    asked, searched = np.flatnonzero(query_codes >= 0), np.flatnonzero(target_codes >= 0)
    codes, their_codes = query_codes[asked], target_codes[searched]
    counts = _reference_counts(codes, their_codes, itself)
    measured = counts > 0
    _check_measured(queries, asked[measured], targets, itself)
    # One more than R, so that the nearest of another class is among them.
    least = max(*ks, kept, rerank.candidates if rerank else 1)
    wanted = np.minimum(np.maximum(counts + 1, min(least, len(searched))), len(searched) - itself)
    vectors, others = _some(queries.vectors, asked), None if itself else _some(targets.vectors, searched)
    photos, their_photos = (of[rows] for of, rows in zip(common_ids(queries, targets), (asked, searched), strict=True))
    nearest = Neighbours.none(len(queries), int(min(wanted.max(), max(kept, min(max(ks), KEPT)))))
    parts, hidden, votes = [], [], []
    for block, found in _search(vectors, others, wanted, device):
        ranking = found if rerank is None else _reranked(vectors, others, block, found, rerank, device)
        relevant = _of(ranking, their_codes) == codes[block, None]
        some, voters = measured[block], _of(found, their_codes)
        parts.append(_measure(relevant[some], counts[block][some], sorted(set(ks))))
        hidden.append(_nearest_others(found, voters == codes[block, None]))
        votes.append(_votes(found, voters, _of(found, their_photos) == photos[block, None], some, max(ks)))
        _keep(nearest, asked[block], Neighbours(_of(found, searched), found.similarities))
    per_query = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows, hidden_scores = asked[measured], np.concatenate(hidden)
    winners, shares = (np.concatenate(column) for column in zip(*votes, strict=True))
    return Evaluation(
        per_query={**per_query, f"knn@{max(ks)}": (winners == codes[measured]).astype(np.float64)},
        shares=shares,
        rows=rows,
        codes=codes[measured],
        names=names,
        left_out=len(queries) - len(rows),
        unlabelled_references=len(targets) - len(searched),
        nearest=nearest,
        hidden_scores=hidden_scores[np.isfinite(hidden_scores)],
    )


def _keep(nearest: Neighbours, queries: Counts, found: Neighbours) -> None:
    """Put what was found for some queries among the nearest of all, as much of it as there is room for."""
    columns = min(nearest.rows.shape[1], found.rows.shape[1])
    nearest.rows[queries, :columns] = found.rows[:, :columns]
    nearest.similarities[queries, :columns] = found.similarities[:, :columns]


def _of(found: Neighbours, numbers: Counts) -> Counts:
    """The numbers ``[N]`` of what was found ``[Q, k]``; -1 where there is nothing."""
    return np.where(found.rows >= 0, numbers[found.rows], -1)


def _reranked(
    vectors: NDArray[np.float32],
    others: NDArray[np.float32] | None,
    block: slice,
    found: Neighbours,
    rerank: Rerank,
    device: str,
) -> Neighbours:
    """The neighbours of a block of queries in another order; in a set that searches itself no row finds itself."""
    itself, targets = others is None, vectors if others is None else others

    def search(moved: NDArray[np.float32]) -> NDArray[np.int64]:
        wanted = np.full(len(moved), found.rows.shape[1] + itself)
        rows = np.concatenate([near.rows for _, near in _search(moved, targets, wanted, device)])
        if not itself:
            return rows
        own = rows == np.arange(block.start, block.stop)[:, None]
        return np.take_along_axis(rows, np.argsort(own, axis=1, kind="stable")[:, :-1], axis=1)

    return reranked(vectors[block], found, rerank, targets.__getitem__, search)


def _votes(
    found: Neighbours, voters: Counts, own: NDArray[np.bool_], some: NDArray[np.bool_], k: int
) -> tuple[Counts, NDArray[np.float64]]:
    """What the ``k`` nearest of some queries elect; the query's own photo has a vote only where there is no other."""
    voters, others = voters[some, :k], np.where(own, -1, voters)[some, :k]
    has_others = (others >= 0).any(axis=1, keepdims=True)
    return elected(found.similarities[some, :k], np.where(has_others, others, voters))


def _some(vectors: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows of vectors; the vectors themselves, and no copy, where that is all."""
    return vectors if len(rows) == len(vectors) else vectors[rows]


def _reference_counts(codes: Counts, their_codes: Counts, itself: bool) -> Counts:
    """R of each query; a row of a set that searches itself does not count itself."""
    of_class = np.bincount(their_codes, minlength=codes.max(initial=0) + 1)
    return of_class[codes] - itself


def _search(
    queries: NDArray[np.float32], references: NDArray[np.float32] | None, k: Counts, device: str
) -> Iterator[tuple[slice, Neighbours]]:
    """Yield blocks of queries with their ``k`` [Q] nearest references."""
    start = 0
    on_cpu = device == "cpu"
    blocks = nearest_in_blocks(queries, references, k) if on_cpu else nearest_on_device(queries, references, k, device)
    for neighbours in blocks:
        block = slice(start, start + len(neighbours.rows))
        yield block, neighbours
        start = block.stop


def _measure(relevant: Relevance, counts: Counts, ks: Sequence[int]) -> dict[str, PerQuery]:
    """All metrics of some queries; ``ks`` in ascending order. Beyond the last reference there is nothing to find."""
    width, most = relevant.shape[1], ks[-1]
    largest = min(most, width)
    return {
        **{f"recall@{k}": recall_at_k(relevant, min(k, width)) for k in ks},
        "r_precision": r_precision(relevant, counts),
        "map@r": map_at_r(relevant, counts),
        f"map@{most}": average_precision_at_k(relevant, counts, largest),
        f"precision@{most}": precision_at_k(relevant, largest) * (largest / most),
        f"mrr@{most}": reciprocal_rank_at_k(relevant, largest),
    }


def _nearest_others(found: Neighbours, relevant: Relevance) -> NDArray[np.float32]:
    """Of each query the similarity of the nearest reference that is not of its class; -inf where there is none."""
    others = ~relevant & (found.rows >= 0)
    first = found.similarities[np.arange(len(others)), others.argmax(axis=1)]
    return np.where(others.any(axis=1), first, np.float32(-np.inf))


def _check_measured(queries: EmbeddingSet, measured: NDArray[np.int64], targets: EmbeddingSet, itself: bool) -> None:
    """Refuse queries of which none can be measured, or each of these is searched for among references that hold it."""
    if not len(measured):
        raise InputError(f"none of the {len(queries)} queries has a reference of its class; nothing can be measured")
    ids = queries.ids
    if not itself and {ids[row] for row in measured.tolist()} <= set(targets.labelled().ids):
        raise InputError(
            "every query is itself among the references, where it finds itself; leave the queries out of them, or give "
            "the set once, and each searches the others"
        )


def _check_comparable(queries: EmbeddingSet, targets: EmbeddingSet, itself: bool, ks: Sequence[int]) -> None:
    """Refuse sets that have nothing to tell about each other, and numbers of neighbours that are none."""
    if not ks or min(ks) < 1:
        raise InputError(f"k is {list(ks)}; give numbers of neighbours, each at least 1")
    if queries.fingerprint != targets.fingerprint:
        raise InputError(
            f"queries were embedded by {queries.fingerprint[:16]} and references by {targets.fingerprint[:16]}; "
            "embed both with the same embedder"
        )
    for name, one in (("queries", queries), ("references", targets)):
        if not any(label is not None for label in one.labels):
            raise InputError(f"the {name} have no labels; embed a source that has some, such as one folder a class")
