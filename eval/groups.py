"""Photos that belong together, as those of one individual or burst, as numbers."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def group_codes(references: pa.Table, shared_ids: bool = False) -> NDArray[np.int64]:
    """The group of each row ``[N]``, by the number of its first row, which stays the same when others are added.

    Args:
        references: a table with ``id`` and, where it is known, ``group``.
        shared_ids: whether a photo may stand in several rows: these are then a group, unless they are told otherwise.
    """
    own = first_rows(references["id"]) if shared_ids else np.arange(len(references))
    if "group" not in references.column_names:
        return own
    named = first_rows(references["group"])
    return np.where(named >= 0, named, own)


def independent(codes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many groups each class has: of photos of one group, the others tell little more than the first.

    Args:
        codes: ``[N]``, the classes of some references as numbers from 0 on.
        groups: ``[N]``, by ``group_codes``.

    Returns:
        ``[C]``, for each number up to the largest.
    """
    return np.bincount(np.unique(np.stack([codes, groups]), axis=1)[0], minlength=codes.max(initial=-1) + 1)


def first_rows(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """For each row the first one with the same value; -1 where there is none."""
    values = column.cast(pa.large_string()).dictionary_encode()  # one dictionary for all chunks; others hold 2 GB
    indices = pa.chunked_array([chunk.indices for chunk in values.chunks], pa.int32())
    codes = indices.fill_null(-1).to_numpy().astype(np.int64)
    firsts = np.unique(codes, return_index=True)[1]
    firsts = firsts[1:] if codes.min(initial=0) < 0 else firsts
    return np.where(codes >= 0, firsts[codes], -1) if len(firsts) else np.full(len(codes), -1)
