"""Drawn birds that are drawn for a question: which of several ways to train answers it best, on species never seen."""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.differences import (
    METRICS,
    Result,
    Results,
    add_results,
    differences,
    few_classes,
    mean,
    read_of_kind,
    read_results,
)
from bench.recipes import check_names, digest
from embedder.config import Config
from embedder.data.catalog import TYPES
from embedder.data.drawing.bird import DrawnBird
from embedder.data.drawing.field_guide import TEST, TRAINING, VALIDATION
from embedder.train import fit

RESULTS = Path("bench/measured")

TRAINED = (*TRAINING, *VALIDATION)
QUARTERS = 4

Draw = Callable[[Path, Sequence[str], Sequence[str]], None]
"""Draw what is missing in a folder: photos of species to train on, and of species to test."""


def read_options(description: str | None, ways: Sequence[str]) -> argparse.Namespace:
    """The options of a script that compares ways, the first of which is the base and so never left out.

    Args:
        description: of the script.
        ways: their names.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(ways))
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS / f"{Path(sys.argv[0]).stem}.jsonl")
    options = parser.parse_args()
    check_names("--ways", options.ways.split(","), [*ways])
    options.ways = [way for way in ways if way == ways[0] or way in options.ways.split(",")]
    return options


def folders(folder: Path, draw: Draw, held_out: bool, tested: Sequence[str] = TEST) -> list[Path]:
    """Those with what is trained on and tested: one; to choose by, a quarter of the species to train on in each."""
    if not held_out:
        draw(folder / "test", TRAINED, tested)
        return [folder / "test"]
    quarters = [folder / "quarters" / str(quarter) for quarter in range(QUARTERS)]
    for quarter, one in enumerate(quarters):
        left_out = TRAINED[quarter::QUARTERS]
        draw(one, [species for species in TRAINED if species not in left_out], left_out)
    return quarters


def save(
    folder: Path, name: str, birds: Iterable[tuple[str, DrawnBird]], box: Callable[[DrawnBird], list[float]]
) -> None:
    """Photos of birds with their labels, and the table of them, last."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, (label, drawn) in enumerate(birds):
        rows.append({"path": f"{name}/{label.replace(' ', '_')}-{number:04}.jpg", "label": label, "box": box(drawn)})
        rows[-1]["keypoints"] = drawn.keypoints.tolist()
        drawn.image.save(folder / rows[-1]["path"], quality=92, subsampling=0)
    schema = pa.schema(
        [("path", pa.string()), ("label", pa.string()), *((one, TYPES[one]) for one in ("box", "keypoints"))]
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{name}.parquet")


def square(box: tuple[int, int, int, int]) -> list[float]:
    """A square around a bird, with some room, that a turn of the bird does not make another shape of."""
    left, top, right, bottom = box
    half = 0.55 * max(right - left, bottom - top)
    x, y = (left + right) / 2, (top + bottom) / 2
    return [x - half, y - half, x + half, y + half]


def compare(
    options: argparse.Namespace,
    places: list[Path],
    settings: Callable[[Path, str, int], Config],
    measured: Callable[[Path, Path, str], Mapping[str, Result]],
) -> None:
    """Train each way with each seed, but for what is among the results, and print the table.

    Args:
        options: as ``read_options`` gives them.
        places: folders with what is trained on and tested; their queries are taken together.
        settings: of one training, by its folder, way and seed.
        measured: results by what was tested, by a run, its folder and way.

    Raises:
        ValueError: the results are by other options.
    """
    kind = {"held_out": options.held_out}
    for seed in range(options.seeds):
        for way in options.ways:
            of_way = {"way": way, "settings": digest(settings(places[0], way, seed))}
            before = [one for one in read_of_kind(options.results, lambda _: kind) if one["way"] == way]
            if any(one["settings"] != of_way["settings"] for one in before):
                raise ValueError(f"{options.results} holds {way!r} by other settings; give another --results")
            if any(one["seed"] == seed for one in before):
                continue
            found = [measured(fit(settings(place, way, seed), place / f"{way}-{seed}"), place, way) for place in places]
            of_this = {**of_way, "seed": seed}
            results = [{**of_this, "test": test, **kind, **together([one[test] for one in found])} for test in found[0]]
            add_results(options.results, results)
    show(read_results(options.results), options.ways)


def show(results: list[Result], ways: Sequence[str]) -> None:
    """The table of what there is; the first way is the base."""
    tests = dict.fromkeys(one["test"] for one in results)
    found = {test: {way: runs(results, test, way) for way in ways} for test in tests}
    heads = [head for test in tests for head in (f"recall@1, {test}", f"minus {ways[0]}")]
    print(f"\n| way | seeds | {' | '.join(heads)} |\n|{'---|' * (2 + len(heads))}")
    for way in [way for way in ways if all(one[way] for one in found.values())]:
        seeds = len(next(iter(found.values()))[way])
        told = [cell for one in found.values() for cell in cells(one, ways[0], way)]
        print(f"| {way} | {seeds} | {' | '.join(told)} |")
    if remark := few_classes(results[0]):
        print(f"\n{remark}")


def runs(results: list[Result], test: str, way: str) -> Results:
    """What is found of a way in a test, by the seeds."""
    return {one["seed"]: one for one in results if (one["test"], one["way"]) == (test, way)}


def together(results: list[Result]) -> Result:
    """One result of the queries of several."""
    classes = [one for result in results for one in result["classes"]]
    queries, *sums = map(sum, zip(*classes, strict=True))
    return {**{one: round(value / queries, 5) for one, value in zip(METRICS, sums, strict=True)}, "classes": classes}


def cells(found: dict[str, Results], base: str, way: str) -> tuple[str, str]:
    """The mean over seeds, and how much more that is than the base's, with the interval over species and seeds."""
    value = mean([*found[way].values()], "recall@1")
    if way == base:
        return value, ""
    return value, differences(found, base, way)["recall@1"]
