"""The search file: a FAISS structure that proposes candidates for the nearest references, mapped into memory."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.folders import damaged
from index.manifest import Search

NEIGHBOURS = 10
"""How many the structure's parameters are tuned to find; for more it proposes proportionally more."""

EFFORTS = ("nprobe", "efSearch")
"""What FAISS calls the parameter that a search's effort grows with: cells that it looks in, or the queue of a graph."""


class SearchFile:
    """Proposes rows that are near to a query. What is newer than the file it does not know.

    Args:
        path: the file.
        search: what the manifest says about it.
        dimension: length D of a vector.
        deleted: rows of the index that are no longer references.

    Raises:
        FileNotFoundError: the file is gone.
        InputError: the file is damaged.
    """

    def __init__(self, path: Path, search: Search, dimension: int, deleted: NDArray[np.int64]) -> None:
        try:
            self._structure = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
            set_parameters(self._structure, search.parameters)
        except RuntimeError as error:
            path.stat()  # where the file has just been removed, that is what is wrong
            raise damaged(path, str(error)) from None
        if (self._structure.ntotal, self._structure.d) != (search.count, dimension):
            raise damaged(path, f"it does not hold {search.count} vectors of dimension {dimension}")
        self._kept = np.ones(search.rows + 1, bool)  # the last one stands for -1: nothing was found
        self._kept[deleted[deleted < search.rows]] = False
        self._kept[-1] = False
        self.count = int(self._kept.sum())
        # Of what is proposed as many have been deleted as of all, so more is asked for.
        self._for_one = search.candidates / NEIGHBOURS * search.count / max(1, self.count)

    def candidates(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Rows among which the k nearest of each query are likely to be.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query.

        Returns:
            Rows ``[Q, C]``, -1 where there are fewer, no deleted ones; and for which queries ``[Q]`` they are not to be
            relied upon: most of what was near has been deleted, or too little was looked at.
        """
        asked = min(math.ceil(self._for_one * k), self._structure.ntotal)
        with on_one_core(len(queries) == 1):
            rows = self._structure.search(queries, asked)[1]
        return np.where(self._kept[rows], rows, -1), self._depleted(rows, min(k, self.count))

    def _depleted(self, rows: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
        """Which queries have fewer than ``k`` references, or less than half, among the rows that were proposed."""
        left = self._kept[rows].sum(axis=1)
        return (left < k) | (2 * left < (rows >= 0).sum(axis=1))


@contextmanager
def on_one_core(alone: bool) -> Iterator[None]:
    """Keep FAISS from waiting for other cores, where there is no work for them.

    It would do so for a single query too, which on a busy machine takes a hundred times as long as the query.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if alone else before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def set_parameters(structure: faiss.Index, parameters: dict[str, int]) -> None:
    """Set the effort of a structure's search."""
    for name, value in parameters.items():
        faiss.ParameterSpace().set_index_parameter(structure, name, value)


def effort(structure: faiss.Index) -> str | None:
    """What FAISS calls the parameter that the effort of a structure's search grows with; None where there is none."""
    space = faiss.ParameterSpace()
    space.initialize(faiss.downcast_index(structure.index) if isinstance(structure, faiss.IndexIDMap) else structure)
    names = [space.parameter_ranges.at(place).name for place in range(space.parameter_ranges.size())]
    return next((name for name in EFFORTS if name in names), None)
