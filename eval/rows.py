"""Some rows of a table or a column, however large it is; and rows that are the same."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

AT_ONCE = 2**14
"""Rows that are put together at once, so that their text stays below the 2 GB that an array of strings can hold."""

Rows = NDArray[np.int64]
Rowed = TypeVar("Rowed", pa.Table, pa.ChunkedArray, pa.Array)


def taken(values: Rowed, rows: Rows | Sequence[int]) -> Rowed:
    """Some rows of a table or a column, as its own ``take`` gives them.

    That one first joins all chunks of a column, even for a single row: it costs as much as the whole column, and fails
    where there are more than 2 GB of text. Here rows that follow each other are a slice, which copies nothing; others
    are taken chunk by chunk.

    Args:
        values: ``[N]``.
        rows: ``[M]``, in any order and as often as wanted, in [0, N).

    Returns:
        ``[M]``, in as many chunks as come about.

    Raises:
        IndexError: there is no such row.
    """
    numbers = np.asarray(rows, np.int64)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(values):
        raise IndexError(f"rows from {numbers.min()} to {numbers.max()} are asked for, and there are {len(values)}")
    if (np.diff(numbers) == 1).all():
        return values.slice(numbers[0] if numbers.size else 0, len(numbers))
    if isinstance(values, pa.Table):
        return pa.Table.from_arrays([taken(column, numbers) for column in values.columns], schema=values.schema)
    if isinstance(values, pa.Array):
        return values.take(pa.array(numbers))
    starts = np.cumsum([0, *map(len, values.chunks)])
    blocks = (numbers[start : start + AT_ONCE] for start in range(0, len(numbers), AT_ONCE))
    return pa.chunked_array([part for some in blocks for part in _parts(values, starts, some)], values.type)


def _parts(column: pa.ChunkedArray, starts: Rows, rows: Rows) -> list[pa.Array]:
    """A few rows of a column whose chunks start at ``starts``: by chunk where they ascend, else in one array."""
    order = np.argsort(rows, kind="stable")
    ascending = rows[order]
    chunks = np.searchsorted(starts[1:], ascending, side="right")
    parts = [
        column.chunk(chunk).take(pa.array(ascending[chunks == chunk] - starts[chunk])) for chunk in np.unique(chunks)
    ]
    if (rows == ascending).all():
        return parts
    return [pa.concat_arrays(parts).take(pa.array(np.argsort(order)))]


def repeated(rows: Iterable[Hashable]) -> tuple[int, int] | None:
    """The numbers of two rows that are the same, the first such pair; None where all differ."""
    first: dict[Hashable, int] = {}
    for number, row in enumerate(rows):
        if (earlier := first.setdefault(row, number)) != number:
            return earlier, number
    return None
