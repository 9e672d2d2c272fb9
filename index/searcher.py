"""The nearest references of a vector, wherever the vectors of an index are."""

import numpy as np
from numpy.typing import NDArray

from eval.neighbours import Neighbours, ranked
from index.store import Store

TOGETHER = 8192
"""Candidates of several queries whose vectors are fetched at once."""


class Searcher:
    """Searches the references of one generation.

    Args:
        store: the index folder, opened.
    """

    def __init__(self, store: Store) -> None:
        self._vectors, self._proposals = store.vectors, store.search
        self._beyond = store.manifest.search.rows

    def search(self, queries: NDArray[np.float32], k: int, exact: bool = False) -> Neighbours:
        """Find the k nearest references of each query; ties go to the lower row.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query, at least 1 and at most as many as there are references.
            exact: compare every reference, also where there is a search file.

        Returns:
            ``[Q, k]`` rows and similarities, nearest first; the similarities are free of rounding in either case.
        """
        proposed = self._vectors.candidates(queries, k) if exact else self._candidates(queries, k)
        best = Neighbours(np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32))
        at_once = max(1, TOGETHER // proposed.shape[1])
        for start in range(0, len(queries), at_once):
            block = proposed[start : start + at_once]
            there = np.unique(block[block >= 0])
            vectors = self._vectors.at(there)
            for place, rows in enumerate(block, start):
                candidates = np.sort(rows[rows >= 0])
                near = vectors[np.searchsorted(there, candidates)]
                rank, best.similarities[place] = ranked(queries[place], near, k)
                best.rows[place] = candidates[rank]
        return best

    def _candidates(self, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Rows ``[Q, C]`` that the k nearest of each query are looked for among; -1 where there are fewer."""
        if self._proposals is None:
            return self._vectors.candidates(queries, k)
        near, depleted = self._proposals.candidates(queries, k)
        rows = np.hstack([near, self._vectors.candidates(queries, k, self._beyond)])
        if depleted.any():
            exact = self._vectors.candidates(queries[depleted], k)
            rows = np.pad(rows, ((0, 0), (0, max(0, exact.shape[1] - rows.shape[1]))), constant_values=-1)
            rows[depleted] = -1
            rows[depleted, : exact.shape[1]] = exact
        return rows
