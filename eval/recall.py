"""The command ``python -m eval.recall``: how often the nearest references are of the query's class."""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import FEW_CLASSES, Interval
from eval.command import run
from eval.embeddings import EmbeddingSet
from eval.errors import InputError, counted, unknown
from eval.evaluation import Evaluation, evaluate
from eval.files import replacing
from eval.leaks import Leaks, find_leaks
from eval.metrics import title
from eval.report import NEAREST, Measured
from eval.report_folder import FILES, KIND, Wanted, write_report
from eval.rerank import METHODS, Method, Rerank, in_words, to_json
from eval.rows import taken

FALSE_POSITIVE_RATES = (1e-2, 1e-3)
"""Where the verification is read off."""

CLASSES, FAMILIES = ("class", "classes"), ("family", "families")
"""What may be resampled, one and several."""

CLASS_COLUMNS = "label,queries"
"""How a table of classes begins."""


def main(
    queries: Path,
    references: Path | None = None,
    *,
    k: str = "1,2,4,8",
    json: bool = False,
    full: bool = False,
    per_class: Path | None = None,
    families: str | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    rerank: Method = "none",
    report: Path | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Measure recall@k, R-precision, MAP@R and more by exact search, and print them below what flatters them.

    Queries without a label, or without any reference of their class, are left out of the means and counted. In a set
    that searches itself no photo finds itself. Beside each mean stands its 95 % interval over other classes, found by
    resampling whole classes against the same references, and the mean over classes.

    Args:
        queries: embeddings folder or index folder whose photos are searched for.
        references: embeddings folder or index folder that is searched in; without one, the queries search each other.
        k: numbers of neighbours for recall@k, separated by commas; the largest is taken for mAP@k and others.
        json: print one JSON object of shares between 0 and 1 instead of a table.
        full: measure also the verification of pairs, and the clusters and the health of all queries' vectors.
        per_class: a .csv file to write, with the metrics of each class in a row.
        families: a column, such as genus, of which each value holds classes that are confused with each other; the
            intervals are then over other families, and wider.
        device: where to search; the result is the same.
        rerank: put the neighbours into another order first, by what the references say of each other (docs/metrics.md);
            the vote (knn@k) and the open set stay as they are.
        report: a folder to make, with a page that shows all of it with its photos, and the figures as PNG.
        overwrite: make that folder anew.

    Returns:
        The value of each metric for each query.
    """
    ks, by = whole_numbers(k), METHODS[rerank]
    _check_table(per_class)
    folders = [queries] if references is None else [queries, references]
    options: dict[str, Any] = {"kind": KIND, "files": FILES, "k": ks, "families": families, "rerank": rerank}
    wanted = Wanted.of(report, folders, overwrite, **options) if report else None
    source, targets = EmbeddingSet.load(queries), None if references is None else EmbeddingSet.load(references)
    evaluation = evaluate(source, targets, ks, device, by, kept=NEAREST if wanted else 2)
    leaks = find_leaks(source, targets, evaluation.rows, evaluation.nearest)
    intervals = evaluation.intervals(_families(source, evaluation, families) if families is not None else None)
    rough = _one_class(source, targets) or roughness(intervals, FAMILIES if families else CLASSES)
    warnings = _said([*leaks.warnings(), *rough, *_beyond(ks, source, targets)])
    counts = _counts(evaluation, leaks, source.unreadable + (targets.unreadable if targets else 0))
    if families is not None:
        counts[f"families ({families})"] = next(iter(intervals.values())).classes
    more = {"open_set": evaluation.open_set(), **(_in_full(source, targets, evaluation, max(ks)) if full else {})}
    found = (by, counts, intervals, evaluation)
    print(_json(*found, {**more, "warnings": warnings}) if json else _table(*found, more))
    if per_class:
        _write_classes(evaluation, per_class)
    if wanted:
        with wanted.folder() as folder:
            write_report(folder, Measured(source, targets, evaluation, intervals, counts, warnings, by), folders)
    return evaluation


def whole_numbers(k: str) -> list[int]:
    """The numbers in a list such as 1,2,4,8."""
    try:
        return [int(number) for number in k.split(",")]
    except ValueError:
        raise InputError(f"k is {k!r}; give numbers separated by commas, such as 1,2,4,8") from None


def _families(queries: EmbeddingSet, evaluation: Evaluation, column: str) -> NDArray[np.int64]:
    """The family of each evaluated query, as numbers.

    Raises:
        InputError: there is no such column, a query has nothing in it, or a class is in several families.
    """
    if column not in queries.table.column_names:
        raise unknown("column", column, queries.table.column_names)
    names = taken(queries.table[column], evaluation.rows).to_pylist()
    family_of: dict[int, str] = {}
    for row, code, name in zip(evaluation.rows, evaluation.codes, names, strict=True):
        if name is None:
            raise InputError(f"{queries.paths[row]} has no {column}; fill in the column, or leave --families away")
        if family_of.setdefault(code, name) != name:
            raise InputError(
                f"{evaluation.names[code]} is in {column} {family_of[code]} and in {name}; a column for --families has "
                "one value a class"
            )
    return np.unique(names, return_inverse=True)[1]


def _counts(evaluation: Evaluation, leaks: Leaks, unreadable: int) -> dict[str, Any]:
    """What must be known before any number is read."""
    unprinted = ("queries", "pairs", "among_themselves")
    found = {name: value for name, value in vars(leaks).items() if name not in unprinted}
    left_out = {name: getattr(evaluation, name) for name in ("left_out", "unlabelled_references")}
    return {"queries": leaks.queries, **left_out, **found, "protocol": leaks.protocol, "unreadable_photos": unreadable}


def roughness(intervals: Mapping[str, Interval], resampled: tuple[str, str] = CLASSES) -> list[str]:
    """What to say where there are few classes, or families of classes, or a few hold most of the queries."""
    first = next(iter(intervals.values()))
    if not first.is_rough:
        return []
    alike = round(first.effective_classes)
    uneven = f" that tell as much as {alike} of equal size" if FEW_CLASSES <= first.classes != alike else ""
    return [f"only {counted(first.classes, *resampled)}{uneven}: take the intervals as hints"]


def _said(warnings: list[str]) -> list[str]:
    """The warnings, when they have been said."""
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return warnings


def _one_class(queries: EmbeddingSet, references: EmbeddingSet | None) -> list[str]:
    """What to say where there is nothing to be told apart."""
    if len({*(queries if references is None else references).labelled().labels}) > 1:
        return []
    return ["the references are of one class, so that every answer is right by definition: this measures nothing"]


def _beyond(ks: Sequence[int], queries: EmbeddingSet, references: EmbeddingSet | None) -> list[str]:
    """What to say where more neighbours are asked for than there are."""
    codes, _ = (queries if references is None else references).label_codes()
    there = int((codes >= 0).sum()) - (references is None)
    if max(ks) <= there:
        return []
    return [f"k of {max(ks)} is more than the {there} references: what is beyond counts as wrong"]


def _in_full(
    queries: EmbeddingSet, references: EmbeddingSet | None, evaluation: Evaluation, k: int
) -> dict[str, dict[str, float] | str]:
    """What takes longer or few ask for: calibration, verification, clusters, health; of what is not defined, why."""
    from eval.clusters import cluster_scores  # noqa: PLC0415 - not for those who did not ask
    from eval.health import health  # noqa: PLC0415
    from eval.reliability import expected_calibration_error  # noqa: PLC0415
    from eval.verification import verify  # noqa: PLC0415

    def verification() -> dict[str, float]:
        roc = verify(queries, references)
        rates = {f"tpr@fpr={rate:g}": roc.true_positive_rate_at(rate) for rate in FALSE_POSITIVE_RATES}
        return {**rates, "equal_error_rate": roc.equal_error_rate()}

    found: dict[str, dict[str, float] | str] = {}

    def calibration() -> dict[str, float]:
        right = evaluation.per_query[f"knn@{k}"] > 0
        return {f"ece@{k}": expected_calibration_error(evaluation.shares, right)}

    parts: dict[str, Callable[[], dict[str, float]]] = {
        "calibration": calibration,
        "verification": verification,
        "clusters": partial(cluster_scores, queries),
        "health": partial(health, queries),
    }
    for name, part in parts.items():
        try:
            found[name] = part()
        except InputError as error:
            found[name] = f"not defined: {error}"
    return found


def _check_table(path: Path | None) -> None:
    """Refuse a name for the table of classes that is none, or that of a file of another kind."""
    if path is None:
        return
    if path.suffix.lower() != ".csv":
        raise InputError(f"{path} is no name for a table; it must end in .csv")
    if path.exists() and not path.read_bytes().startswith(CLASS_COLUMNS.encode()):
        raise InputError(f"{path} exists and is no table of classes; give another name")


def _write_classes(evaluation: Evaluation, path: Path) -> None:
    """Write the metrics of each class as a table, the worst first."""
    first = next(iter(evaluation.per_query))
    classes = sorted(evaluation.per_class().items(), key=lambda one: (one[1][first], one[0]))
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*CLASS_COLUMNS.split(","), *evaluation.per_query])
        for label, values in classes:
            writer.writerow([label, *(f"{value:.6g}" for value in values.values())])


def _json(
    by: Rerank | None,
    counts: dict[str, Any],
    intervals: dict[str, Interval],
    evaluation: Evaluation,
    more: dict[str, Any],
) -> str:
    """The results as one JSON object."""
    ends = {name: [interval.low, interval.high] for name, interval in intervals.items()}
    means = {**evaluation.means(), "macro": evaluation.macro_means(), "intervals": ends}
    return dumps({**counts, "rerank": by and to_json(by), **means, **more})


def _table(
    by: Rerank | None,
    counts: dict[str, Any],
    intervals: dict[str, Interval],
    evaluation: Evaluation,
    more: dict[str, dict[str, float] | str],
) -> str:
    """The results for people: a name and its numbers a line."""
    macro = evaluation.macro_means()
    lines = [f"{in_words(by)}; knn@k and open set are by similarity", ""] if by else []
    lines += [
        f"{name.replace('_', ' '):<24}{'unknown' if count is None else count:>10}" for name, count in counts.items()
    ]
    lines += ["", f"{'':<24}{'mean':>10}  {'95 % interval':<18}{'over classes':>13}"]
    lines += [
        f"{title(name):<24}{one.mean:>10.4f}  [{one.low:.4f}, {one.high:.4f}]{macro[name]:>13.4f}"
        for name, one in intervals.items()
    ]
    for group, values in more.items():
        if isinstance(values, str):
            lines += ["", group, values]
        elif values:
            lines += ["", group.replace("_", " ")]
            lines += [f"{title(name):<24}{value:>10.4f}" for name, value in values.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
