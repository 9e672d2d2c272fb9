"""The command ``python -m eval.recall``: how often the nearest references are of the query's class."""

import sys
from json import dumps
from pathlib import Path

from eval.bootstrap import Interval
from eval.command import run
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import Evaluation, evaluate

_TITLES = {"r_precision": "R-precision", "map@r": "MAP@R"}


def main(queries: Path, references: Path | None = None, *, k: str = "1,2,4,8", json: bool = False) -> Evaluation:
    """Measure recall@k, R-precision and MAP@R by exact search, and print them.

    Queries without a label, or without any reference of their class, are left out of the means and counted. In a set
    that searches itself no photo finds itself. Beside each mean stands its 95 % interval over other classes, found by
    resampling whole classes against the same references.

    Args:
        queries: embeddings folder or index folder whose photos are searched for.
        references: embeddings folder or index folder that is searched in; without one, the queries search each other.
        k: numbers of neighbours for recall@k, separated by commas; the largest is taken for mAP@k.
        json: print one JSON object of shares between 0 and 1 instead of a table.

    Returns:
        The value of each metric for each query.
    """
    targets = None if references is None else EmbeddingSet.load(references)
    evaluation = evaluate(EmbeddingSet.load(queries), targets, whole_numbers(k))
    counts = {name: getattr(evaluation, name) for name in ("queries", "left_out", "same_photo", "trained_on")}
    if evaluation.same_photo:
        share = f"{evaluation.same_photo} of {evaluation.queries}"
        print(f"warning: {share} queries are themselves among the references: too easy for them", file=sys.stderr)
    if evaluation.trained_on:
        share = f"{evaluation.trained_on} of {evaluation.queries}"
        print(f"warning: {share} queries are photos that the embedder was trained on: too easy for it", file=sys.stderr)
    intervals = evaluation.intervals()
    rough = next(iter(intervals.values()))
    if rough.is_rough:
        print(f"warning: only {rough.classes} classes: take the intervals as hints", file=sys.stderr)
    if json:
        ends = {name: [interval.low, interval.high] for name, interval in intervals.items()}
        print(dumps({**counts, **evaluation.means(), "intervals": ends}))
    else:
        print(_table(counts, intervals))
    return evaluation


def whole_numbers(k: str) -> list[int]:
    """The numbers in a list such as 1,2,4,8."""
    try:
        return [int(number) for number in k.split(",")]
    except ValueError:
        raise InputError(f"k is {k!r}; give numbers separated by commas, such as 1,2,4,8") from None


def title(metric: str) -> str:
    """A metric's name for people."""
    return _TITLES.get(metric, metric.replace("map", "mAP"))


def _table(counts: dict[str, int | None], intervals: dict[str, Interval]) -> str:
    """The results for people: a name and a number a line."""
    lines = [
        f"{name.replace('_', ' '):<12}{'unknown' if count is None else count:>8}" for name, count in counts.items()
    ]
    lines += [f"{title(name):<12}{one.mean:>8.4f}  [{one.low:.4f}, {one.high:.4f}]" for name, one in intervals.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
