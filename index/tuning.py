"""How hard a structure searches: the least effort that finds as many of the ten nearest as were asked for."""

import math
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.similarity import slack
from index.candidates import NEIGHBOURS, effort, inner, set_parameters
from index.kinds import ERRORS
from index.manifest import Search
from index.search import Index
from index.vectors import moved_away

CANDIDATES = (20, 50, 100, 200, 400, 800)
"""How many candidates for ten neighbours are tried."""

LEAST_EFFORT = {"nprobe": 1, "efSearch": 16}
MOST_EFFORT = 2048
PLATEAU = 0.0005
"""The share that twice the effort, or twice the candidates, must find more of the nearest; else more is in vain."""

SCANNED_FOR_ONE = 16
"""Codes that are compared in the time that one candidate's similarity is taken from its vector."""

AT_ONCE = 16_384
"""References that are compared with all queries at once."""


def tuned(
    made: faiss.Index,
    index: Index,
    held: NDArray[np.int64],
    searched: NDArray[np.bool_],
    target: float,
    before: Search | None = None,
) -> Search:
    """How a structure is to search, by what it finds of some queries.

    Args:
        made: the structure; it is left with some effort or other.
        index: where the vectors are.
        held: ``[Q]``, the rows that are the queries, ascending.
        searched: ``[N]``, the rows that the structure holds and that are references still. Queries may be among them.
        target: the share of the ten nearest to find, in (0, 1].
        before: how it searched while it was smaller; it does not look for less than then.
    """
    near, far = _Tuning.near_and_far(made, index, held, searched)
    best = far.least(target)
    if before:
        more = {name: max(value, before.parameters[name]) for name, value in best.parameters.items()}
        best = far.tried(more, max(best.candidates, before.candidates))
    recall = near.tried(best.parameters, best.candidates).recall
    return Search(
        target_recall=target,
        parameters=best.parameters,
        candidates=best.candidates,
        recall=recall if len(held) else None,
        far_recall=best.recall if len(held) else None,
        queries=len(held),
    )


@dataclass(frozen=True)
class _Setting:
    """How hard a structure searches, and what comes of it.

    Attributes:
        parameters: the effort.
        candidates: how many it proposes for ten neighbours.
        recall: the share of the ten nearest that it finds.
        sure: the same less ``ERRORS`` standard errors.
        cost: about how much time it takes; 1 is that of taking one candidate's similarity.
    """

    parameters: dict[str, int]
    candidates: int
    recall: float
    sure: float
    cost: float


