"""What is wrong with photos, as far as they and their tables tell: pure functions from facts to findings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedder.data.catalog import Catalog
from embedder.data.photo_facts import PhotoFacts
from eval.copies import linked
from eval.errors import counted
from eval.images import Box

SIDES = ("train", "test")

TOLERATED = 1.0
"""Pixels by which a box or a keypoint may lie outside of its photo: lists count pixels from 0 or from 1."""

NAMED = 4
"""Photos of a group that are named to people."""

FAR = 0.25
"""How far a keypoint may lie outside of its box, as a share of the box's longer side."""

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Entry:
    """One thing that was found.

    Attributes:
        rows: the photos that show it, the one that it is about first.
        text: one line for people.
        facts: the same for programs, in JSON values.
    """

    rows: list[int]
    text: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """All that was found of one kind.

    Attributes:
        kind: its name for programs.
        title: its name for people.
        note: what it means, or how it was told, in a sentence.
        entries: what was found, the worst first.
        summary: how much that is, where their number alone does not say it.
    """

    kind: str
    title: str
    note: str
    entries: list[Entry] = field(default_factory=list)
    summary: str = ""

    @property
    def headline(self) -> str:
        """The title and how much was found."""
        return f"{self.title}: {self.summary or len(self.entries)}"


@dataclass(frozen=True)
class Looked:
    """Photos that were looked at, with the sides of the split that they are on.

    Attributes:
        catalog: the photos.
        facts: what they are.
        training: ``[N]``, which may be trained on.
        test: ``[N]``, which are the test.
    """

    catalog: Catalog
    facts: PhotoFacts
    training: Mask
    test: Mask

    @cached_property
    def has_test(self) -> bool:
        """Whether there is a test side at all."""
        return bool(self.test.any())

    def sides(self, rows: Iterable[int]) -> list[str]:
        """The sides that some photos are on."""
        rows = list(rows)
        masks = zip(SIDES, (self.training, self.test), strict=True)
        return [side for side, mask in masks if mask[rows].any()] if self.has_test else []

    def labels(self, rows: Iterable[int]) -> list[str]:
        """The different labels of some photos, in their order; of one without a label nothing is known."""
        labels = (self.catalog.labels[row] for row in rows)
        return list(dict.fromkeys(label for label in labels if label is not None))

    def called(self, row: int) -> str:
        """What people know a photo by: its path, and its label where the path does not say it."""
        path, label = self.catalog.paths[row], self.catalog.labels[row]
        return path if label is None or label in path.split("/") else f"{path} ({label})"

    def named(self, row: int) -> dict[str, Any]:
        """What a program knows a photo by."""
        side = {"side": next(iter(self.sides([row])), None)} if self.has_test else {}
        return {"path": self.catalog.paths[row], "label": self.catalog.labels[row], **side}


def unreadable(looked: Looked) -> Finding:
    """Photos that cannot be opened."""
    found = [
        Entry([row], f"{looked.catalog.paths[row]}: {reason}", {**looked.named(row), "reason": reason})
        for row, reason in looked.facts.reasons.items()
    ]
    return Finding("unreadable", "Photos that cannot be read", "Training and embedding leave them out.", found)


def tiny(looked: Looked, least: int) -> Finding:
    """Photos, or boxes in them, of few pixels."""
    sizes = looked.facts.sizes.copy()
    for row, box in enumerate(looked.catalog.boxes):
        if box and sizes[row, 0]:
            left, top, right, bottom = _clipped(box, sizes[row])
            sizes[row] = max(0, np.ceil(right) - np.floor(left)), max(0, np.ceil(bottom) - np.floor(top))
    rows = np.flatnonzero((sizes.min(axis=1) < least) & looked.facts.pictured)
    found = [
        Entry(
            [row],
            f"{looked.catalog.paths[row]}: {sizes[row, 0]} x {sizes[row, 1]} pixels",
            {**looked.named(row), "width": int(sizes[row, 0]), "height": int(sizes[row, 1])},
        )
        for row in rows[np.argsort(sizes[rows].min(axis=1), kind="stable")].tolist()
    ]
    return Finding("tiny", "Tiny photos", f"The shorter side, of the box where there is one, is below {least}.", found)


