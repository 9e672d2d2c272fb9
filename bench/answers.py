"""By neighbours, by prototypes or by both: which answers best, and is a genus right as often as it is said to be?

    python -m bench.answers EMBEDDER birds100:ROOT [--split all] [--taxa bench/birds100_taxa.csv] [--choices]

In each draw half of the classes are left out of the index, and a fifth of the photos of the others; what is left is
calibrated for 10 % false accepts and label sets of 90 %. Then some photos are asked of each kind that was left out.
AUROC is that of the references, each with its own photo hidden against each with its class hidden. With --taxa all
classes are indexed but for a fifth of the photos, and all of these are asked: how probable is the likeliest name of
each level said to be, and how often is it right; and which levels are named, where names are sure from --sure on. With
--choices also what was chosen by: how many prototypes vote, and by which similarity both ways tell known photos.
"""

import argparse
import csv
import shutil
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from os.path import relpath
from pathlib import Path
from typing import Any

import numpy as np

from embedder.data.catalog import read_catalog
from eval.groups import group_codes
from eval.open_set import auroc
from eval.reliability import expected_calibration_error
from index import Index, hidden
from index.build import main as build
from index.calibrate import main as calibrate
from index.calibration import PROTOTYPES, By
from index.changes import change_index, removed
from index.journal import Change
from index.taxonomy import LABEL, LEVELS, Taxonomy, deepest, likeliest, name_at

WAYS: tuple[By, ...] = ("neighbours", "prototypes", "both")
FIFTH = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("images")
    parser.add_argument("--split", default="test")
    parser.add_argument("--taxa", type=Path, help="a table with the columns label, genus, family and order")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--asked", type=int, default=300, help="photos of each kind in a draw")
    parser.add_argument("--choices", action="store_true")
    parser.add_argument("--sure", default="0.9", help="probabilities from which on a name is sure enough")
    parser.add_argument("--out", type=Path, default=Path("bench/runs/answers"), help="where the index is kept")
    options = parser.parse_args()
    images = with_taxa(options.images, options.taxa, options.out) if options.taxa else options.images
    with redirect_stdout(StringIO()):
        everything = build(
            options.embedder, images, out=options.out / "all.index", split=options.split, on_conflict="skip"
        )
    if options.choices:
        print(*choices(Index.open(everything)), sep="\n", end="\n\n")
    print("| by | right | log loss | stated | ECE | AUROC | false accepts | known: stated | seen | held | labels |")
    print("|" + "---|" * 11)
    for by in WAYS:
        rows = [one_draw(everything, seed, by, options.asked) for seed in range(options.draws)]
        print(f"| {by} | {' | '.join(f'{cell:.3f}' for cell in np.mean(rows, axis=0))} |", flush=True)
    if options.taxa:
        print(*levels(everything, [*map(float, options.sure.split(","))]), sep="\n")


def with_taxa(images: str, taxa: Path, folder: Path) -> str:
    """A table of the photos with their taxa."""
    catalog = read_catalog(images)
    of_label = {row["label"]: row for row in csv.DictReader(taxa.open(encoding="utf-8"))}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["path", "label", *LEVELS])
        writer.writeheader()
        for path, label in zip(catalog.paths, catalog.labels, strict=True):
            writer.writerow({"path": relpath(catalog.root / path, folder), **of_label[label]})
    return str(folder / "photos.csv")


def calibrated(everything: Path, left_out: np.ndarray, **asked: Any) -> Index:
    """The index without some rows, calibrated as ``index.calibrate`` is asked to."""
    folder = everything.with_name("draw.index")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(everything, folder)
    with redirect_stdout(StringIO()):
        change_index(folder, lambda opened: (removed(opened.manifest, np.flatnonzero(left_out)), Change("remove")))
        calibrate(folder, **asked)
    return Index.open(folder)