@dataclass(frozen=True)
class _Tuning:
    """A structure with queries whose nearest neighbours are known.

    Attributes:
        made: the structure.
        index: where the vectors are.
        queries: ``[Q, D]``.
        own: ``[Q]``, the row that each query is, and that it is not to find; -1 for none.
        searched: ``[N]``, the rows that the structure holds and that are references still.
        enough: ``[Q]``, the similarity of the tenth nearest of these: what is as similar is one of the ten nearest.
    """

    made: faiss.Index
    index: Index
    queries: NDArray[np.float32]
    own: NDArray[np.int64]
    searched: NDArray[np.bool_]
    enough: NDArray[np.float32]

    @classmethod
    def near_and_far(
        cls, made: faiss.Index, index: Index, held: NDArray[np.int64], searched: NDArray[np.bool_]
    ) -> tuple["_Tuning", "_Tuning"]:
        """Rows as queries: as they are, to find others, and moved away from what is nearest to them."""
        queries, nobody = index.vectors(held), np.full(len(held), -1)
        similarities, nearest = _exactly(index, queries, searched, held)
        far = moved_away(queries, index.vectors(nearest))
        enough = _enough(similarities, index.manifest.dimension)
        enough_far = _enough(_exactly(index, far, searched, nobody)[0], index.manifest.dimension)
        return (
            cls(made, index, queries, held, searched, enough),
            cls(made, index, far, nobody, searched, enough_far),
        )

    def least(self, target: float) -> _Setting:
        """The cheapest setting that finds a share of the ten nearest; the best one where none does."""
        cheapest: _Setting | None = None
        best = _Setting({}, 0, -1.0, -1.0, np.inf)
        for candidates in CANDIDATES:
            found = self._least_effort(candidates, target)
            if found.cost >= cheapest.cost if cheapest else found.sure < best.sure + PLATEAU:
                break
            best = max(best, found, key=lambda one: one.sure)
            if found.sure >= target:
                cheapest = found
            if candidates >= self.made.ntotal:
                break
        return cheapest or best

    def _least_effort(self, candidates: int, target: float) -> _Setting:
        """The setting of least effort that reaches the target with so many candidates; the best one where none does."""
        name = effort(self.made)
        if name is None:
            return self.tried({}, candidates)
        low, high = LEAST_EFFORT[name], self._most_effort()
        found = self.tried({name: low}, candidates)
        while found.sure < target and low < high:
            before, low = found, min(2 * low, high)
            found = self.tried({name: low}, candidates)
            if found.sure < before.sure + PLATEAU and found.sure < target:
                return before
        high, low = low, max(low // 2, LEAST_EFFORT[name])
        while high - low > max(1, high // 8) and found.sure >= target:
            middle = (low + high) // 2
            tried = self.tried({name: middle}, candidates)
            low, high, found = (low, middle, tried) if tried.sure >= target else (middle, high, found)
        return found

    def _most_effort(self) -> int:
        """As many cells as there are; the longest queue."""
        cells = faiss.try_extract_index_ivf(inner(self.made))
        return MOST_EFFORT if cells is None else int(cells.nlist)

    def tried(self, parameters: dict[str, int], candidates: int) -> _Setting:
        """What a setting finds and costs."""
        set_parameters(self.made, parameters)
        kept = int(self.searched.sum())
        asked = min(math.ceil(candidates * self.made.ntotal / max(1, kept)), self.made.ntotal)
        rows = self.made.search(self.queries, asked)[1] if len(self.queries) else ()
        found = [self._found(place, near[near >= 0]) for place, near in enumerate(rows)]
        itself = bool((self.searched[self.own] & (self.own >= 0)).any())
        there = min(NEIGHBOURS, max(1, kept - itself))
        shares = np.array(found or [there]) / there
        recall, error = float(shares.mean()), float(shares.std()) / len(shares) ** 0.5
        cost = candidates + self._scanned(parameters) / SCANNED_FOR_ONE
        return _Setting(parameters, candidates, recall, recall - ERRORS * error, cost)

    def _found(self, place: int, near: NDArray[np.int64]) -> int:
        """How many of the ten nearest of a query are among some rows."""
        others = near[self.searched[near] & (near != self.own[place])]
        similarities = self.index.vectors(others) @ self.queries[place]
        return min(NEIGHBOURS, int((similarities >= self.enough[place]).sum()))

    def _scanned(self, parameters: dict[str, int]) -> float:
        """About how many codes are compared with a query."""
        if "nprobe" in parameters:
            return self.made.ntotal * parameters["nprobe"] / self._most_effort()
        return 32 * parameters["efSearch"] if "efSearch" in parameters else self.made.ntotal


def _exactly(
    index: Index, queries: NDArray[np.float32], searched: NDArray[np.bool_], own: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Similarities ``[Q, 10]`` of the nearest of some rows, the best first, -inf for none; and the best row ``[Q]``.

    No query finds its ``own`` row ``[Q]``.
    """
    best = np.full((len(queries), NEIGHBOURS), -np.inf, np.float32)
    nearest = np.zeros(len(queries), np.int64)
    for start in range(0, len(searched), AT_ONCE):
        rows = start + np.flatnonzero(searched[start : start + AT_ONCE])
        if len(rows):
            similarities = queries @ index.vectors(rows).T
            similarities[own[:, None] == rows] = -np.inf
            nearer = similarities.max(axis=1) > best[:, 0]
            nearest[nearer] = rows[similarities[nearer].argmax(axis=1)]
            few = np.partition(-similarities, min(NEIGHBOURS, len(rows)) - 1)[:, :NEIGHBOURS]
            best = -np.sort(np.hstack([-best, few]))[:, :NEIGHBOURS]
    return best, nearest


def _enough(similarities: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """The least similarity of one of the ten nearest, less rounding."""
    there = np.where(np.isfinite(similarities), similarities, np.inf)
    return there.min(axis=1, initial=np.inf) - slack(dimension)