def same_photos(looked: Looked) -> Finding:
    """Photos that are there more than once: the same bytes, and the same box."""
    note = "The same file, byte for byte. One of each is enough; where labels differ, one of them is wrong."
    return _copies("same_photo", "Exact duplicates", note, looked, _same(looked))


def _same(looked: Looked) -> Numbers:
    """Pairs ``[2, P]`` of rows of one id: the first of them, and each other."""
    known = np.flatnonzero(looked.facts.readable)
    _, firsts, places = np.unique(looked.facts.ids[known], return_index=True, return_inverse=True)
    pairs = np.stack([known[firsts[places]], known])
    return pairs[:, pairs[0] != pairs[1]]


def near_copies(looked: Looked, pairs: Numbers) -> Finding:
    """Different photos that are one photo in another size, quality or cut.

    Args:
        looked: the photos.
        pairs: ``[2, P]``, rows of those that are.
    """
    ids = looked.facts.ids
    different = {row for pair in pairs.T.tolist() if ids[pair[0]] != ids[pair[1]] for row in pair}
    note = "Different files that show the same: told by what they look like in small, and by their vectors if given."
    together = np.concatenate([pairs, _same(looked)], axis=1)  # a near copy of a photo is one of its copies, too
    return _copies("near_copies", "Near duplicates", note, looked, together, different)


def boxes(looked: Looked) -> Finding:
    """Boxes that reach beyond their photo, or lie beside it."""
    found = [
        Entry([row], f"{looked.catalog.paths[row]}: {fault}", {**looked.named(row), "fault": fault, "column": name})
        for name in ("box", "subject_box")
        for row, box in enumerate(_column(looked.catalog, name))
        if box and looked.facts.sizes[row, 0] and (fault := _box_fault(box, looked.facts.sizes[row]))
    ]
    note = "What lies beyond is cut off; a photo whose box holds nothing of it is left out."
    return Finding("boxes", "Boxes out of place", note, found)


def keypoints(looked: Looked) -> Finding:
    """Keypoints outside of their photo or far outside of their box, and photos without a visible one."""
    columns = [_column(looked.catalog, name) for name in ("keypoints", "box", "subject_box")]
    found = [
        Entry([row], f"{looked.catalog.paths[row]}: {fault}", {**looked.named(row), "fault": fault})
        for row, (points, *around) in enumerate(zip(*columns, strict=True))
        if points and (fault := _keypoint_fault(np.array(points), around[0] or around[1], looked.facts.sizes[row]))
    ]
    note = f"Outside of the photo, or further outside of the box than {FAR:.0%} of its longer side; or none is visible."
    return Finding("keypoints", "Keypoints out of place", note, found)


def _copies(
    kind: str, title: str, note: str, looked: Looked, pairs: Numbers, wanted: set[int] | None = None
) -> Finding:
    """Groups of what is linked by pairs, those on both sides first, then those under several labels.

    Args:
        kind: of the finding, as the two after it.
        title: likewise.
        note: likewise.
        looked: the photos.
        pairs: ``[2, P]`` rows.
        wanted: a group must hold one of these; none for all groups.
    """
    members, component = linked(pairs)
    order = np.argsort(component, kind="stable")
    groups = np.split(members[order], np.flatnonzero(np.diff(component[order])) + 1) if len(members) else []
    found = [_group(looked, rows) for rows in (group.tolist() for group in groups) if _has(rows, wanted)]
    found.sort(key=lambda one: (-one.facts["both_sides"], -one.facts["several_labels"], one.rows))
    photos = sum(len(one.rows) for one in found)
    several = sum(one.facts["several_labels"] for one in found)
    parts = [f"{counted(len(found), 'group', 'groups')} of {photos} photos", f"{several} under several labels"]
    if looked.has_test:
        parts.append(f"{sum(one.facts['both_sides'] for one in found)} on both sides of the split")
    return Finding(kind, title, note, found, ", ".join(parts))


