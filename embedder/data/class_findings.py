"""What is wrong with the classes of some photos, and with their split: pure functions from a table to findings."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedder.data.findings import SIDES, Entry, Finding, Looked, Mask, Numbers
from eval.errors import counted, first_few

SHOWN = 3
"""Photos of each side that show a class."""

APART = 0.5
"""Where fewer of the classes than this are on both sides, the split is taken for one by classes."""


@dataclass(frozen=True)
class Count:
    """How many photos one side has.

    Attributes:
        side: ``train``, ``test``, or ``all`` where there is no test side.
        photos: how many, those without a label among them.
        classes: how many each class has, the fewest first, those with none left out.
    """

    side: str
    photos: int
    classes: dict[str, int]


def counts(looked: Looked) -> list[Count]:
    """How many photos each side has, and each class on it."""
    sides = zip(SIDES, (looked.training, looked.test), strict=True)
    parts = [*sides] if looked.has_test else [("all", np.ones(len(looked.catalog), bool))]
    return [Count(side, int(mask.sum()), _by_class(looked, mask)) for side, mask in parts]


def sides(looked: Looked, apart: bool | None) -> Finding:
    """Classes that are on both sides although they should not be, or on one although they should be on both.

    Args:
        looked: the photos.
        apart: whether the protocol keeps the classes of the two sides apart; None where nobody says so, and what most
            classes do shows what is meant.
    """
    names = looked.catalog.classes
    there = np.stack([_places(looked, looked.training), _places(looked, looked.test)])
    both, one = there.all(axis=0), there.any(axis=0) & ~there.all(axis=0)
    meant = apart if apart is not None else both.sum() < APART * there.any(axis=0).sum()
    found = []
    for code in np.flatnonzero(both if meant else one):
        of_class = looked.catalog.rows_by_class[code]
        rows = [of_class[mask[of_class]] for mask in (looked.training, looked.test)]
        sizes = {side: len(some) for side, some in zip(SIDES, rows, strict=True)}
        told = ", ".join(f"{size} in {side}" for side, size in sizes.items() if size)
        shown = np.concatenate([some[:SHOWN] for some in rows]).tolist()
        found.append(Entry(shown, f"{names[code]}: {told}", {"label": names[code], **sizes}))
    if meant:
        why = "The classes of the two sides are to be different ones"
        guessed = f" ({both.sum()} of {there.any(axis=0).sum()} are on both)" if apart is None else ""
        note = f"{why}{guessed}: who is trained on a class knows it in the test."
        return Finding("sides", "Classes on both sides of the split", note, found)
    note = "The sides share their classes: without training photos none is named right, without a test none measured."
    return Finding("sides", "Classes on one side of the split only", note, found)


def one_name(looked: Looked) -> Finding:
    """Classes whose names differ in capitals, spaces, dots and dashes alone, and so may be one class."""
    names = looked.catalog.classes
    prefix = re.compile(r"^\d+[._ -]+(?=\D)") if all(re.match(r"\d+[._ -]+\D", name) for name in names) else None
    alike: dict[str, list[int]] = {}
    for code, name in enumerate(names):
        alike.setdefault(_plain(prefix.sub("", name) if prefix else name), []).append(code)
    found = []
    for codes in alike.values():
        if len(codes) > 1:
            rows = [looked.catalog.rows_by_class[code] for code in codes]
            sided = [f"{names[code]!r} ({_where(looked, some)})" for code, some in zip(codes, rows, strict=True)]
            sides = looked.sides(np.concatenate(rows).tolist())
            facts = {"labels": [names[code] for code in codes], "both_sides": len(sides) > 1}
            shown = np.concatenate([some[:SHOWN] for some in rows]).tolist()
            found.append(Entry(shown, ", ".join(sided), facts))
    found.sort(key=lambda one: not one.facts["both_sides"])
    note = "The names differ in capitals, spaces, dots and dashes alone; if they are one class, give it one name."
    return Finding("one_name", "Classes of nearly one name", note, found)


def lone(looked: Looked, empty: Sequence[str] = ()) -> Finding:
    """Classes of a single photo, of which nothing can be learned or measured, or of none.

    Args:
        looked: the photos.
        empty: folders without photos.
    """
    codes = looked.catalog.codes
    sizes = np.bincount(codes[codes >= 0], minlength=len(looked.catalog.classes))
    few = np.flatnonzero(sizes <= 1)
    found = [Entry([], f"{name}: no photo", {"label": name, "photos": 0}) for name in empty]
    for code in few[np.argsort(sizes[few], kind="stable")]:
        name, size = looked.catalog.classes[code], int(sizes[code])
        rows = looked.catalog.rows_by_class[code].tolist()
        found.append(Entry(rows, f"{name}: {'1 photo' if size else 'no photo'}", {"label": name, "photos": size}))
    return Finding("lone", "Classes of a single photo or none", "Nothing else of their kind can be found.", found)


def groups(looked: Looked) -> Finding:
    """Photos of one individual or burst that are on both sides."""
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(looked.catalog.table["group"].to_pylist()):
        if name is not None:
            rows_of.setdefault(name, []).append(row)
    found = []
    for name, rows in rows_of.items():
        training, test = ([row for row in rows if mask[row]] for mask in (looked.training, looked.test))
        if training and test:
            text = f"{name}: {len(training)} in train, {len(test)} in test ({first_few(_texts(looked, rows))})"
            facts = {"group": name, "photos": [looked.named(row) for row in rows]}
            found.append(Entry(training[:SHOWN] + test[:SHOWN], text, facts))
    note = "Photos of one individual or burst are nearly one photo: the test is too easy."
    return Finding("groups", "Groups on both sides of the split", note, found)


def _by_class(looked: Looked, mask: Mask) -> dict[str, int]:
    """How many photos each class has on one side, the fewest first."""
    sizes = _places(looked, mask)
    order = np.argsort(sizes, kind="stable")
    return {looked.catalog.classes[code]: int(sizes[code]) for code in order if sizes[code]}


def _places(looked: Looked, mask: Mask) -> Numbers:
    """How many photos each class has on one side ``[C]``."""
    codes = looked.catalog.codes[mask]
    return np.bincount(codes[codes >= 0], minlength=len(looked.catalog.classes))


def _plain(name: str) -> str:
    """A name in small letters without spaces, dots and dashes, but for those between two digits."""
    letters = unicodedata.normalize("NFKC", name).casefold()
    spaced = "".join(" " if unicodedata.category(letter)[0] in "PZC" else letter for letter in letters)
    return re.sub(r"(?<!\d) +| +(?!\d)", "", spaced) or name


def _where(looked: Looked, rows: Numbers) -> str:
    """How many photos there are, and on which sides."""
    return " ".join([counted(len(rows), "photo", "photos"), *looked.sides(rows.tolist())])


def _texts(looked: Looked, rows: Sequence[int]) -> list[str]:
    """The paths of some photos."""
    return [looked.catalog.paths[row] for row in rows]
