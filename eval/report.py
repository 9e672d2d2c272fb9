"""What a report of an evaluation says, as JSON values: photos stand in it by their number, and names as they are.

The queries' photos are numbered by their rows, and those of references of their own after them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.bootstrap import Interval
from eval.confusions import Confusion, confusions
from eval.embeddings import EmbeddingSet, common_codes
from eval.evaluation import Evaluation
from eval.leaks import near_copies
from eval.metrics import title
from eval.rerank import Rerank, in_words
from eval.rows import taken
from eval.separation import Separation, separation

HEADLINE = ("recall@1", "map@r", "r_precision")
PAIRS, MISTAKES = 12, 2
"""Pairs of classes that are shown, and mistakes of each."""

WORST, BEST = 12, 6
"""Queries that are shown, at most one a class."""

NEAREST = 6
"""Neighbours that are shown of each, where there are so many."""

HUBS, COPIES = 12, 12

MOST_MAPPED = 60_000
"""Photos on the map; of more an even sample."""

BESIDE = 5
"""Neighbours that the map shows of a photo."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """An evaluation, and what was said of it.

    Attributes:
        queries: what was searched for.
        references: what was searched in; none for a set that searched itself.
        evaluation: the result.
        intervals: of its means.
        counts: what must be known before any number is read.
        warnings: what flatters it, a sentence each.
        by: what put the neighbours into another order; none where they were not.
    """

    queries: EmbeddingSet
    references: EmbeddingSet | None
    evaluation: Evaluation
    intervals: dict[str, Interval]
    counts: dict[str, Any]
    warnings: list[str]
    by: Rerank | None = None

    @cached_property
    def sets(self) -> list[EmbeddingSet]:
        """The sets whose photos are numbered, one after another."""
        return [self.queries] if self.references is None else [self.queries, self.references]

    @cached_property
    def first(self) -> int:
        """The number of the first reference."""
        return 0 if self.references is None else len(self.queries)

    @cached_property
    def codes(self) -> Numbers:
        """The class of each photo, -1 for none, as numbered by ``evaluation.names``."""
        codes, _ = common_codes(*self.sets)
        return np.concatenate(codes)

    @cached_property
    def reference_codes(self) -> Numbers:
        """The class of each reference."""
        return self.codes[self.first :]

    def named(self, numbers: Numbers) -> list[str]:
        """What photos are called: their paths, or else their ids."""
        every = pa.chunked_array([chunk for one in self.sets for chunk in one.names.chunks], pa.string())
        return taken(every, numbers).to_pylist()

    @cached_property
    def mapped(self) -> Numbers:
        """The photos on the map."""
        count = sum(map(len, self.sets))
        return np.arange(count) if count <= MOST_MAPPED else np.linspace(0, count - 1, MOST_MAPPED).astype(np.int64)


def content(measured: Measured, name: str) -> dict[str, Any]:
    """All that a report says, but for the map's places and the photos themselves.

    Args:
        measured: what it is about.
        name: of what was measured.
    """
    evaluation, references = measured.evaluation, measured.references
    between = separation(measured.queries, references, evaluation)
    said: dict[str, Any] = {
        "kind": "report",
        "name": name,
        "fingerprint": measured.queries.fingerprint,
        "photos": [len(one) for one in measured.sets],
        "classes": len(np.unique(evaluation.codes)),
        "dimension": measured.queries.vectors.shape[1],
        "rerank": in_words(measured.by) if measured.by else None,
        "warnings": measured.warnings,
        "counts": [[key.replace("_", " "), value] for key, value in measured.counts.items()],
        "metrics": _metrics(measured),
        "recall": _recall(measured.intervals),
        "by_class": _by_class(measured),
        "confusions": [_confusion(measured, pair) for pair in confusions(evaluation, measured.reference_codes, PAIRS)],
        "worst": [_query(measured, place) for place in _chosen(evaluation, WORST, worst=True)],
        "best": [_query(measured, place) for place in _chosen(evaluation, BEST, worst=False)],
        "separation": between and _separation(between, evaluation),
        "hubs": _hubs(measured),
        "copies": _near_copies(measured),
    }
    shown = np.array(sorted(_numbers(said)), np.int64)
    names = measured.named(shown)
    said["shown"] = {
        str(number): {"name": name, "code": int(code)}
        for number, name, code in zip(shown, names, measured.codes[shown], strict=True)
    }
    return {**said, "class_names": evaluation.names, "points": _points(measured)}


def shown_photos(said: dict[str, Any]) -> list[int]:
    """The numbers of the photos that a report's content shows large."""
    return [int(number) for number in said["shown"]]


