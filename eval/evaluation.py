"""How well the vectors of one set find those of their class in another: search exactly, and measure every query."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.bootstrap import Interval, class_intervals
from eval.embeddings import EmbeddingSet, common_codes
from eval.errors import InputError
from eval.metrics import (
    Counts,
    PerQuery,
    Relevance,
    average_precision_at_k,
    map_at_r,
    r_precision,
    recall_at_k,
)
from eval.neighbours import nearest_in_blocks


@dataclass(frozen=True)
class Evaluation:
    """How well queries find references of their own class.

    Attributes:
        per_query: ``[Q]`` values of each metric: recall@k for each k, r_precision, map@r, map@k for the largest k.
        rows: ``[Q]`` int64, the rows of the queries that the values belong to.
        codes: ``[Q]`` int64, their classes.
        left_out: queries without a label, or without any reference of their class; they are in no mean.
        same_photo: queries, among the Q, that have a reference with their own id (besides themselves).
        trained_on: queries, among the Q, that are photos which the embedder was trained on; None where that is unknown.
    """

    per_query: dict[str, PerQuery]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]
    left_out: int
    same_photo: int
    trained_on: int | None

    @property
    def queries(self) -> int:
        """How many queries the means are taken over."""
        return len(self.rows)

    def means(self) -> dict[str, float]:
        """The mean of each metric over the queries; in [0, 1]."""
        return {name: float(values.mean()) for name, values in self.per_query.items()}

    def intervals(self) -> dict[str, Interval]:
        """The mean of each metric with its 95 % interval, over other classes against the same references."""
        return class_intervals(self.per_query, self.codes)


def evaluate(
    queries: EmbeddingSet, references: EmbeddingSet | None = None, ks: Sequence[int] = (1, 2, 4, 8)
) -> Evaluation:
    """Search exactly and measure.

    Args:
        queries: what is searched for.
        references: what is searched in; none for a set that searches itself, where no row finds itself.
        ks: the numbers of neighbours that recall is measured at; mAP@k is measured at the largest.

    Raises:
        InputError: the two sets come from different embedders, every query is itself among the references, no query
            can be evaluated, or a k is below 1.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"k is {list(ks)}; give numbers of neighbours, each at least 1")
    targets = queries if references is None else references
    _check_comparable(queries, targets, references is None)
    (query_codes, target_codes), _ = common_codes(queries, targets)
    counts = _reference_counts(query_codes, target_codes, references is None)
    rows = np.flatnonzero(counts)
    if len(rows) == 0:
        raise InputError(f"none of the {len(queries)} queries has a reference of its class; nothing can be measured")
    parts = []
    wanted = np.minimum(np.maximum(counts, max(ks)), len(targets))
    for block, found in _search(queries, references, wanted):
        relevant = (found >= 0) & (target_codes[found] == query_codes[block, None])
        measurable = counts[block] > 0
        parts.append(_measure(relevant[measurable], counts[block][measurable], sorted(set(ks))))
    return Evaluation(
        per_query={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        rows=rows,
        codes=query_codes[rows],
        left_out=len(queries) - len(rows),
        same_photo=_same_photo(queries, references, rows),
        trained_on=_trained_on(queries, rows),
    )


def _reference_counts(query_codes: Counts, target_codes: Counts, itself: bool) -> Counts:
    """R of each query, 0 where its label is not known; a row of a set that searches itself does not count itself."""
    labelled = query_codes >= 0
    of_class = np.bincount(target_codes[target_codes >= 0], minlength=query_codes.max() + 1)
    counts = np.zeros(len(query_codes), np.int64)
    counts[labelled] = of_class[query_codes[labelled]] - itself
    return counts


def _search(
    queries: EmbeddingSet, references: EmbeddingSet | None, k: Counts
) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Yield blocks of queries with the rows of their ``k`` [Q] nearest references."""
    start = 0
    targets = None if references is None else references.vectors
    for neighbours in nearest_in_blocks(queries.vectors, targets, k):
        block = slice(start, start + len(neighbours.rows))
        yield block, neighbours.rows
        start = block.stop


def _measure(relevant: Relevance, counts: Counts, ks: Sequence[int]) -> dict[str, PerQuery]:
    """All metrics of some queries; ``ks`` in ascending order. Beyond the last reference there is nothing to find."""
    width = relevant.shape[1]
    return {
        **{f"recall@{k}": recall_at_k(relevant, min(k, width)) for k in ks},
        "r_precision": r_precision(relevant, counts),
        "map@r": map_at_r(relevant, counts),
        f"map@{ks[-1]}": average_precision_at_k(relevant, counts, min(ks[-1], width)),
    }


def _check_comparable(queries: EmbeddingSet, targets: EmbeddingSet, itself: bool) -> None:
    """Refuse sets that have nothing to tell about each other."""
    if queries.fingerprint != targets.fingerprint:
        raise InputError(
            f"queries were embedded by {queries.fingerprint[:16]} and references by {targets.fingerprint[:16]}; "
            "embed both with the same embedder"
        )
    for name, one in (("queries", queries), ("references", targets)):
        if not any(label is not None for label in one.labels):
            raise InputError(f"the {name} have no labels; embed a source that has some, such as one folder a class")
    if not itself and set(queries.ids) <= set(targets.ids):
        raise InputError(
            "every query is itself among the references, where it finds itself; leave the queries out of them, or give "
            "the set once, and each searches the others"
        )


def _same_photo(queries: EmbeddingSet, references: EmbeddingSet | None, rows: NDArray[np.int64]) -> int:
    """How many of some queries have another row with their id to be found."""
    ids = queries.ids
    found = Counter(ids if references is None else references.ids)
    return sum(found[ids[row]] > (references is None) for row in rows)


def _trained_on(queries: EmbeddingSet, rows: NDArray[np.int64]) -> int | None:
    """How many of some queries the embedder was trained on, as far as the table says."""
    if "trained_on" not in queries.table.column_names:
        return None
    known = queries.table["trained_on"].take(pa.array(rows))
    return None if known.null_count else known.to_pylist().count(True)
