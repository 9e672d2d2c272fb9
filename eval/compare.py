"""The command ``python -m eval.compare A B``: is one embedder, or recipe, better than another on the same photos?"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

import numpy as np

from eval.bootstrap import Interval, class_intervals
from eval.command import run
from eval.compare_page import FILES, KIND, NEAREST, SIDES, write_comparison
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import Evaluation, evaluate
from eval.files import MANIFEST
from eval.leaks import find_leaks
from eval.metrics import title
from eval.recall import roughness, whole_numbers
from eval.report_folder import Wanted
from eval.rows import taken
from eval.seeds import Difference, Spread, difference, spread

METRICS = ("recall@1", "r_precision", "map@r")
SHOWN = 10
"""How many of the queries that flip are listed for people; JSON has all."""


@dataclass(frozen=True)
class Comparison:
    """Two embedders on the same queries.

    Attributes:
        means: of each metric, of the first and of the second.
        differences: second less first, with intervals that are paired by query and resample whole classes.
        differing: how many queries differ by each metric; where none does, an interval says nothing of these two.
        won: paths (or ids) of the queries whose nearest reference the second gets right and the first does not.
        lost: the other way round.
        queries: how many were compared.
        left_out: photos without a label, or without another one of their class; they are compared in nothing.
        warnings: what flatters either.
    """

    means: dict[str, tuple[float, float]]
    differences: dict[str, Interval]
    differing: dict[str, int]
    won: list[str]
    lost: list[str]
    queries: int
    left_out: int
    warnings: list[str]


@dataclass(frozen=True)
class RecipeComparison:
    """Two recipes on the same photos, several seeds of each.

    Attributes:
        spreads: of each metric, of the first and of the second.
        differences: second less first, with intervals over seeds.
        queries: how many each seed was measured by.
        left_out: photos without a label, or without another one of their class.
        warnings: what flatters a seed.
    """

    spreads: dict[str, tuple[Spread, Spread]]
    differences: dict[str, Difference]
    queries: int
    left_out: int
    warnings: list[str]


@dataclass(frozen=True)
class Pair:
    """Two embedders' vectors of the same photos, measured.

    Attributes:
        sets: of the first and of the second, whose rows are in the order of the first's.
        evaluations: of each, searching itself.
    """

    sets: tuple[EmbeddingSet, EmbeddingSet]
    evaluations: tuple[Evaluation, Evaluation]


def main(
    first: Path,
    second: Path,
    *,
    k: str = "1,2,4,8",
    json: bool = False,
    report: Path | None = None,
    overwrite: bool = False,
) -> Comparison | RecipeComparison:
    """Compare two embedders on the same photos, each of which searches for its class among the others.

    The difference is paired: the same queries, one by one. Its interval resamples whole classes and covers other
    classes. It does not say that another training by the same recipe would come out alike: several seeds say that. So a
    folder of several embeddings folders stands for a recipe, each of them for a seed, and the interval covers seeds.

    Args:
        first: embeddings folder or index folder by one embedder, or a folder of several.
        second: the same photos by the other one, in any order, or a folder of several.
        k: numbers of neighbours for recall@k, separated by commas.
        json: print one JSON object instead of a table.
        report: a folder to make, with a page of the queries that flip and their photos; not for recipes.
        overwrite: make that folder anew.

    Returns:
        The comparison.
    """
    seeds = _seeds(first), _seeds(second)
    if max(map(len, seeds)) > 1:
        if report:
            raise InputError(f"{first} and {second} hold several seeds; --report shows one of each: give their folders")
        recipes = compare_recipes(*seeds, whole_numbers(k))
        for warning in recipes.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        print(dumps(asdict(recipes)) if json else _recipe_table(recipes))
        return recipes
    ks, folders = whole_numbers(k), (first, second)
    wanted = Wanted.of(report, folders, overwrite, kind=KIND, files=FILES, k=ks) if report else None
    pair = paired(EmbeddingSet.load(first), EmbeddingSet.load(second), ks)
    comparison = compared(pair, ks)
    warnings = [*comparison.warnings, *roughness(comparison.differences)]
    told = {**asdict(comparison), "warnings": warnings}
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(dumps(told) if json else _table(comparison))
    if wanted:
        with wanted.folder() as folder:
            write_comparison(folder, pair.sets, pair.evaluations, told, folders)
    return comparison


def compare(first: EmbeddingSet, second: EmbeddingSet, ks: Sequence[int] = (1, 2, 4, 8)) -> Comparison:
    """Measure both sets, each searching itself, and pair their queries.

    Raises:
        InputError: the sets hold other photos or other labels, or a set cannot be evaluated.
    """
    return compared(paired(first, second, ks), ks)


def paired(first: EmbeddingSet, second: EmbeddingSet, ks: Sequence[int]) -> Pair:
    """Measure both sets, each searching itself, and keep what the page of the comparison shows of each query.

    Raises:
        InputError: as for ``compare``.
    """
    second = _in_order_of(first, second)
    one, two = (evaluate(each, None, [1, *ks], kept=NEAREST) for each in (first, second))
    return Pair((first, second), (one, two))


def compared(pair: Pair, ks: Sequence[int]) -> Comparison:
    """Pair the queries of two embedders.

    Args:
        pair: both.
        ks: the numbers of neighbours that recall was measured at.
    """
    (first, second), evaluations = pair.sets, pair.evaluations
    one, two = ({**evaluation.per_query} for evaluation in evaluations)
    names = [name for name in one if name in METRICS or name in {f"recall@{k}" for k in ks}]
    pairs = {name: two[name] - one[name] for name in names}
    differences = class_intervals(pairs, evaluations[0].codes, bounds=(-1.0, 1.0))
    left, right = (evaluation.right for evaluation in evaluations)
    return Comparison(
        means={name: (float(one[name].mean()), float(two[name].mean())) for name in names},
        differences=differences,
        differing={name: int((values != 0).sum()) for name, values in pairs.items()},
        won=first.named(evaluations[0].rows[right & ~left]),
        lost=first.named(evaluations[0].rows[left & ~right]),
        queries=evaluations[0].queries,
        left_out=evaluations[0].left_out,
        warnings=[
            *_of_both(*(_warnings(*one) for one in zip(SIDES, pair.sets, evaluations, strict=True))),
            *(["both are of the same embedder"] if first.fingerprint == second.fingerprint else []),
        ],
    )


def _warnings(name: str, one: EmbeddingSet, evaluation: Evaluation) -> list[str]:
    """What flatters a set, or is missing from it."""
    found = find_leaks(one, None, evaluation.rows, evaluation.nearest).warnings()
    if one.unreadable:
        found.append(f"{one.unreadable} photos could not be read, and are in no number")
    return [f"{name}: {text}" for text in found]


def _of_both(one: list[str], two: list[str]) -> list[str]:
    """The warnings about the first and the second; what is true of both is said once."""
    first, second = SIDES
    said = [
        text if f"{second}{text.removeprefix(first)}" not in two else f"both{text.removeprefix(first)}" for text in one
    ]
    return [*said, *(text for text in two if f"both{text.removeprefix(second)}" not in said)]


def compare_recipes(
    first: Sequence[Path], second: Sequence[Path], ks: Sequence[int] = (1, 2, 4, 8)
) -> RecipeComparison:
    """Measure the sets of several seeds of two recipes, each searching itself.

    Raises:
        InputError: the sets do not hold the same photos with the same labels, or a recipe has fewer than two seeds.
    """
    example = EmbeddingSet.load(first[0])
    scores: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    warnings: list[str] = []
    for paths, found in zip((first, second), scores, strict=True):
        seen: dict[str, Path] = {}
        for path in paths:
            one = _in_order_of(example, EmbeddingSet.load(path))
            if (other := seen.setdefault(one.fingerprint, path)) != path:
                raise InputError(f"{other} and {path} are of the same embedder; seeds are trainings of their own")
            evaluation = evaluate(one, None, ks)
            found.append(evaluation.means())
            warnings += _warnings(str(path), one, evaluation)
    names = [name for name in scores[0][0] if name.startswith("recall@") or name in METRICS]
    values = {name: tuple([one[name] for one in found] for found in scores) for name in names}
    return RecipeComparison(
        spreads={name: (spread(one), spread(two)) for name, (one, two) in values.items()},
        differences={name: difference(one, two) for name, (one, two) in values.items()},
        queries=evaluation.queries,
        left_out=evaluation.left_out,
        warnings=warnings,
    )


def _seeds(folder: Path) -> list[Path]:
    """The folders of vectors in a folder; itself, if it is one (or nothing that can be read, to be told so).

    Raises:
        InputError: some of its folders are of vectors and some are not.
    """
    inside = [*folder.iterdir()] if folder.is_dir() else []
    below = sorted(path for path in inside if path.is_dir() and not path.name.startswith("."))
    seeds = [path for path in below if (path / MANIFEST).exists()]
    if (folder / MANIFEST).exists() or not seeds:
        return [folder]
    if len(seeds) < len(below):
        other = next(path for path in below if path not in seeds)
        raise InputError(f"{other} holds no vectors, unlike {seeds[0]}; move it out, or embed it")
    return seeds


def _in_order_of(first: EmbeddingSet, second: EmbeddingSet) -> EmbeddingSet:
    """The second set's rows in the order of the first one's photos.

    Raises:
        InputError: they do not hold the same photos with the same labels.
    """
    orders = [np.array(sorted(range(len(one)), key=_keys(one).__getitem__), np.int64) for one in (first, second)]
    ids = [np.array(one.ids)[order] for one, order in zip((first, second), orders, strict=True)]
    if not np.array_equal(ids[0], ids[1]):
        alone = set(first.ids) ^ set(second.ids)
        raise InputError(
            f"the two sets hold other photos ({len(first)} and {len(second)}, {len(alone)} of them in one only); embed "
            "the same photos with both embedders"
        )
    rows = np.empty(len(first), np.int64)
    rows[orders[0]] = orders[1]
    second = EmbeddingSet(second.vectors[rows], taken(second.table, rows), second.fingerprint, second.unreadable)
    differing = [row for row, pair in enumerate(zip(first.labels, second.labels, strict=True)) if pair[0] != pair[1]]
    if differing:
        row = differing[0]
        raise InputError(
            f"{len(differing)} photos are labelled otherwise in the second set (first: "
            f"{first.named([row])[0]} is {first.labels[row]!r} and {second.labels[row]!r}); "
            "embed the same photos with both embedders"
        )
    return second


def _keys(one: EmbeddingSet) -> list[tuple[str, str, str]]:
    """What tells rows apart, also those of one photo under two labels."""
    return [(name, label or "", path or "") for name, label, path in zip(one.ids, one.labels, one.paths, strict=True)]


def _recipe_table(comparison: RecipeComparison) -> str:
    """The comparison of recipes for people."""
    one, two = next(iter(comparison.spreads.values()))
    lines = [f"{comparison.queries} queries, {comparison.left_out} left out"]
    lines += [f"{one.runs} and {two.runs} seeds: mean and standard deviation; 95 % interval over seeds"]
    lines += [f"{'':<12}{'first':>18}{'second':>18}  second less first"]
    for name, found in comparison.differences.items():
        sides = "".join(f"{f'{side.mean:.4f} ± {side.deviation:.4f}':>18}" for side in comparison.spreads[name])
        ends = "no interval, as no seed differs"
        if found.low is not None and found.high is not None:
            ends = f"[{found.low:+.4f}, {found.high:+.4f}]"
        lines.append(f"{title(name):<12}{sides}  {found.mean:+.4f}  {ends}")
    return "\n".join(lines)


def _table(comparison: Comparison) -> str:
    """The comparison for people."""
    lines = [
        f"{comparison.queries} queries, {comparison.left_out} left out",
        f"{'':<12}{'first':>8}{'second':>8}  second less first, 95 % interval",
    ]
    for name, interval in comparison.differences.items():
        one, two = comparison.means[name]
        ends = f"{interval.mean:+.4f}  [{interval.low:+.4f}, {interval.high:+.4f}]"
        if not comparison.differing[name]:
            ends = "no query differs"
        lines.append(f"{title(name):<12}{one:>8.4f}{two:>8.4f}  {ends}")
    for text, paths in (("right by the second alone", comparison.won), ("right by the first alone", comparison.lost)):
        lines.append(f"{text}: {len(paths)}")
        lines += [f"  {path}" for path in paths[:SHOWN]]
        if len(paths) > SHOWN:
            lines.append(f"  and {len(paths) - SHOWN} more; --json lists all")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