def _has(rows: Sequence[int], wanted: set[int] | None) -> bool:
    """Whether one of the rows is wanted."""
    return wanted is None or not wanted.isdisjoint(rows)


def _group(looked: Looked, rows: list[int]) -> Entry:
    """Copies of one photo."""
    labels, sides = looked.labels(rows), looked.sides(rows)
    faults = ["labels differ"] * (len(labels) > 1) + ["on both sides"] * (len(sides) > 1)
    named = " = ".join(looked.called(row) for row in rows[:NAMED]) + " = ..." * (len(rows) > NAMED)
    facts = {"several_labels": len(labels) > 1, "both_sides": len(sides) > 1}
    return Entry(
        rows,
        f"{named}{': ' * bool(faults)}{', '.join(faults)}",
        {**facts, "photos": [looked.named(row) for row in rows]},
    )


def _column(catalog: Catalog, name: str) -> Iterable[Any]:
    """The values of a column, one by one; None where there is no such column."""
    return _values(catalog, name) if name in catalog.table.column_names else (None for _ in range(len(catalog)))


def _values(catalog: Catalog, name: str) -> Iterator[Any]:
    """The same of a column that is there, some thousands at a time."""
    for batch in catalog.table.select([name]).to_batches(max_chunksize=4096):
        yield from batch[name].to_pylist()


def _clipped(box: Box | Sequence[float], size: NDArray[np.int32]) -> tuple[float, float, float, float]:
    """The part of a box that lies in a photo of some width and height."""
    width, height = size.tolist()
    left, top, right, bottom = box
    return max(left, 0), max(top, 0), min(right, width), min(bottom, height)


def _box_fault(box: Sequence[float], size: NDArray[np.int32]) -> str:
    """What is wrong with the place of a box, in words; nothing where it is right."""
    width, height = size.tolist()
    left, top, right, bottom = _clipped(box, size)
    place = f"the box {_numbers(box)}"
    if left >= right or top >= bottom:
        return f"{place} lies outside of the {width} x {height} pixels"
    beyond = max(-box[0], -box[1], box[2] - width, box[3] - height)
    return f"{place} reaches {beyond:.4g} pixels beyond the {width} x {height}" if beyond > TOLERATED else ""


def _keypoint_fault(points: NDArray[np.float64], box: Sequence[float] | None, size: NDArray[np.int32]) -> str:
    """What is wrong with the keypoints of a photo ``[P, 3]``, in words; nothing where they are right.

    Args:
        points: x, y and whether it is visible.
        box: of the subject, where it is known.
        size: width and height; 0 where the photo cannot be read.
    """
    numbers, shown = np.flatnonzero(points[:, 2] > 0), points[points[:, 2] > 0, :2]
    if not len(shown):
        return f"none of its {len(points)} keypoints is visible"
    if size[0]:
        outside = numbers[~_within(shown, (0, 0, *size.tolist()), TOLERATED)]
        if len(outside):
            return f"{_several(outside, points)} outside of the {size[0]} x {size[1]} pixels"
    if box:
        far = numbers[~_within(shown, box, FAR * max(box[2] - box[0], box[3] - box[1]))]
        if len(far):
            return f"{_several(far, points)} far outside of the box {_numbers(box)}"
    return ""


def _within(points: NDArray[np.float64], box: Sequence[float], margin: float) -> Mask:
    """Which of some points ``[P, 2]`` lie in a box or no further from it than a margin; those that are NaN do not."""
    low, high = np.array(box[:2]) - margin, np.array(box[2:]) + margin
    return np.asarray(((points >= low) & (points <= high)).all(axis=1))


def _several(numbers: Numbers, points: NDArray[np.float64]) -> str:
    """Some keypoints, the first with its place."""
    first = f"keypoint {numbers[0]} at ({_numbers(points[numbers[0], :2].tolist())})"
    return f"{first} is" if len(numbers) == 1 else f"{first} and {len(numbers) - 1} more are"


def _numbers(values: Sequence[float]) -> str:
    """Numbers for people."""
    return ", ".join(f"{value:.4g}" for value in values)
