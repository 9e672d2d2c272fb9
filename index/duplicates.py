"""One photo is one reference: what happens to photos that come twice, or that are there already."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from embedder.data.catalog import Catalog
from eval.errors import InputError
from eval.images import BadImage, open_image, photo_id

OnConflict = Literal["error", "first", "skip", "both"]


@dataclass(frozen=True)
class Distinct:
    """Photos of which every one stands once.

    Attributes:
        rows: those that are left, ascending.
        ids: of each row that is left; None where its photo cannot be read.
        copies: how many rows were left out because their photo stands elsewhere with the same label.
        conflicts: how many photos came with several labels.
    """

    rows: list[int]
    ids: list[str | None]
    copies: int
    conflicts: int


@dataclass(frozen=True)
class Meeting:
    """What becomes of photos that meet those of an index.

    Attributes:
        new: rows of the photos that are to be added, ascending.
        known: how many photos are there already with the same label.
        conflicts: how many are there with another label only.
        relabelled: new labels by row of the index.
        removed: rows of the index that go, because another row of the same photo is given the label.
    """

    new: list[int]
    known: int
    conflicts: int
    relabelled: dict[int, str]
    removed: list[int]


def distinct(catalog: Catalog, on_conflict: OnConflict = "error") -> Distinct:
    """Leave out copies of photos, before any work is spent on them.

    A copy has the same bytes and the same box, so the same id. Photos that cannot be read are left for whoever opens
    them: two empty files are not one photo.

    Args:
        catalog: labelled photos.
        on_conflict: what to do with a photo that stands under several labels: stop, keep its first row, skip all of
            its rows, or keep one row a label (both), which then share an id.

    Raises:
        InputError: a photo stands under several labels and ``on_conflict`` is ``error``, or nothing is left.
    """
    ids = [_photo_id(catalog, row) for row in range(len(catalog))]
    return distinct_rows(ids, catalog.labels, catalog.paths, on_conflict, lambda row: _readable(catalog, row))


def distinct_rows(
    ids: Sequence[str | None],
    labels: Sequence[str | None],
    paths: Sequence[str | None],
    on_conflict: OnConflict = "error",
    is_readable: Callable[[int], bool] = lambda _: True,
) -> Distinct:
    """The same for rows that have their ids already.

    Args:
        ids: of each row's photo; None where its file cannot be read.
        labels: of each row.
        paths: of each row, for people.
        on_conflict: as for ``distinct``.
        is_readable: whether a row's photo can be opened; asked where an id comes twice.

    Raises:
        InputError: as for ``distinct``.
    """
    by_photo = defaultdict(list)
    for row, name in enumerate(ids):
        by_photo[row if name is None else name].append(row)
    kept: list[int] = []
    copies = conflicts = 0
    for rows in by_photo.values():
        if len(rows) == 1 or not is_readable(rows[0]):
            kept += rows
            continue
        firsts = sorted({labels[row]: row for row in reversed(rows)}.values())
        copies += len(rows) - len(firsts)
        conflicts += len(firsts) > 1
        kept += firsts if len(firsts) == 1 else _resolved(firsts, labels, paths, on_conflict)
    if ids and not kept:
        raise InputError(
            f"all {conflicts} photos stand under several labels, and --on-conflict skip leaves none; correct them, or "
            "say --on-conflict first or both"
        )
    kept.sort()
    return Distinct(kept, [ids[row] for row in kept], copies, conflicts)


def meet(
    known: Mapping[str, Mapping[str, int]],
    ids: Sequence[str | None],
    labels: Sequence[str | None],
    paths: Sequence[str | None],
    on_conflict: OnConflict = "error",
    relabel: bool = False,
) -> Meeting:
    """What becomes of distinct photos that meet the references of an index.

    Args:
        known: by id, the labels that the index has the photo under, each with its row.
        ids: of the photos; None where one cannot be read.
        labels: of the photos.
        paths: of the photos, for people.
        on_conflict: what to do with a photo that is there under another label: stop, leave it out (first, skip), or
            have it under both.
        relabel: give the reference the photo's label instead.

    Raises:
        InputError: a photo is there under another label, ``on_conflict`` is ``error`` and ``relabel`` is off.
    """
    new: list[int] = []
    relabelled: dict[int, str] = {}
    removed: list[int] = []
    same = conflicts = 0
    for row, (name, label) in enumerate(zip(ids, labels, strict=True)):
        there = known.get(name, {}) if name is not None else {}
        if not there:
            new.append(row)
        elif label in there:
            same += 1
        else:
            conflicts += 1
            if relabel:
                first, *others = sorted(there.values())
                relabelled[first] = str(label)
                removed += others
            elif on_conflict == "error":
                raise InputError(
                    f"{paths[row]} as {label!r} is in the index already as {min(there)!r} (id {name}); correct one of "
                    "them, or say --relabel, or --on-conflict first or both"
                )
            elif on_conflict == "both":
                new.append(row)
    return Meeting(new, same, conflicts, relabelled, removed)


def _photo_id(catalog: Catalog, row: int) -> str | None:
    """What names a row's photo; None where its file cannot be read."""
    try:
        return photo_id(catalog.file(row).read_bytes(), catalog.box(row))
    except OSError:
        return None


def _resolved(
    rows: list[int], labels: Sequence[str | None], paths: Sequence[str | None], on_conflict: OnConflict
) -> list[int]:
    """Which rows of one photo to keep, given its first row under each label."""
    if on_conflict == "error":
        first, second = rows[:2]
        raise InputError(
            f"the same photo stands under two labels: {paths[first]} as {labels[first]!r} and {paths[second]} as "
            f"{labels[second]!r}; correct one of them, or say --on-conflict first, skip or both"
        )
    return {"first": rows[:1], "skip": [], "both": rows}[on_conflict]


def _readable(catalog: Catalog, row: int) -> bool:
    """Whether a photo can be opened."""
    try:
        open_image(catalog.file(row), catalog.box(row))
    except BadImage:
        return False
    return True