def _metrics(measured: Measured) -> list[dict[str, Any]]:
    """Each metric with its interval and its mean over classes."""
    macro = measured.evaluation.macro_means()
    return [
        {
            "name": title(name),
            "headline": name in HEADLINE,
            "mean": one.mean,
            "low": one.low,
            "high": one.high,
            "macro": macro[name],
        }
        for name, one in measured.intervals.items()
    ]


def _recall(intervals: dict[str, Interval]) -> list[list[float]]:
    """The curve of recall@k: k, mean, and the ends of the interval."""
    return [
        [int(name.partition("@")[2]), one.mean, one.low, one.high]
        for name, one in intervals.items()
        if name.startswith("recall@")
    ]


def _by_class(measured: Measured) -> dict[str, Any]:
    """The metrics of each class, and what it is most often taken for."""
    evaluation = measured.evaluation
    found = evaluation.nearest.rows[evaluation.rows, 0]
    other = np.where(found >= 0, measured.reference_codes[found], -1)
    wrong = (other >= 0) & (other != evaluation.codes)
    pairs, counts = np.unique(np.stack([evaluation.codes[wrong], other[wrong]]), axis=1, return_counts=True)
    taken_for: dict[int, tuple[int, int]] = {}
    for code, rival, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
        taken_for[code] = max(taken_for.get(code, (0, 0)), (count, -rival))
    names = [name for name in evaluation.per_query if name in HEADLINE]
    code_of = {name: code for code, name in enumerate(evaluation.names)}
    rows = []
    for label, values in evaluation.per_class().items():
        count, rival = taken_for.get(code_of[label], (0, 0))
        mistaken = f"{evaluation.names[-rival]} ({count})" if count else None
        rows.append([label, values["queries"], *(values[name] for name in names), mistaken])
    return {"metrics": [title(name) for name in names], "rows": rows}


def _confusion(measured: Measured, pair: Confusion) -> dict[str, Any]:
    """A pair of classes, with the mistakes that look most alike, each pair of photos once."""
    shown: dict[tuple[int, int], list[Any]] = {}
    for one in pair.mistakes:
        query, reference = one.query, measured.first + one.reference
        if (reference, query) not in shown and len(shown) < MISTAKES:
            shown[query, reference] = [query, reference, one.similarity]
    return {
        "first": pair.first,
        "second": pair.second,
        "forth": pair.forth,
        "back": pair.back,
        "queries": pair.queries,
        "mistakes": [*shown.values()],
    }


def _chosen(evaluation: Evaluation, most: int, *, worst: bool) -> list[int]:
    """Places of the queries with the least or the greatest MAP@R, of equals the nearest to what it found first."""
    scores = evaluation.per_query["map@r"]
    similarities = evaluation.nearest.similarities[evaluation.rows, 0]
    order = np.lexsort((-similarities, scores if worst else -scores))
    seen: set[int] = set()
    chosen: list[int] = []
    for place in order:
        if len(chosen) == most or (scores[place] == 1 if worst else scores[place] == 0):
            break
        if int(evaluation.codes[place]) not in seen:
            seen.add(int(evaluation.codes[place]))
            chosen.append(int(place))
    return chosen


