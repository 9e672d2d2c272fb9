"""A list of photos as it stands in a file: CSV, JSON lines or Parquet."""

import csv
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedder.data.archives import archive_fault
from eval.errors import InputError

Values = list[str | None]

LISTS = ("box", "keypoints", "taxonomy")
"""Columns that may hold lists."""


@dataclass(frozen=True)
class Listing:
    """What stands in a file.

    Attributes:
        file: the file, or whatever else errors are to name.
        folder: what paths are relative to.
        columns: its columns.
        places: where each row stands, for errors: ``line 7``.
    """

    file: Path
    folder: Path
    columns: Mapping[str, pa.Array | pa.ChunkedArray]
    places: Sequence[str]

    def fault(self, row: int, what: str) -> InputError:
        """The error for one row."""
        return InputError(f"{self.file}, {self.places[row]}: {what}")

    def texts(self, name: str) -> Values:
        """A column of text or whole numbers as text; empty text is unknown.

        Raises:
            InputError: it is of something else.
        """
        column = self.columns[name]
        if not is_plain(column.type):
            raise InputError(
                f"{self.file}: the column {name!r} is {column.type}; make it text or whole numbers, or leave it out"
            )
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return [value or None for value in column.cast(pa.string()).to_pylist()]


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column is of text or whole numbers, categories or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_null,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
    )
    return any(test(kind) for test in tests)


def read_listing(file: Path) -> Listing:
    """Read a list by its suffix.

    Raises:
        InputError: it is none, or damaged.
    """
    if not file.is_file() or file.suffix.lower() not in _READERS:
        fault = archive_fault(file) if file.is_file() else None
        raise InputError(f"{file} {fault or 'is neither a folder nor a .csv or .parquet table'}")
    return _READERS[file.suffix.lower()](file)


def without_others(listing: Listing) -> Listing:
    """A list that somebody else has made, without the columns that no catalog can hold; they are named."""
    columns = {
        name: column for name, column in listing.columns.items() if is_plain(column.type) or name in (*LISTS, "label")
    }
    _tell_left_out([name for name in listing.columns if name not in columns])
    return replace(listing, columns=columns)


def columns_of(rows: Sequence[Mapping[str, Any]], file: Path) -> dict[str, pa.Array]:
    """Columns of objects as JSON has them; those that no catalog can hold are left out and named.

    Args:
        rows: ``[N]``, each with the columns that it has.
        file: where they are from.

    Raises:
        InputError: a column that may hold lists holds something else beside them.
    """
    columns: dict[str, pa.Array] = {}
    others = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        _check_text(file, name, values)
        if {type(value) for value in values} <= {str, int, bool, type(None)}:
            columns[name] = pa.array([None if value is None else str(value) for value in values], pa.string())
        elif name in (*LISTS, "label"):
            try:
                columns[name] = pa.array(values)
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(f"{file}: the column {name!r} mixes values of several kinds ({error})") from None
        else:
            others.append(name)
    _tell_left_out(others)
    return columns


def _check_text(file: Path, name: str, values: Sequence[Any]) -> None:
    """Refuse halves of characters, which JSON can write and nothing can hold."""
    try:
        "".join([name, *(value for value in values if isinstance(value, str))]).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise InputError(f"{file}: the column {name!r} holds half of a character, {half!r}; mend the text") from None


def _tell_left_out(names: Sequence[str]) -> None:
    """Say which columns are lost."""
    if names:
        print(f"columns that are neither text nor whole numbers are left out: {', '.join(names)}", file=sys.stderr)


def _read_csv(file: Path) -> Listing:
    """A CSV file in UTF-8, every value as text; a header without a comma may have semicolons or tabs.

    The standard library's reader is used because it knows each row's line whatever is quoted or empty before it.
    """
    lines: dict[int, list[str]] = {}
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            separator = _separator(stream.readline())
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator, skipinitialspace=True)
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
    columns = zip(*lines.values(), strict=True) if lines else [()] * len(header)
    pairs = [(name, pa.array(values, pa.string())) for name, values in zip(header, columns, strict=True)]
    return Listing(file, file.parent, _named(file, pairs), [f"line {number}" for number in lines])


def _separator(header: str) -> str:
    """What stands between the columns: a comma, unless there is none and there is one of the others."""
    return next((one for one in ",;\t" if one in header), ",")


def _named(
    file: Path, pairs: Iterable[tuple[str, pa.Array | pa.ChunkedArray]]
) -> dict[str, pa.Array | pa.ChunkedArray]:
    """The columns by name; those without one, such as the row numbers that pandas writes, are left out."""
    named = [(name, column) for name, column in pairs if name]
    columns = dict(named)
    if len(columns) < len(named):
        raise InputError(f"{file}: two columns have the same name: {', '.join(name for name, _ in named)}")
    return columns


def _read_jsonl(file: Path) -> Listing:
    """A file of JSON lines, one object a row."""
    rows: dict[int, dict[str, Any]] = {}
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8-sig").split("\n"), 1):
            if line.strip():
                rows[number] = json.loads(line)
                if not isinstance(rows[number], dict):
                    raise InputError(f"{file}, line {number}: {line.strip():.80} is not of the form {{...}}")
    except UnicodeDecodeError:
        raise InputError(f"{file} is not in UTF-8; save it as UTF-8") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, line {number}: {error}; it must be one JSON object") from None
    columns = columns_of([*rows.values()], file)
    return Listing(file, file.parent, columns, [f"line {number}" for number in rows])


def _read_parquet(file: Path) -> Listing:
    """A Parquet file."""
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:  # as which damaged pages come
        raise InputError(f"{file} is not a Parquet file, or a damaged one: {error}") from None
    columns = _named(file, zip(table.column_names, table.columns, strict=True))
    return Listing(file, file.parent, columns, [f"row {row + 1}" for row in range(table.num_rows)])


_READERS: dict[str, Callable[[Path], Listing]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
