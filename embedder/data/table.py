"""A table of photos, ``.csv`` or ``.parquet``: one row a photo, paths absolute or relative to the table's own folder.

Columns: ``path`` (needed), ``label``, ``split`` (train, test or validation), ``box`` (left, top, right, bottom in
pixels of the upright photo: in a CSV four numbers with spaces between them, in Parquet a list), ``group`` (photos of
one individual or burst), in Parquet also ``keypoints``. Other columns of text or whole numbers are carried along; one
that is called ``id`` as ``source_id``, because an ``id`` here names the photo by its contents.
"""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedder.data.archives import archive_fault
from embedder.data.catalog import TYPES, Catalog, has_area, label_column
from embedder.data.layout import SPLIT_NAMES, check_listed, official_splits
from eval.errors import InputError
from eval.files import at_home

Values = list[str | None]


@dataclass(frozen=True)
class Rows:
    """What stands in the file.

    Attributes:
        file: the file.
        columns: its columns.
        places: where each row stands, for errors: ``line 7``.
    """

    file: Path
    columns: dict[str, pa.ChunkedArray | pa.Array]
    places: Sequence[str]

    def fault(self, row: int, what: str) -> InputError:
        """The error for one row."""
        return InputError(f"{self.file}, {self.places[row]}: {what}")


def read(root: Path) -> Catalog:
    """Read a table of photos.

    Classes are in the order of a Parquet file's categories, else sorted: as numbers where all are whole numbers, by
    code point where not. Empty cells are unknown.

    Args:
        root: the file.

    Raises:
        InputError: the file is not such a table, a value is not what its column holds, or photos are missing.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    if not root.is_file() or root.suffix.lower() not in readers:
        fault = archive_fault(root) if root.is_file() else None
        raise InputError(f"{root} {fault or 'is neither a folder nor a .csv or .parquet table'}")
    rows = readers[root.suffix.lower()](root)
    if "path" not in rows.columns:
        raise InputError(f"{root}: the column 'path' is missing; found: {', '.join(rows.columns)}")
    if not rows.places:
        raise InputError(f"{root} lists no photos")
    folder, paths = _located(rows)
    check_listed(folder, paths, root)
    makers = {"split": _splits, "box": _boxes, "keypoints": _keypoints}
    columns = {
        name: makers[name](rows) if name in makers else pa.array(_texts(rows, name), pa.string())
        for name in rows.columns
    }
    columns |= {"path": pa.array(paths, pa.string()), "label": _labels(rows)}
    columns = {("source_id" if name == "id" else name): values for name, values in columns.items()}
    order = sorted(columns, key=lambda name: [*TYPES, name].index(name))
    return Catalog(pa.table({name: columns[name] for name in order}), folder, "table")


def _read_csv(file: Path) -> Rows:
    """A CSV file in UTF-8, every value as text.

    The standard library's reader is used because it knows each row's line whatever is quoted or empty before it.
    """
    lines: dict[int, list[str]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            header = [name.strip() for name in next(reader, [])]
            for values in reader:
                if values:
                    lines[reader.line_num] = values
    except UnicodeDecodeError:
        raise InputError(f"{file} is not in UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise InputError(f"{file}, line {reader.line_num}: {error}") from None
    for number, values in lines.items():
        if len(values) != len(header):
            raise InputError(f"{file}, line {number}: {len(values)} values for {len(header)} columns: {values}")
    if len(set(header)) < len(header):
        raise InputError(f"{file}: two columns have the same name: {', '.join(header)}")
    columns = zip(*lines.values(), strict=True) if lines else [()] * len(header)
    arrays = {name: pa.array(values, pa.string()) for name, values in zip(header, columns, strict=True)}
    return Rows(file, arrays, [f"line {number}" for number in lines])


def _read_parquet(file: Path) -> Rows:
    """A Parquet file."""
    try:
        table = pq.read_table(file)
    except pa.ArrowInvalid as error:
        raise InputError(f"{file} is not a Parquet file: {error}") from None
    columns = dict(zip(table.column_names, table.columns, strict=True))
    return Rows(file, columns, [f"row {row + 1}" for row in range(table.num_rows)])


def _texts(rows: Rows, name: str) -> Values:
    """A column of text or whole numbers as text; empty text is unknown."""
    column = rows.columns[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not any(test(kind) for test in (pa.types.is_integer, pa.types.is_boolean, pa.types.is_null, _is_text)):
        raise InputError(f"{rows.file}: the column {name!r} is {kind}; make it text or whole numbers, or leave it out")
    return [value or None for value in column.cast(pa.string()).to_pylist()]


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column is text of any kind."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _located(rows: Rows) -> tuple[Path, list[str]]:
    """The folder that paths are relative to, and the paths, with ``/``.

    It is the table's own. Where all paths are absolute, and some lead out of it, it is the photos' common one, or they
    would begin with ``..``.
    """
    folder, given = rows.file.parent, []
    for row, text in enumerate(_texts(rows, "path")):
        if text is None:
            raise rows.fault(row, "the path is empty")
        given.append(at_home(text))
    if all(path.is_absolute() for path in given):
        common = Path(os.path.commonpath([os.path.normpath(path.parent) for path in given]))
        folder = folder if common.is_relative_to(folder.absolute()) else common
    return folder, [(Path(os.path.relpath(path, folder)) if path.is_absolute() else path).as_posix() for path in given]


def _labels(rows: Rows) -> pa.DictionaryArray:
    """The label column; all unknown where the file has none."""
    if "label" not in rows.columns:
        return label_column([None] * len(rows.places))
    labels = _texts(rows, "label")
    present = {label for label in labels if label is not None}
    column = rows.columns["label"]
    if pa.types.is_dictionary(column.type):
        declared = column.unify_dictionaries().chunk(0).dictionary.cast(pa.string()).to_pylist()
        return label_column(labels, [name for name in declared if name in present])
    if all(name.isdecimal() for name in present):
        return label_column(labels, sorted(present, key=lambda name: (int(name), name)))
    return label_column(labels)


def _splits(rows: Rows) -> pa.Array:
    """The official split of each row."""
    values = _texts(rows, "split")
    for row, value in enumerate(values):
        if value is not None and value.lower() not in SPLIT_NAMES:
            raise rows.fault(row, f"the split {value!r} is none of {', '.join(SPLIT_NAMES)}")
    official = official_splits({value for value in values if value is not None})
    return pa.array([official.get(value or "") for value in values], pa.string())


def _boxes(rows: Rows) -> pa.Array:
    """The box of each row."""
    boxes: list[list[float] | None] = []
    for row, value in enumerate(rows.columns["box"].to_pylist()):
        box = _numbers(value)
        if value in (None, ""):
            boxes.append(None)
        elif has_area(box):
            boxes.append(box)
        else:
            raise rows.fault(
                row, f"the box {value!r} is not 'left top right bottom' in pixels with left < right and top < bottom"
            )
    return pa.array(boxes, TYPES["box"])


def _numbers(value: Any) -> list[float]:
    """The numbers of a list or of text with spaces between them; none where one is not a number."""
    try:
        return [float(number) for number in (value.split() if isinstance(value, str) else value or [])]
    except (TypeError, ValueError):
        return []


def _keypoints(rows: Rows) -> pa.Array:
    """The keypoints of each row."""
    try:
        return pa.array(rows.columns["keypoints"].to_pylist(), TYPES["keypoints"])
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        raise InputError(f"{rows.file}: the column 'keypoints' must hold lists of [x, y, visible]") from None
