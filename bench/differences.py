"""Results of several trainings, a line each, and how much better some are than others: over classes, and over seeds."""

import json
from collections.abc import Callable, Mapping, Sequence
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


def read_of_kind(file: Path, kind: Callable[[Result], Result]) -> list[Result]:
    """The lines there are, each of which says what is wanted of it.

    Raises:
        ValueError: some are by other options.
    """
    results = read_results(file)
    if any(one.get(name) != value for one in results for name, value in kind(one).items()):
        raise ValueError(f"{file} holds results of another kind; give another --results")
    return results


def add_results(file: Path, results: Sequence[Result]) -> None:
    """Add the lines of one training, all at once, and say what was found."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write("".join(json.dumps(result) + "\n" for result in results))
    for result in results:
        print({key: value for key, value in result.items() if key not in ("classes", "scores")}, flush=True)


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


def differences(ways: Mapping[str, Results], first: str, second: str) -> dict[str, str]:
    """How much better the second of some ways is than the first, by each metric, over other classes and other seeds.

    Args:
        ways: all whose trainings tell of seeds and of noise (see ``contrast``), with results by their seeds.
        first: one of them.
        second: another.

    Returns:
        Each with its interval at 95 %; a way of one training has none, as it may be one whose noise is larger.

    Raises:
        ValueError: no seed joins the two.
    """
    found = contrast(ways, first, second)
    several = min(len(ways[first]), len(ways[second])) > 1
    over_classes = _over_classes(found.results, found.weights)
    return {metric: _words(one, found.reach[metric] if several else nan) for metric, one in over_classes.items()}


class Contrast(NamedTuple):
    """A difference of two ways as a sum of trainings' results, each with its weight.

    Attributes:
        results: of the trainings.
        weights: of each.
        reach: half of the interval at 95 % over other seeds, by metric; nan where nothing tells of noise.
    """

    results: list[Result]
    weights: NDArray[np.float64]
    reach: dict[str, float]


def contrast(ways: Mapping[str, Results], first: str, second: str) -> Contrast:
    """What a second way adds to a first, whatever seeds each has.

    Trainings of one seed see the same photos in the same order and mostly alike, so a seed may be good or bad for all
    ways. A training is taken to be its way's mean, what its seed adds, the same for all ways, and its own noise, as
    large in all ways: a two-way analysis of variance without interaction, by least squares, as some ways lack seeds
    (Searle, Linear Models, 1971, chapter 7). With two ways alone, that is the paired t-test.

    Raises:
        ValueError: no seed joins the two.
    """
    trainings = [(way, seed) for way, found in ways.items() for seed in found]
    terms = [*ways, *{seed for _, seed in trainings}]
    design = np.array([[float(term in training) for term in terms] for training in trainings])
    solved = np.linalg.pinv(design)
    asked = np.array([float(term == second) - float(term == first) for term in terms])
    weights = asked @ solved
    if not np.allclose(weights @ design, asked):
        raise ValueError(f"no seed joins {first!r} and {second!r}")
    results, reach = [ways[way][seed] for way, seed in trainings], dict.fromkeys(METRICS, nan)
    if freedom := len(results) - int(np.linalg.matrix_rank(design)):
        student = float(t.ppf(0.975, freedom)) * float(np.linalg.norm(weights))
        for metric in METRICS:
            values = np.array([one[metric] for one in results])
            noise = float(np.linalg.norm(values - design @ (solved @ values)))
            reach[metric] = student * noise / freedom**0.5
    return Contrast(results, weights, reach)


def unpaired_differences(first: Results, second: Results) -> dict[str, str]:
    """The same of two ways whose trainings have nothing in common but the photos, nor the spread (Welch)."""
    sides = [[*side.values()] for side in (first, second)]
    weights = np.repeat([-1 / len(first), 1 / len(second)], [len(first), len(second)])
    over_classes = _over_classes([*sides[0], *sides[1]], weights)
    return {
        metric: _words(one, _welch(*([result[metric] for result in side] for side in sides)))
        for metric, one in over_classes.items()
    }


def _words(over_classes: Interval, reach: float) -> str:
    """A difference with its interval: over other classes, and over other trainings, of which half is given."""
    middle = over_classes.mean
    if isnan(reach):
        return f"{_rounded(middle):+.3f}, of one training"
    low, high = middle - hypot(middle - over_classes.low, reach), middle + hypot(over_classes.high - middle, reach)
    low, high = _rounded(low), _rounded(high)
    unseen = "" if low > 0 or high < 0 else f", {NONE_SEEN}"
    return f"{_rounded(middle):+.3f} [{low:+.3f}, {high:+.3f}]{unseen}"


def _rounded(value: float) -> float:
    """To what is told, of which zero has one sign, and an interval that is told to end there holds it."""
    return round(value, 3) + 0.0


def _welch(first: list[float], second: list[float]) -> float:
    """Half of Welch's interval at 95 %; nan where the seeds do not tell."""
    if min(len(first), len(second)) < 2:
        return nan
    found = difference(first, second)
    return nan if found.high is None else found.high - found.mean


def few_classes(result: Result) -> str:
    """A remark where there are too few classes to take an interval over others at its word."""
    rough = _over_classes([result], np.zeros(1))[METRICS[0]]
    return f"{rough.classes} classes: intervals over other classes are rough" if rough.is_rough else ""


def _over_classes(results: Sequence[Result], weights: NDArray[np.float64]) -> dict[str, Interval]:
    """The sum of some trainings' means, each with its weight, with an interval over other classes."""
    classes = np.array([one["classes"] for one in results], float)
    queries = classes[0, :, 0].astype(int)
    better = np.repeat(np.tensordot(weights, classes[:, :, 1:], 1) / queries[:, None], queries, axis=0)
    codes = np.repeat(np.arange(len(queries)), queries)
    return class_intervals(dict(zip(METRICS, better.T, strict=True)), codes, bounds=(-1.0, 1.0))
