"""The references of an index as arrays."""

import numpy as np

from eval.errors import InputError
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