def _query(measured: Measured, place: int) -> dict[str, Any]:
    """A query with its nearest references: number, similarity, whether it is of the query's class."""
    evaluation = measured.evaluation
    row, code = int(evaluation.rows[place]), evaluation.codes[place]
    found, similarities = (of[row, :NEAREST] for of in (evaluation.nearest.rows, evaluation.nearest.similarities))
    near = [
        [measured.first + int(one), float(similarity), bool(measured.reference_codes[one] == code)]
        for one, similarity in zip(found, similarities, strict=True)
        if one >= 0
    ]
    return {"query": row, "score": float(evaluation.per_query["map@r"][place]), "near": near}


def _separation(between: Separation, evaluation: Evaluation) -> dict[str, Any]:
    """The histograms, the threshold and the open-set curve."""
    return {**vars(between), **evaluation.open_set()}


def _hubs(measured: Measured) -> dict[str, Any]:
    """References that are among the nearest of unusually many queries, and for how many they are right."""
    nearest, first = measured.evaluation.nearest, measured.first
    query, column = np.nonzero(nearest.rows >= 0)
    rows = nearest.rows[query, column]
    right = measured.codes[query] == measured.reference_codes[rows]
    times, rights = (np.bincount(rows[of], minlength=len(measured.reference_codes)) for of in (rows >= 0, right))
    most = np.lexsort((np.arange(len(times)), -times))[:HUBS]
    usual = float(times.sum() / max(1, (measured.reference_codes >= 0).sum()))
    return {
        "k": nearest.rows.shape[1],
        "usual": usual,
        "never": int(((times == 0) & (measured.reference_codes >= 0)).sum()),
        "photos": [[first + int(one), int(times[one]), int(rights[one])] for one in most if times[one] > 2 * usual],
    }


def _near_copies(measured: Measured) -> dict[str, Any]:
    """Near copies, those under two labels first, then the most alike."""
    evaluation = measured.evaluation
    targets = measured.queries if measured.references is None else measured.references
    pairs = near_copies(measured.queries, measured.references, evaluation.rows, evaluation.nearest)
    cosines = np.einsum("pd,pd->p", measured.queries.vectors[pairs[:, 0]], targets.vectors[pairs[:, 1]])
    differ = measured.codes[pairs[:, 0]] != measured.reference_codes[pairs[:, 1]]
    order = np.lexsort((-cosines, ~differ))[:COPIES]
    shown = [
        [int(pairs[one, 0]), measured.first + int(pairs[one, 1]), float(cosines[one]), bool(differ[one])]
        for one in order
    ]
    return {"count": len(pairs), "differ": int(differ.sum()), "pairs": shown}


def _points(measured: Measured) -> dict[str, Any]:
    """What is said of each photo on the map; arrays are packed by ``eval.report_page``."""
    numbers = measured.mapped
    place_of = np.full(len(measured.codes) + 1, -1, np.int32)
    place_of[numbers] = np.arange(len(numbers))
    nearest = measured.evaluation.nearest
    columns = min(BESIDE, nearest.rows.shape[1])
    beside = np.full((len(numbers), columns), -1, np.int32)
    similarities = np.zeros((len(numbers), columns), np.float32)
    asked = numbers < len(measured.queries)
    found = nearest.rows[numbers[asked], :columns]
    beside[asked] = np.where(found >= 0, place_of[measured.first + found], -1)
    similarities[asked] = np.where(found >= 0, nearest.similarities[numbers[asked], :columns], 0)
    return {
        "of": len(measured.codes),
        "first": int(asked.sum()) if measured.references is not None else None,
        "names": measured.named(numbers),
        "codes": measured.codes[numbers].astype(np.int32),
        "beside": beside,
        "similarities": similarities,
    }


def _numbers(said: dict[str, Any]) -> set[int]:
    """All photos that are shown large."""
    mistakes = [one for pair in said["confusions"] for one in pair["mistakes"]]
    queries = [*said["worst"], *said["best"]]
    near = [one[0] for query in queries for one in query["near"]]
    copies = [number for pair in said["copies"]["pairs"] for number in pair[:2]]
    hubs = [one[0] for one in said["hubs"]["photos"]]
    return {*(n for one in mistakes for n in one[:2]), *(one["query"] for one in queries), *near, *copies, *hubs}
