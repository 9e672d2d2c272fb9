"""Rows of tables against pyarrow's own, which copies the whole column."""

import numpy as np
import pyarrow as pa
import pytest

from eval.rows import taken

PARTS = [
    {"id": ["a", None, "c"], "label": ["x", "y", "x"], "number": [1, 2, None]},
    {"id": ["d"], "label": ["z"], "number": [4]},
    {"id": [], "label": [], "number": []},
    {"id": ["e", "f", "g", "h"], "label": ["y", "z", "w", None], "number": [5, 6, 7, 8]},
]


@pytest.fixture
def table():
    """Several chunks, each with a dictionary of labels of its own."""
    types = {"id": pa.string(), "label": pa.string(), "number": pa.int64()}
    parts = [pa.table({name: pa.array(part[name], kind) for name, kind in types.items()}) for part in PARTS]
    return pa.concat_tables([part.set_column(1, "label", part["label"].dictionary_encode()) for part in parts])


@pytest.mark.parametrize(
    "rows",
    [[], [3], [1, 2, 3, 4], [*range(8)], [0, 2, 5, 7], [7, 0, 3, 5], [4, 4, 0, 0, 7, 4], [7, 6, 5, 4, 3, 2, 1, 0]],
)
def test_they_are_those_of_a_list(table, rows):
    expected = table.to_pylist()
    found = taken(table, np.array(rows, np.int64))
    assert found.to_pylist() == [expected[row] for row in rows]
    assert found.schema == table.schema
    for name in table.column_names:
        assert taken(table[name], np.array(rows, np.int64)).to_pylist() == [expected[row][name] for row in rows]


def test_columns_of_more_text_than_one_array_can_have():
    """2.4 GB by their offsets, of 60 MB that all chunks share."""
    text = "x" * 60_000
    chunk = pa.array([text] * 1000, pa.string())
    column = pa.chunked_array([chunk] * 40)
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        column.take(pa.array([1, 39_999]))
    assert taken(column, np.array([1, 20_500, 39_999])).to_pylist() == [text] * 3
    assert taken(column, np.array([39_999, 1])).to_pylist() == [text] * 2


def test_a_run_is_not_copied(table):
    column = table["id"].chunk(3)
    assert taken(table, np.array([5, 6]))["id"].chunk(0).buffers()[1].address == column.buffers()[1].address
