"""The page of a comparison: two embedders on the same photos, which queries flipped, with pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.evaluation import Evaluation
from eval.files import MANIFEST
from eval.metrics import title
from eval.pictures import Pictures
from eval.report_folder import SIDE
from eval.report_page import encoded, write_page

KIND, PAGE = "comparison", "comparison.html"
FILES = {MANIFEST, PAGE}
"""What a folder of a comparison holds."""

SIDES = ("first", "second")
"""What the command calls the two."""

FLIPS = 24
"""Queries of each kind that are shown with pictures; all are listed."""

NEAREST = 3
"""Neighbours by each embedder that are shown of each."""

Two = tuple[EmbeddingSet, EmbeddingSet]
Evaluations = tuple[Evaluation, Evaluation]


def write_comparison(
    folder: Path, sets: Two, evaluations: Evaluations, comparison: dict[str, Any], inputs: Sequence[Path]
) -> Path:
    """Write the page into a folder.

    Args:
        folder: where it goes.
        sets: the vectors of both embedders, the second's rows in the order of the first's.
        evaluations: of each, searching itself.
        comparison: what ``eval.compare`` says, as JSON values.
        inputs: where both were read from; the photos are those that the first one knows.

    Returns:
        The page.
    """
    names = _told_apart(*(path.resolve() for path in inputs))
    said = content(sets, evaluations, comparison, names)
    numbers = sorted({n for flip in [*said["won"], *said["lost"]] for n in _numbers(flip)})
    pictures = Pictures.of(inputs[:1], sets[:1]).jpegs(numbers, SIDE)
    labels = sets[0].labels
    called = zip(numbers, sets[0].named(numbers), strict=True)
    shown = {str(n): {"name": name, "label": labels[n]} for n, name in called}
    page = {**said, "shown": shown, "pictures": encoded(pictures)}
    return write_page(folder / PAGE, f"{names[0]} and {names[1]}: Fieldmark comparison", page, "comparison.js")


def _told_apart(first: Path, second: Path) -> list[str]:
    """The last parts of two paths, as few as tell them apart."""
    most = max(len(first.parts), len(second.parts))
    for count in range(1, most + 1):
        names = [Path(*path.parts[-count:]).as_posix() for path in (first, second)]
        if names[0] != names[1]:
            break
    return names


def content(sets: Two, evaluations: Evaluations, comparison: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """All that the page says but the photos; these stand in it by their row in the first set."""
    left, right = (evaluation.right for evaluation in evaluations)
    return {
        "kind": KIND,
        "names": list(names),
        "fingerprints": [one.fingerprint for one in sets],
        "queries": comparison["queries"],
        "left_out": comparison["left_out"],
        "warnings": [_with_name(text, names) for text in comparison["warnings"]],
        "metrics": [
            [title(name), *comparison["means"][name], one["mean"], *_ends(one, comparison["differing"][name])]
            for name, one in comparison["differences"].items()
        ],
        "both": int((left & right).sum()),
        "neither": int((~left & ~right).sum()),
        "won": _flips(evaluations, right & ~left),
        "lost": _flips(evaluations, left & ~right),
        "won_names": comparison["won"],
        "lost_names": comparison["lost"],
        "classes": _classes(evaluations),
    }


def _with_name(warning: str, names: Sequence[str]) -> str:
    """A warning about one of the two with the name that the page has for it."""
    side, colon, text = warning.partition(": ")
    return f"{names[SIDES.index(side)]}{colon}{text}" if side in SIDES else warning


def _ends(difference: dict[str, Any], differing: int) -> list[float | None]:
    """The ends of the interval of a difference; none where no query differs."""
    return [difference["low"], difference["high"]] if differing else [None, None]


def _flips(evaluations: Evaluations, flipped: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Queries that flip, those whose MAP@R differs most first: each embedder's nearest with their similarities."""
    one, two = (evaluation.per_query["map@r"] for evaluation in evaluations)
    places = np.flatnonzero(flipped)
    places = places[np.argsort(-np.abs(two - one)[places], kind="stable")][:FLIPS]
    classes = {int(row): int(code) for row, code in zip(evaluations[0].rows, evaluations[0].codes, strict=True)}

    def near(evaluation: Evaluation, row: int) -> list[list[Any]]:
        rows, similarities = (of[row, :NEAREST] for of in (evaluation.nearest.rows, evaluation.nearest.similarities))
        return [
            [int(n), float(similarity), classes.get(int(n)) == classes[row]]
            for n, similarity in zip(rows, similarities, strict=True)
            if n >= 0
        ]

    return [
        {"query": row, "first": near(evaluations[0], row), "second": near(evaluations[1], row)}
        for row in evaluations[0].rows[places].tolist()
    ]


def _classes(evaluations: Evaluations) -> list[list[Any]]:
    """Each class with its queries and recall@1 by both, and by how much they differ."""
    one, two = (evaluation.per_class() for evaluation in evaluations)
    return [
        [label, of["queries"], of["recall@1"], two[label]["recall@1"], two[label]["recall@1"] - of["recall@1"]]
        for label, of in one.items()
    ]


def _numbers(flip: dict[str, Any]) -> set[int]:
    """The photos that are shown of a query that flips."""
    return {flip["query"], *(one[0] for one in [*flip["first"], *flip["second"]])}
