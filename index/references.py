"""The references of an index as arrays, and the photos that they were made of."""

from pathlib import Path

import numpy as np

from eval.errors import InputError
from eval.images import BadImage, Box, photo_id, read_file
from eval.references import References
from eval.rows import taken
from index.search import Index


def references_of(index: Index) -> References:
    """What is known of the references of an index.

    Raises:
        InputError: it has none.
    """
    if index.count == 0:
        raise InputError(f"{index.folder} holds no references; add some with index.add")
    rows = np.flatnonzero(index.kept)
    return References.made(rows, index.vectors(rows), index.labels[rows].tolist(), taken(index.table, rows))


def box_of(index: Index, row: int) -> Box | None:
    """The box in its photo that a reference is of; None for all of it."""
    box = index.table["box"][row].as_py() if "box" in index.table.column_names else None
    return None if box is None else tuple(box)


def reference_photo(index: Index, row: int, root: Path | None = None) -> tuple[bytes, Box | None] | None:
    """The file of a reference's photo, and its box in it; None where it is gone, or is not what the id names by now.

    Args:
        index: whose reference it is.
        row: of the reference.
        root: the folder that paths are relative to by now; by default the one that the index names.
    """
    path = index.table["path"][row].as_py()
    if not path:
        return None
    try:
        content = read_file((root or Path(index.manifest.images_root)) / path)
    except BadImage:
        return None
    box = box_of(index, row)
    return (content, box) if photo_id(content, box) == index.table["id"][row].as_py() else None
