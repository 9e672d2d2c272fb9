"""Results of several trainings, a line each, and how much better some are than others: over classes, and over seeds."""

import json
from collections.abc import Iterable, Sequence
from math import hypot, isnan, nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from eval.bootstrap import Interval, class_intervals
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.seeds import difference, spread

Result = dict[str, Any]
"""A line of the results: what was run, its cost, the metrics' means, and for each class the number of its queries and
the sum of each metric over them."""

Results = dict[int, Result]
"""Trainings of one way, by their seeds."""

METRICS = ("recall@1", "map@r")

NONE_SEEN = "no effect seen"


def read_results(file: Path) -> list[Result]:
    """The lines there are."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def add_result(file: Path, result: Result) -> None:
    """Add a line, and say what was found."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(result) + "\n")
    print({key: value for key, value in result.items() if key != "classes"}, flush=True)


def scores(vectors: EmbeddingSet, references: EmbeddingSet | None = None) -> Result:
    """The means of the metrics, and what they are means of, class by class; None for each among the others."""
    found = evaluate(vectors, references, [1])
    _, codes = np.unique(found.codes, return_inverse=True)
    queries = np.bincount(codes)
    sums = [np.bincount(codes, found.per_query[one]).round(4).tolist() for one in METRICS]
    classes = [list(one) for one in zip(queries.tolist(), *sums, strict=True)]
    return {**{one: round(found.means()[one], 5) for one in METRICS}, "classes": classes}


def mean(results: list[Result], metric: str) -> str:
    """The mean over seeds, and their standard deviation."""
    values = [one[metric] for one in results]
    return f"{np.mean(values):.3f}" + (f" ± {spread(values).deviation:.3f}" if len(values) > 1 else "")


class Deviation(NamedTuple):
    """The standard deviation of the trainings of one way, as several ways show it.

    Attributes:
        size: of one training; nan where no way has two.
        freedom: how many trainings it is known from, less one for each way.
    """

    size: float
    freedom: int

    def reach(self, share: float) -> float:
        """Half of Student's interval at 95 %, for a variance that is that share of one training's; nan if unknown."""
        return float(t.ppf(0.975, self.freedom)) * self.size * share**0.5 if self.freedom else nan


def _pooled(ways: Iterable[Sequence[float]]) -> Deviation:
    several = [one for one in ways if len(one) > 1]
    freedom = sum(len(one) - 1 for one in several)
    squares = sum(float(np.var(one)) * len(one) for one in several)
    return Deviation((squares / freedom) ** 0.5, freedom) if freedom else Deviation(nan, 0)


def deviations(ways: Iterable[Results]) -> dict[str, Deviation]:
    """How far trainings of one way lie apart by each metric, taken to be as far in all of these ways."""
    known = [*ways]
    return {metric: _pooled([[one[metric] for one in way.values()] for way in known]) for metric in METRICS}


def differences(
    first: Results, second: Results, over_seeds: dict[str, Deviation] | None = None, same_training: bool = False
) -> dict[str, str]:
    """How much better a second way is than a first, by each metric, with the interval over other classes and seeds.

    The trainings of two ways have nothing in common but the photos, also those of one seed: all of the one are compared
    with all of the other. Where both ways see the same trainings, these are pairs.

    Args:
        first: results by their seeds.
        second: the same.
        over_seeds: how far trainings of one way lie apart, by each metric (``deviations``), where it is as far in both;
            None to take from each what its own seeds show (Welch).
        same_training: whether the two differ in how photos are seen alone.
    """
    seeds = sorted(first.keys() & second.keys()) if same_training else []
    one, two = (([side[seed] for seed in seeds] or [*side.values()]) for side in (first, second))
    told = {}
    for metric, over_classes in _over_classes(one, two).items():
        if seeds:
            apart = _pooled([[after[metric] - before[metric] for before, after in zip(one, two, strict=True)]])
            reach = apart.reach(1 / len(seeds))
        elif over_seeds is None:
            reach = _welch(*([result[metric] for result in side] for side in (one, two)))
        else:
            reach = over_seeds[metric].reach(1 / len(one) + 1 / len(two))
        middle = over_classes.mean
        if isnan(reach):
            told[metric] = f"{middle:+.3f}, of one training"
            continue
        low, high = middle - hypot(middle - over_classes.low, reach), middle + hypot(over_classes.high - middle, reach)
        unseen = "" if low > 0 or high < 0 else f", {NONE_SEEN}"
        told[metric] = f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]{unseen}"
    return told


def _welch(first: list[float], second: list[float]) -> float:
    """Half of Welch's interval at 95 %; nan where the seeds do not tell."""
    if min(len(first), len(second)) < 2:
        return nan
    found = difference(first, second)
    return nan if found.high is None else found.high - found.mean


def few_classes(result: Result) -> str:
    """A remark where there are too few classes to take an interval over others at its word."""
    rough = _over_classes([result], [result])[METRICS[0]]
    return f"{rough.classes} classes: intervals over other classes are rough" if rough.is_rough else ""


def _over_classes(first: list[Result], second: list[Result]) -> dict[str, Interval]:
    """The difference of means over seeds, with an interval over other classes."""
    one, two = (np.mean([result["classes"] for result in side], axis=0) for side in (first, second))
    queries: NDArray[np.int64] = one[:, 0].astype(int)
    better = np.repeat((two - one)[:, 1:] / queries[:, None], queries, axis=0)
    codes = np.repeat(np.arange(len(queries)), queries)
    return class_intervals(dict(zip(METRICS, better.T, strict=True)), codes, bounds=(-1.0, 1.0))
