"""Rows of tables and columns, against plain ``take``, and of more text than one array can hold."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval import rows as module
from eval.rows import repeated, taken

COLUMNS = {
    "text": [pa.array(["a", None, "cc"]), pa.array([], pa.string()), pa.array(["d"]), pa.array(["e", "f", None])],
    "codes": [
        pa.array(["x", None, "y"]).dictionary_encode(),
        pa.array([], pa.string()).dictionary_encode(),
        pa.array(["y"]).dictionary_encode(),
        pa.array(["z", "x", None]).dictionary_encode(),
    ],
    "box": [
        pa.array([[1, 2], None, [3]]),
        pa.array([], pa.list_(pa.int64())),
        pa.array([[]], pa.list_(pa.int64())),
        pa.array([[4], [5], [6]]),
    ],
    "nothing": [pa.nulls(3), pa.nulls(0), pa.nulls(1), pa.nulls(3)],
}
"""Seven rows in four chunks, one of them empty."""


def table():
    """The columns as a table."""
    return pa.table({name: pa.chunked_array(chunks) for name, chunks in COLUMNS.items()})


@pytest.mark.parametrize("at_once", [1, 3, 100])
@pytest.mark.parametrize(
    "rows",
    [[], [4], [2, 3, 4], [0, 2, 3, 6], [6, 0, 3, 1], [5, 5, 0, 5, 2, 2], [1, 1, 1], [*range(7)], [*range(6, -1, -1)]],
)
def test_the_same_as_take(rows, at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    expected = table().take(pa.array(rows, pa.int64()))
    found = taken(table(), np.array(rows, np.int64))
    found.validate(full=True)
    assert found.schema == expected.schema
    assert found.to_pydict() == expected.to_pydict()
    for name in COLUMNS:
        assert taken(table()[name], rows).to_pylist() == expected[name].to_pylist()
    assert taken(COLUMNS["text"][3], [1, 0][: len(rows)]).to_pylist() == ["f", "e"][: len(rows)]


def test_of_no_chunks():
    empty = pa.chunked_array([], pa.string())
    assert taken(empty, []).equals(empty)


@pytest.mark.parametrize("rows", [[7], [6, 7], [-1], [0, 9], [3, -2]])
def test_rows_that_are_not_there(rows):
    for values in (table(), table()["text"], COLUMNS["text"][3].slice(0, 3)):
        with pytest.raises(IndexError, match="asked for"):
            taken(values, rows)


def test_rows_that_follow_each_other_are_not_copied():
    column = table()["text"]
    assert taken(column, [3, 4]).chunk(0).buffers()[2].address == column.chunk(2).buffers()[2].address


def test_more_text_than_one_array_can_hold():
    """Eighty chunks share one buffer of 32 MB, so that together they have 2.7 GB of text."""
    column = pa.chunked_array([pa.array([name * 2**20 for name in "abcdefghijklmnopqrstuvwxyzABCDEF"])] * 80)
    rows = [32 * 79 + 2, 0, 33]
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        column.take(pa.array(rows))
    for found in (taken(column, rows), taken(pa.table({"id": column}), rows)["id"]):
        assert [text[0] for text in found.to_pylist()] == ["c", "a", "b"]


def test_nothing_else_takes_rows_of_tables():
    root = Path(__file__).parents[2]
    packages = (path for name in ("eval", "embedder", "index") for path in root.glob(f"{name}/**/*.py"))
    others = [str(path) for path in packages if re.search(r"(?<!np)\.take\(", path.read_text(encoding="utf-8"))]
    assert others == [str(root / "eval" / "rows.py")]


@pytest.mark.parametrize(
    ("rows", "expected"), [([], None), ("abc", None), ("abba", (1, 2)), ([("a", None), ("a", 1), ("a", None)], (0, 2))]
)
def test_rows_that_are_the_same_are_found(rows, expected):
    assert repeated(rows) == expected
