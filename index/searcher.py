"""The nearest references of a vector, over all segments of an index."""

import numpy as np
from numpy.typing import NDArray

from eval.neighbours import Neighbours, ranked
from index.store import Store


class Searcher:
    """Searches the references of one generation.

    Args:
        store: the index folder, opened.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def search(self, queries: NDArray[np.float32], k: int, exact: bool = False) -> Neighbours:
        """Find the k nearest references of each query; ties go to the lower row.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query, at least 1 and at most as many as there are references.
            exact: compare every reference, also where there is a search file.

        Returns:
            ``[Q, k]`` rows and similarities, nearest first; the similarities are free of rounding in either case.
        """
        proposed = self._exact(queries, k) if exact else self._candidates(queries, k)
        best = Neighbours(np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32))
        for place, rows in enumerate(np.sort(proposed)):
            candidates = rows[rows >= 0]
            rank, best.similarities[place] = ranked(queries[place], self._store.vectors(candidates), k)
            best.rows[place] = candidates[rank]
        return best

    def _exact(self, queries: NDArray[np.float32], k: int, first: int = 0) -> NDArray[np.int64]:
        """Rows ``[Q, C]`` that hold the k nearest of each query, among those from a row on."""
        searched = [segment for segment in self._store.segments if segment.end > first]
        parts = [segment.candidates(queries, k, first) for segment in searched]
        return np.hstack(parts) if parts else np.empty((len(queries), 0), np.int64)

    def _candidates(self, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Rows ``[Q, C]`` that the k nearest of each query are looked for among; -1 where there are fewer."""
        if self._store.search is None:
            return self._exact(queries, k)
        near, depleted = self._store.search.candidates(queries, k)
        rows = np.hstack([near, self._exact(queries, k, self._store.manifest.search.rows)])
        if depleted.any():
            exact = self._exact(queries[depleted], k)
            rows = np.pad(rows, ((0, 0), (0, max(0, exact.shape[1] - rows.shape[1]))), constant_values=-1)
            rows[depleted] = -1
            rows[depleted, : exact.shape[1]] = exact
        return rows
