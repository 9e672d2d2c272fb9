"""A table of photos, ``.csv`` or ``.parquet``: one row a photo, paths absolute or relative to the table's own folder.

Columns: ``path`` (needed), ``label``, ``split`` (train, test or validation), ``box`` (left, top, right, bottom in
pixels of the upright photo), ``keypoints`` (x, y, visible of each point, visible being 0 or 1, the same points in the
same order in every photo), ``group`` (photos of one individual or burst), ``licence`` (or ``license``), and the levels
above the label: ``genus``, ``family``, ``order``, ``taxonomic_class``, ``phylum``, ``kingdom``, or all in one column
``taxonomy``, from the top to the genus, ``Aves/Passeriformes/Passeridae/Passer``. In a CSV the numbers of a box and of
keypoints stand in one cell with spaces between them, in Parquet they are lists. Other columns of text or whole numbers
are carried along; one that is called ``id`` as ``source_id``, because an ``id`` here names the photo by its contents.
Columns without a name are left out.
"""

import os
import sys
from collections import Counter
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from embedder.data.catalog import TYPES, Catalog, has_area, label_column
from embedder.data.detect import SPLIT_NAMES, UNPACKED_TABLE, is_unpacked
from embedder.data.layout import check_listed, official_splits
from embedder.data.listing import Listing, read_listing, without_others
from embedder.data.taxa import LEVELS, with_taxa
from eval.errors import InputError, counted
from eval.files import at_home
from eval.rows import repeated

COLUMNS = ("path", "label", "split", "box", "keypoints", "group", "licence", "license", "taxonomy", *LEVELS)
"""What a table may say."""

UNKNOWN = {"nan", "NaN", "None", "null", "NULL", "NA", "N/A", "<NA>"}
"""What programs write for what they do not know."""


def read(root: Path) -> Catalog:
    """Read a table of photos.

    Args:
        root: the file, or a folder that photos of packed files were unpacked into.

    Raises:
        InputError: as for ``catalog_of``, or the file is no table.
    """
    file = root / UNPACKED_TABLE if is_unpacked(root) else root
    if file != root and not file.is_file():
        raise InputError(f"{root} lacks {UNPACKED_TABLE}, the table of its photos; unpack them anew")
    return catalog_of(without_others(read_listing(file)), "table")


def catalog_of(listing: Listing, name: str) -> Catalog:
    """The catalog of a list of photos.

    Classes are in the order of a Parquet file's categories, else sorted: as numbers where all are whole numbers, by
    code point where not. Empty cells are unknown.

    Args:
        listing: with the columns of a table.
        name: the reader's.

    Raises:
        InputError: there is no such column, a value is not what its column holds, or photos are missing.
    """
    if "path" not in listing.columns:
        raise InputError(f"{listing.file}: the column 'path' is missing; found: {', '.join(listing.columns)}")
    if not listing.places:
        raise InputError(f"{listing.file} lists no photos")
    listing = with_taxa(_one_licence(listing))
    folder, paths = _located(listing)
    check_listed(folder, paths, listing.file, listing.places)
    _tell_doubtful(listing)
    makers = {"split": _splits, "box": _boxes, "keypoints": _keypoints}
    columns = {
        column: makers[column](listing) if column in makers else pa.array(listing.texts(column), pa.string())
        for column in listing.columns
        if column != "label"
    }
    columns |= {"path": pa.array(paths, pa.string()), "label": _labels(listing)}
    columns = {("source_id" if column == "id" else column): values for column, values in columns.items()}
    _check_twice(listing, paths, columns.get("box"))
    order = sorted(columns, key=lambda column: [*TYPES, column].index(column))
    return Catalog(pa.table({column: columns[column] for column in order}), folder, name)


def _tell_doubtful(listing: Listing) -> None:
    """Say which columns and labels may be meant otherwise than they are taken."""
    for name in listing.columns:
        meant = get_close_matches(name.lower(), COLUMNS, n=1, cutoff=0.8) if name not in COLUMNS else []
        if meant and meant[0] not in listing.columns:
            print(
                f"{listing.file}: the column {name!r} is carried along and means nothing here; is it {meant[0]!r}?",
                file=sys.stderr,
            )
    labels = Counter(listing.texts("label")) if "label" in listing.columns else {}
    for label in labels.keys() & UNKNOWN:
        print(
            f"{listing.file}: {counted(labels[label], 'photo', 'photos')} with the label {label!r}, taken for a class "
            "of that name; leave the cell empty where it is unknown",
            file=sys.stderr,
        )


def _check_twice(listing: Listing, paths: list[str], boxes: pa.Array | None) -> None:
    """Refuse two rows for one subject, a photo or a box in it."""
    if twice := repeated(zip(paths, map(str, boxes or [""] * len(paths)), strict=True)):
        first, row = twice
        raise listing.fault(
            row, f"{paths[row]} is listed already, in {listing.places[first]}; leave one of the rows out"
        )


