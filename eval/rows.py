"""Some rows of a long table.

pyarrow's own ``take`` puts the chunks of a whole column together first, even for a single row: it takes as long as the
column is long, and fails where that is more than 2 GB of text.
"""

from typing import TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.integer]
Rows = TypeVar("Rows", pa.Table, pa.ChunkedArray)


def taken(table: Rows, rows: Numbers) -> Rows:
    """Some rows of a table or a column, in any order; those of a run are not copied.

    Args:
        table: N rows.
        rows: of them.
    """
    if isinstance(table, pa.ChunkedArray):
        return cast(Rows, _taken(pa.table({"column": table}), np.asarray(rows, np.int64))["column"])
    return cast(Rows, _taken(table, np.asarray(rows, np.int64)))


def _taken(table: pa.Table, rows: NDArray[np.int64]) -> pa.Table:
    """The same of a table."""
    if not len(rows):
        return table.slice(0, 0)
    if (np.diff(rows) == 1).all():
        return table.slice(int(rows[0]), len(rows))
    batches = [batch for batch in table.to_batches() if batch.num_rows]
    ends = np.cumsum([batch.num_rows for batch in batches])
    places = np.searchsorted(ends, rows, "right")
    order = np.argsort(places, kind="stable")
    parts = [
        batches[place].take(pa.array(some - (ends[place] - batches[place].num_rows)))
        for place, some in ((place, rows[places == place]) for place in np.unique(places))
    ]
    found = pa.Table.from_batches(parts, table.schema)
    if (np.diff(order) == 1).all():
        return found
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return found.unify_dictionaries().take(pa.array(back))