def one_draw(everything: Path, seed: int, by: By, asked: int) -> tuple[float, ...]:
    """The cells of the first table."""
    whole, draw = Index.open(everything), np.random.default_rng(seed)
    labels = whole.labels.astype(str)
    classes = draw.permutation(np.unique(labels))
    unknown = np.isin(labels, classes[: len(classes) // 2])
    new = ~unknown & (draw.random(whole.count) < FIFTH)
    index = calibrated(everything, unknown | new, by=by, false_accepts=0.1, coverage=0.9)
    new_rows, unknown_rows = (np.sort(draw.permutation(np.flatnonzero(side))[:asked]) for side in (new, unknown))
    answers = [index.judge(vector) for vector in whole.vectors(new_rows)]
    shares = [{one.label: one.share for one in answer.candidates} for answer in answers]
    right = np.array(
        [max(one, key=one.__getitem__) == label for one, label in zip(shares, labels[new_rows], strict=True)]
    )
    stated = np.array([answer.probability for answer in answers])
    losses = [-np.log(max(one.get(label, 0), 1e-6)) for one, label in zip(shares, labels[new_rows], strict=True)]
    sets = [answer.label_set or [] for answer in answers]
    held = [label in one for one, label in zip(sets, labels[new_rows], strict=True)]
    accepted = np.array([index.judge(vector).known for vector in whole.vectors(unknown_rows)])
    of_class = [accepted[labels[unknown_rows] == one].mean() for one in np.unique(labels[unknown_rows])]
    assert index.calibration is not None
    cells = (
        right.mean(),
        np.mean(losses),
        stated.mean(),
        expected_calibration_error(stated, right),
        unknown_auroc(index, by),
        np.mean(of_class),
        index.calibration.known_accepted,
        np.mean([answer.known for answer in answers]),
        np.mean(held),
        np.mean([len(one) for one in sets]),
    )
    return tuple(map(float, cells))


def unknown_auroc(index: Index, by: By) -> float:
    """How well known and unknown photos are told apart by what an answer compares with its threshold."""
    found = every_one_hidden(index, by)
    return auroc(found.known, found.strangers)


def every_one_hidden(index: Index, by: By) -> hidden.Measured:
    """The votes on every reference."""
    codes, groups = index.classes[1], group_codes(index.table)
    rows = np.flatnonzero(index.kept)
    return hidden.measured(index, by, rows, codes, groups, np.zeros(len(rows), bool))


def choices(index: Index) -> Iterator[str]:
    """Two more tables, of all references."""
    by_neighbours, by_prototypes, by_both = (every_one_hidden(index, by) for by in WAYS)
    known, strangers = (
        (getattr(by_neighbours, side) + getattr(by_prototypes, side)) / 2 for side in ("known", "strangers")
    )
    yield "| known by the similarity of | AUROC |\n|---|---|"
    yield f"| the nearest reference | {auroc(by_neighbours.known, by_neighbours.strangers):.4f} |"
    yield f"| the nearest prototype | {auroc(by_prototypes.known, by_prototypes.strangers):.4f} |"
    yield f"| both, the mean | {auroc(known, strangers):.4f} |"
    yield f"| the nearest reference and its class, the mean | {auroc(by_both.known, by_both.strangers):.4f} |"
    yield "\n| prototypes that vote | log loss of prototypes | of both |\n|---|---|---|"
    for number in (5, 10, 20, 50, 100):
        hidden.PROTOTYPES = number
        losses = (-np.log(np.maximum(every_one_hidden(index, by).right, 1e-6)).mean() for by in WAYS[1:])
        yield f"| {number} | {' | '.join(f'{loss:.3f}' for loss in losses)} |"
    hidden.PROTOTYPES = PROTOTYPES


def levels(everything: Path, from_where: list[float]) -> Iterator[str]:
    """The second and the third table."""
    whole = Index.open(everything)
    asked = np.random.default_rng(0).random(whole.count) < FIFTH
    named = []
    yield "\n| by | level | stated | right | ECE |\n|---|---|---|---|---|"
    for by in WAYS:
        index = calibrated(everything, asked, by=by, coverage=0.9)
        answers = [index.judge(vector) for vector in whole.vectors(np.flatnonzero(asked))]
        taxa = index.taxa
        for level in (LABEL, *taxa):
            told = zip(
                (likeliest(answer.candidates, level, taxa) for answer in answers), whole.labels[asked], strict=True
            )
            best = [(one, name_at(label, level, taxa)) for one, label in told if one]
            stated = np.array([one.probability for one, _ in best])
            right = np.array([one.name == name for one, name in best])
            error = expected_calibration_error(stated, right)
            yield f"| {by} | {level} | {stated.mean():.1%} | {right.mean():.1%} | {error:.3f} |"
        known = [place for place, answer in enumerate(answers) if answer.known]
        for sure in from_where:
            deep = [(deepest(answers[place].candidates, taxa, sure), whole.labels[asked][place]) for place in known]
            named += [f"| {by} | {sure} | {row}" for row in rows_of_levels(deep, taxa)]
    yield "\n| by | sure from | level | named | stated | right |\n|---|---|---|---|---|---|"
    yield from named


def rows_of_levels(best: list, taxa: Taxonomy) -> Iterator[str]:
    """How often each level was named, how probable that was said to be, how often it was right."""
    for level in (LABEL, *taxa):
        here = [(one, label) for one, label in best if one and one.level == level]
        if here:
            stated = np.mean([one.probability for one, _ in here])
            right = np.mean([one.name == name_at(label, level, taxa) for one, label in here])
            yield f"{level} | {len(here) / len(best):.1%} | {stated:.1%} | {right:.1%} |"
    yield f"none | {sum(one is None for one, _ in best) / len(best):.1%} | | |"


if __name__ == "__main__":
    main()
