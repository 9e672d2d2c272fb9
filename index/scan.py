"""Comparing queries with every vector of a segment; a query that comes alone reads them in half precision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.folders import damaged
from index.kinds import FAST_ENOUGH
from index.vectors import Found, nearest_with_ties

ALONE = 16
"""Queries that come alone before vectors are copied for them: to copy takes about what as many would gain."""

_AT_ONCE = 1 << 14


class Scan:
    """The vectors of one segment, as FAISS compares them with queries. Safe to use from several threads at once.

    For one query the time goes into reading the vectors from memory, not into the arithmetic. So once some queries have
    come alone, a copy of half the size finds the candidates of the next ones: all that its known error may confuse.

    Args:
        path: of their file, a FAISS ``IndexFlatIP``.
        vectors: the same, float32 ``[N, D]``.
        deleted: rows of the segment that are no longer references.

    Raises:
        FileNotFoundError: the file is gone.
        InputError: it is damaged.
    """

    def __init__(self, path: Path, vectors: NDArray[np.float32], deleted: NDArray[np.int64]) -> None:
        try:
            self._flat = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            path.stat()  # where the file has just been removed, that is what is wrong
            raise damaged(path, str(error)) from None
        self._path, self._vectors, self._deleted = path, vectors, deleted
        self._numpy_search = for_arrays(self._flat, "search")
        self._searched: dict[int, tuple[int, faiss.SearchParameters | None]] = {}
        self._alone, self._making = 0, Lock()
        self._halves: Halves | None = None

    def candidates(self, queries: NDArray[np.float32], k: int, first: int = 0) -> NDArray[np.int64]:
        """Rows that hold the k nearest references of each query, with all that may tie for the last place.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query.
            first: the row of the segment from which on references are searched.

        Returns:
            Rows ``[Q, C]`` of the segment, C at least the smaller of k and the references there are; -1 where another
            query has more that may tie.
        """
        count, parameters = self._from(first)
        halves = self._for_one() if len(queries) == 1 and first == 0 else None

        def search(some: NDArray[np.float32], wanted: int) -> Found:
            similarities, rows = (halves.search if halves else self._numpy_search)(some, wanted, params=parameters)
            if (rows < 0).any():
                raise damaged(self._path, "it holds values that are not numbers")
            return similarities, rows

        with on_one_core(len(queries) == 1):
            return nearest_with_ties(search, queries, k, count, halves.error if halves else 0.0)

    def _for_one(self) -> "Halves | None":
        """The copy for queries that come alone, once there have been enough; none of what is not scanned as a rule."""
        self._alone += 1
        small = self._vectors.size <= FAST_ENOUGH
        if self._halves is None and self._alone > ALONE and small and self._making.acquire(blocking=False):
            with suppress(MemoryError):
                self._halves = Halves(self._vectors)
        return self._halves

    def _from(self, first: int) -> tuple[int, faiss.SearchParameters | None]:
        """How many references there are from a row on, and what lets FAISS search only those."""
        if first not in self._searched:
            kept = np.ones(len(self._vectors), bool)
            kept[:first] = False
            kept[self._deleted] = False
            self._searched[first] = (int(kept.sum()), None if kept.all() else _only(kept))
        return self._searched[first]


class Halves:
    """Vectors in half precision.

    Attributes:
        error: the most by which the similarity of one with a vector of unit length is off, besides the rounding of its
            sum: the greatest distance between a vector and what has become of it (Cauchy and Schwarz).

    Args:
        vectors: float32 ``[N, D]``.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._codes = faiss.IndexScalarQuantizer(
            vectors.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self.error = 0.0
        for start in range(0, len(vectors), _AT_ONCE):
            some = vectors[start : start + _AT_ONCE]
            for_arrays(self._codes, "add")(some)
            off = for_arrays(self._codes, "reconstruct_n")(start, len(some)) - some
            self.error = max(self.error, float(np.linalg.norm(off, axis=1).max()))
        self.search = for_arrays(self._codes, "search")


def for_arrays(structure: faiss.Index, name: str) -> Callable[..., Any]:
    """A method of FAISS, for arrays.

    ``faiss.contrib.torch_utils``, which metric-learning libraries import, replaces it in the whole process by one that
    may give tensors and that knows no search parameters, and keeps it under another name.
    """
    method: Callable[..., Any] = getattr(structure, f"{name}_numpy", None) or getattr(structure, name)
    return method


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


def _only(kept: NDArray[np.bool_]) -> faiss.SearchParameters:
    """Let FAISS search only some of the rows."""
    # FAISS's type hints show the constructors of C++, not those that its Python wrapper puts in their place.
    selector = faiss.IDSelectorBitmap(np.packbits(kept, bitorder="little"))  # type: ignore[call-arg, arg-type]
    return faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
