"""Results of several trainings, a line each, and how much better some are than others: over classes, and over seeds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t, ttest_1samp

from eval.bootstrap import Interval, class_intervals
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.seeds import spread

Result = dict[str, Any]
"""A line of the results: what was run, its cost, the metrics' means, and for each class the number of its queries and
the sum of each metric over them."""

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


def scores(vectors: EmbeddingSet) -> Result:
    """The means of the metrics, and what they are means of, class by class."""
    found = evaluate(vectors, None, [1])
    _, codes = np.unique(found.codes, return_inverse=True)
    queries = np.bincount(codes)
    sums = [np.bincount(codes, found.per_query[one]).round(4).tolist() for one in METRICS]
    classes = [list(one) for one in zip(queries.tolist(), *sums, strict=True)]
    return {**{one: round(found.means()[one], 5) for one in METRICS}, "classes": classes}


def mean(results: list[Result], metric: str) -> str:
    """The mean over seeds, and their standard deviation."""
    values = [one[metric] for one in results]
    return f"{np.mean(values):.3f}" + (f" ± {spread(values).deviation:.3f}" if len(values) > 1 else "")


def differences(first: dict[int, Result], second: dict[int, Result], same_training: bool = False) -> dict[str, str]:
    """How much better a second way is than a first, by each metric, with intervals over other classes and other seeds.

    Of seeds that both have, pair by pair. One training of the second is compared with the mean of all of the first,
    whose spread over seeds it is taken to have; unless both are of the same training, whose seeds are pairs indeed.

    Args:
        first: results by their seeds.
        second: the same.
        same_training: whether the two differ in how photos are seen alone.
    """
    seeds = sorted(first.keys() & second.keys())
    paired = same_training or len(seeds) > 1
    pairs = [(first[one], second[one]) for one in seeds] if paired else []
    ours = [pair[1] for pair in pairs] or [*second.values()]
    others = [pair[0] for pair in pairs] or [*first.values()]
    told = {}
    for metric, over_classes in _over_classes(others, ours).items():
        low, high = over_seeds(*([one[metric] for one in side] for side in (others, ours)))
        ends = [(over_classes.low, over_classes.high)] + [(low, high)] * (low is not None)
        unseen = "" if all(low > 0 or high < 0 for low, high in ends) else f", {NONE_SEEN}"
        wide = ", seeds ".join(f"[{low:+.3f}, {high:+.3f}]" for low, high in ends)
        told[metric] = f"{over_classes.mean:+.3f}, classes {wide}{unseen}"
    return told


def over_seeds(first: list[float], second: list[float]) -> tuple[float, float] | tuple[None, None]:
    """The ends of Student's interval of the difference over seeds; None where the seeds are too few.

    Of as many values on both sides, pair by pair; of one on the second, taken to have the spread of the first.
    """
    if len(first) == len(second) > 1:
        ends = ttest_1samp(np.subtract(second, first), 0).confidence_interval(0.95)
        return float(ends.low), float(ends.high)
    if len(first) < 2 or len(second) > 1:
        return None, None
    base = spread(first)
    apart, reach = second[0] - base.mean, t.ppf(0.975, base.runs - 1) * base.deviation * (1 + 1 / base.runs) ** 0.5
    return float(apart - reach), float(apart + reach)


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