def _one_licence(listing: Listing) -> Listing:
    """The same with ``licence`` in that spelling, so that whoever looks for it looks for one word."""
    if "license" not in listing.columns:
        return listing
    if "licence" in listing.columns:
        raise InputError(f"{listing.file} has a column 'licence' and a column 'license'; leave one of them out")
    return replace(
        listing,
        columns={("licence" if name == "license" else name): values for name, values in listing.columns.items()},
    )


def _located(listing: Listing) -> tuple[Path, list[str]]:
    """The folder that paths are relative to, and the paths, with ``/``.

    It is the table's own. Where all paths are absolute, and some lead out of it, it is the photos' common one, or they
    would begin with ``..``.
    """
    folder, given = listing.folder, []
    for row, text in enumerate(listing.texts("path")):
        if text is None:
            raise listing.fault(row, "the path is empty")
        given.append(at_home(_slashes(listing.folder, text)))
    if all(path.is_absolute() for path in given):
        common = Path(os.path.commonpath([os.path.normpath(path.parent) for path in given]))
        folder = folder if common.is_relative_to(folder.absolute()) else common
    return folder, [(Path(os.path.relpath(path, folder)) if path.is_absolute() else path).as_posix() for path in given]


def _slashes(folder: Path, text: str) -> str:
    r"""A path as Windows writes it, ``wren\1.jpg``, with slashes, unless a file is called so."""
    return text if "\\" not in text or (folder / text).exists() else text.replace("\\", "/")


def _labels(listing: Listing) -> pa.DictionaryArray:
    """The label column; all unknown where the file has none."""
    if "label" not in listing.columns:
        return label_column([None] * len(listing.places))
    labels = listing.texts("label")
    present = {label for label in labels if label is not None}
    column = listing.columns["label"]
    if pa.types.is_dictionary(column.type):
        column = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
        declared = column.unify_dictionaries().chunk(0).dictionary.cast(pa.string()).to_pylist()
        return label_column(labels, [name for name in declared if name in present])
    if all(name.isdecimal() for name in present):
        return label_column(labels, sorted(present, key=_as_number))
    return label_column(labels)


def _as_number(name: str) -> tuple[int, str, str]:
    """What whole numbers are sorted by, however many digits they have."""
    digits = name.lstrip("0")
    return len(digits), digits, name


def _splits(listing: Listing) -> pa.Array:
    """The official split of each row."""
    values = listing.texts("split")
    for row, value in enumerate(values):
        if value is not None and value.lower() not in SPLIT_NAMES:
            raise listing.fault(row, f"the split {value!r} is none of {', '.join(SPLIT_NAMES)}")
    official = official_splits({value for value in values if value is not None})
    return pa.array([official.get(value or "") for value in values], pa.string())


def _boxes(listing: Listing) -> pa.Array:
    """The box of each row."""
    boxes: list[list[float] | None] = []
    for row, value in enumerate(listing.columns["box"].to_pylist()):
        box = _numbers(value)
        if value in (None, ""):
            boxes.append(None)
        elif has_area(box):
            boxes.append(box)
        else:
            raise listing.fault(
                row, f"the box {value!r} is not 'left top right bottom' in pixels with left < right and top < bottom"
            )
    return pa.array(boxes, TYPES["box"])


def _numbers(value: Any) -> list[float]:
    """The numbers of a list or of text with spaces between them; none where one is not a number."""
    try:
        return [float(number) for number in (value.split() if isinstance(value, str) else value or [])]
    except (TypeError, ValueError):
        return []


def _keypoints(listing: Listing) -> pa.Array:
    """The keypoints of each row."""
    found: list[list[list[float]] | None] = []
    first: tuple[int, int] | None = None
    for row, value in enumerate(listing.columns["keypoints"].to_pylist()):
        points = _points(value)
        if points is None:
            raise listing.fault(
                row, f"the keypoints {value!r:.100} are not 'x y visible' of each point, visible being 0 or 1"
            )
        if points:
            first = first or (row, len(points))
            if len(points) != first[1]:
                raise listing.fault(
                    row,
                    f"{len(points)} keypoints, and {listing.places[first[0]]} has {first[1]}; write 0 0 0 for a point "
                    "that is not in the photo",
                )
        found.append(None if value in (None, "") else points)
    return pa.array(found, TYPES["keypoints"])


def _points(value: Any) -> list[list[float]] | None:
    """x, y, visible of each point, given as text or as lists; None where they are something else."""
    try:
        numbers = np.array(value.split() if isinstance(value, str) else value or [], float)
        points = numbers.reshape(-1, 3)
    except (TypeError, ValueError):
        return None
    right = numbers.shape in {points.shape, (points.size,)} and np.isfinite(points).all()
    return points.tolist() if right and np.isin(points[:, 2], (0, 1)).all() else None
