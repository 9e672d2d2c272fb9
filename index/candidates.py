"""The search file: a FAISS structure that proposes candidates for the nearest references, mapped into memory."""

import math
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.folders import damaged
from index.manifest import Search
from index.scan import for_arrays, on_one_core

NEIGHBOURS = 10
"""How many the structure's parameters are tuned to find; for more it proposes proportionally more."""

LONGEST_QUEUE = 16_384
"""Of a graph, for however many neighbours."""

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
        self._path, self._parameters = path, search.parameters
        self._numpy_search = for_arrays(self._structure, "search")
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

        Raises:
            InputError: the file is damaged.
        """
        asked = min(math.ceil(self._for_one * k), self._structure.ntotal)
        with on_one_core(len(queries) == 1):
            rows = self._numpy_search(queries, asked, params=self._harder(k))[1]
        if rows.max(initial=-1) >= len(self._kept) - 1 or rows.min(initial=-1) < -1:
            raise damaged(self._path, "it names rows that are not there")
        return np.where(self._kept[rows], rows, -1), self._depleted(rows, min(k, self.count))

    def _harder(self, k: int) -> faiss.SearchParameters | None:
        """The effort for more neighbours than the structure was tuned for, which grows with them."""
        if k <= NEIGHBOURS:
            return None
        return search_parameters(
            self._structure, {name: math.ceil(value * k / NEIGHBOURS) for name, value in self._parameters.items()}
        )

    def _depleted(self, rows: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
        """Which queries have fewer than ``k`` references, or less than half, among the rows that were proposed."""
        left = self._kept[rows].sum(axis=1)
        return (left < k) | (2 * left < (rows >= 0).sum(axis=1))


def set_parameters(structure: faiss.Index, parameters: dict[str, int]) -> None:
    """Set the effort of a structure's search."""
    for name, value in parameters.items():
        faiss.ParameterSpace().set_index_parameter(structure, name, value)


def search_parameters(structure: faiss.Index, parameters: dict[str, int]) -> faiss.SearchParameters | None:
    """The effort of one search; None for that of the structure, where FAISS has no way to say it for one search."""
    searched = inner(structure)
    moved = isinstance(searched, faiss.IndexPreTransform)
    searched = faiss.downcast_index(searched.index) if isinstance(searched, faiss.IndexPreTransform) else searched
    # FAISS's type hints show the constructors of C++, not those that its Python wrapper puts in their place.
    if isinstance(searched, faiss.IndexHNSW):
        wanted = faiss.SearchParametersHNSW(efSearch=min(parameters["efSearch"], LONGEST_QUEUE))  # type: ignore[attr-defined]
    elif isinstance(searched, faiss.IndexIVF):
        wanted = faiss.SearchParametersIVF(nprobe=min(parameters["nprobe"], searched.nlist))  # type: ignore[call-arg]
    else:
        return None
    return faiss.SearchParametersPreTransform(index_params=wanted) if moved else wanted  # type: ignore[call-arg]


def inner(structure: faiss.Index) -> faiss.Index:
    """The structure that an ``IndexIDMap`` gives names to."""
    return faiss.downcast_index(structure.index) if isinstance(structure, faiss.IndexIDMap) else structure


def effort(structure: faiss.Index) -> str | None:
    """What FAISS calls the parameter that the effort of a structure's search grows with; None where there is none."""
    space = faiss.ParameterSpace()
    space.initialize(inner(structure))
    names = [space.parameter_ranges.at(place).name for place in range(space.parameter_ranges.size())]
    return next((name for name in EFFORTS if name in names), None)
