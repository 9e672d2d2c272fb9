"""One photo is one reference: what happens to photos that come twice, or that are there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.data.catalog import Catalog
from eval.errors import InputError
from eval.images import BadImage, open_image, read_id

OnConflict = Literal["error", "first", "skip", "both"]

Column: TypeAlias = pa.Array | pa.ChunkedArray
"""One value a row: as strings, or dictionary-coded ones."""


@dataclass(frozen=True)
class Distinct:
    """Photos of which every one stands once.

    Attributes:
        rows: those that are left, ascending.
        ids: of all rows, those that are not left among them; null where a photo cannot be read.
        copies: how many rows were left out because their photo stands elsewhere with the same label.
        conflicts: how many photos came with several labels.
    """

    rows: Sequence[int]
    ids: Column
    copies: int = 0
    conflicts: int = 0


@dataclass(frozen=True)
class Meeting:
    """What becomes of photos that meet those of an index.

    Attributes:
        new: rows of the photos that are to be added, ascending.
        there_already: how many photos are there with the same label.
        conflicts: how many are there with another label only.
        relabelled: new labels by row of the index.
        removed: rows of the index that go, because another row of the same photo is given the label.
    """

    new: list[int]
    there_already: int
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
    ids = pa.array([_photo_id(catalog, row) for row in range(len(catalog))], pa.string())
    return distinct_rows(
        ids, catalog.table["label"], catalog.table["path"], on_conflict, lambda row: _readable(catalog, row)
    )


def distinct_rows(
    ids: Column,
    labels: Column,
    paths: Column,
    on_conflict: OnConflict = "error",
    is_readable: Callable[[int], bool] = lambda _: True,
) -> Distinct:
    """The same for rows that have their ids already.

    Args:
        ids: of each row's photo; null where its file cannot be read.
        labels: of each row.
        paths: of each row, for people.
        on_conflict: as for ``distinct``.
        is_readable: whether a row's photo can be opened; asked where an id comes twice.

    Raises:
        InputError: as for ``distinct``.
    """
    several = _several(ids)
    copies = conflicts = 0
    gone: list[int] = []
    for rows in several:
        if not is_readable(rows[0]):
            continue
        firsts = sorted({labels[row].as_py(): row for row in reversed(rows)}.values())
        copies += len(rows) - len(firsts)
        conflicts += len(firsts) > 1
        kept = firsts if len(firsts) == 1 else _resolved(firsts, labels, paths, on_conflict)
        gone += {*rows} - {*kept}
    if gone and len(gone) == len(ids):
        raise InputError(
            f"all {conflicts} photos stand under several labels, and --on-conflict skip leaves none; correct them, or "
            "say --on-conflict first or both"
        )
    left = range(len(ids)) if not gone else np.delete(np.arange(len(ids)), gone).tolist()
    return Distinct(left, ids, copies, conflicts)


def _several(ids: Column) -> list[list[int]]:
    """The rows of each id that comes more than once; nulls are no ids."""
    known = pa.table({"id": ids}).append_column("row", pa.array(np.arange(len(ids)))).drop_null()
    if len(known) == pc.count_distinct(known["id"]).as_py():
        return []
    by_photo = known.group_by("id").aggregate([("row", "list")])
    lists = by_photo["row_list"].filter(pc.greater(pc.list_value_length(by_photo["row_list"]), 1))
    return [sorted(rows) for rows in lists.to_pylist()]


def meet(
    known: Mapping[str, Mapping[str, int]],
    ids: Column,
    labels: Column,
    paths: Column,
    on_conflict: OnConflict = "error",
    relabel: bool = False,
) -> Meeting:
    """What becomes of distinct photos that meet the references of an index.

    Args:
        known: by id, the labels that the index has the photo under, each with its row.
        ids: of the photos; null where one cannot be read.
        labels: of the photos.
        paths: of the photos, for people.
        on_conflict: what to do with a photo that is there under another label: stop, leave it out (first, skip), or
            have it under both.
        relabel: give the reference the photo's label instead.

    Raises:
        InputError: a photo is there under another label, ``on_conflict`` is ``error`` and ``relabel`` is off; or both
            is to be done with it.
    """
    if relabel and on_conflict == "both":
        raise InputError("--relabel and --on-conflict both contradict each other; give one of them")
    relabelled: dict[int, str] = {}
    removed: list[int] = []
    same = conflicts = 0
    meets = pc.is_in(ids, value_set=pa.array(known, pa.string()), skip_nulls=True).to_numpy(zero_copy_only=False)
    new = np.flatnonzero(~meets).tolist()
    for row in np.flatnonzero(meets).tolist():
        name, label = ids[row].as_py(), labels[row].as_py()
        there = known[name]
        if label in there:
            same += 1
        else:
            conflicts += 1
            if relabel:
                first, *others = sorted(there.values())
                relabelled[first] = str(label)
                removed += others
            elif on_conflict == "error":
                raise InputError(
                    f"{paths[row].as_py()} as {label!r} is in the index already as {min(there)!r} (id {name}); correct "
                    "one of them, or say --relabel, or --on-conflict first or both"
                )
            elif on_conflict == "both":
                new.append(row)
    return Meeting(sorted(new), same, conflicts, relabelled, removed)


def _photo_id(catalog: Catalog, row: int) -> str | None:
    """What names a row's photo; None where its file cannot be read."""
    try:
        return read_id(catalog.file(row), catalog.box(row))
    except BadImage:
        return None


def _resolved(rows: list[int], labels: Column, paths: Column, on_conflict: OnConflict) -> list[int]:
    """Which rows of one photo to keep, given its first row under each label."""
    if on_conflict == "error":
        one, other = (f"{paths[row].as_py()} as {labels[row].as_py()!r}" for row in rows[:2])
        raise InputError(
            f"the same photo stands under two labels: {one} and {other}; correct one of them, or say --on-conflict "
            "first, skip or both"
        )
    return {"first": rows[:1], "skip": [], "both": rows}[on_conflict]


def _readable(catalog: Catalog, row: int) -> bool:
    """Whether a photo can be opened."""
    try:
        open_image(catalog.file(row), catalog.box(row))
    except BadImage:
        return False
    return True
