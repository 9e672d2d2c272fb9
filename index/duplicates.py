"""One photo is one reference: what happens to photos that come twice."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from embedder.data.catalog import Catalog
from eval.errors import InputError
from eval.images import BadImage, open_image, photo_id

OnConflict = Literal["error", "first", "skip", "both"]


@dataclass(frozen=True)
class Distinct:
    """A catalog in which every photo stands once.

    Attributes:
        catalog: the rows that are left.
        copies: how many rows were left out because their photo stands elsewhere with the same label.
        conflicts: how many photos came with several labels.
    """

    catalog: Catalog
    copies: int
    conflicts: int


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
    kept: list[int] = []
    copies = conflicts = 0
    for rows in _rows_by_photo(catalog):
        if len(rows) == 1 or not _readable(catalog, rows[0]):
            kept += rows
            continue
        firsts = sorted({catalog.labels[row]: row for row in reversed(rows)}.values())
        copies += len(rows) - len(firsts)
        conflicts += len(firsts) > 1
        kept += firsts if len(firsts) == 1 else _resolve(catalog, firsts, on_conflict)
    if not kept:
        raise InputError(
            f"all {conflicts} photos in {catalog.root} stand under several labels, and --on-conflict skip leaves none; "
            "correct them, or say --on-conflict first or both"
        )
    return Distinct(catalog.select(sorted(kept)), copies, conflicts)


def _rows_by_photo(catalog: Catalog) -> Iterable[list[int]]:
    """The rows of each photo; one that cannot be read is told apart by its row."""
    rows = defaultdict(list)
    for row in range(len(catalog)):
        try:
            name = photo_id(catalog.file(row).read_bytes(), catalog.box(row))
        except OSError:
            name = str(row)
        rows[name].append(row)
    return rows.values()


def _resolve(catalog: Catalog, rows: list[int], on_conflict: OnConflict) -> list[int]:
    """Which rows of one photo to keep, given its first row under each label."""
    if on_conflict == "error":
        first, second = rows[:2]
        raise InputError(
            f"the same photo stands under two labels: {catalog.paths[first]} as {catalog.labels[first]!r} and "
            f"{catalog.paths[second]} as {catalog.labels[second]!r}; correct one of them, or say --on-conflict first, "
            "skip or both"
        )
    return {"first": rows[:1], "skip": [], "both": rows}[on_conflict]


def _readable(catalog: Catalog, row: int) -> bool:
    """Whether a photo can be opened."""
    try:
        open_image(catalog.file(row), catalog.box(row))
    except BadImage:
        return False
    return True
