"""Making the search file: a structure is trained, filled, tuned to a target and measured against exact search.

What it is tuned with are references that it does not hold yet: up to ``HELD_OUT`` of those that are to be added are
kept back, searched for, and added last. As they are, they are to it what a photo of the same source will be. But photos
that are asked about are often taken elsewhere, and then lie further from the references than these from each other,
which makes them harder to search for. So each is moved away from its nearest reference, to about twice the distance,
and the target is to be reached with these.
"""

import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.similarity import slack
from index.candidates import NEIGHBOURS, effort, on_one_core, set_parameters
from index.collection import served
from index.kinds import ERRORS, POINTS_A_CENTROID, choose, reason, report, structure
from index.manifest import Manifest, Search
from index.search import Index
from index.store import Store

MERGED = 0.1
"""The share of rows that may be newer than the search file; from there on they are added to it."""

HELD_OUT = 1000
TRAINED_ON = 65_536
"""References that a structure without centroids is trained on at most."""

AT_ONCE = 16_384
CANDIDATES = (20, 50, 100, 200, 400, 800)
"""How many candidates for ten neighbours are tried."""

LEAST_EFFORT = {"nprobe": 1, "efSearch": 16}
MOST_EFFORT = 2048
PLATEAU = 0.0005
"""The share that twice the effort, or twice the candidates, must find more of the nearest; else more is in vain."""

SCANNED_FOR_ONE = 16
"""Codes that are compared in the time that one candidate's similarity is taken from its vector."""

EF_CONSTRUCTION = 100
TIMED = 50
EXACT_TIMED = 3


def searchable(after: Manifest, folder: Path, new_files: Path, generation: int) -> Manifest:
    """The generation with a search file, where its kind wants one and the one that it has falls short; or in Milvus.

    What is newer than the file is searched exactly beside it. When that is more than a tenth, it is added to it; when
    the rows have more than doubled since the file was begun, it is made anew.

    Args:
        after: the next generation.
        folder: the index folder.
        new_files: where the file goes, and where the other files are that have not been committed.
        generation: which names it.

    Raises:
        InputError: nothing fits in the memory that the search may take, or FAISS or Milvus cannot do what was asked
            for.
    """
    if after.milvus:
        return served(after, after.milvus, folder, new_files, generation)
    now = after.search
    factory = choose(now.kind, after.rows - len(after.deleted), after.dimension, now.max_memory)
    if factory is None or after.rows == len(after.deleted):
        return replace(after, search=Search(kind=now.kind, target_recall=now.target_recall, max_memory=now.max_memory))
    if now.file and after.rows - now.rows <= MERGED * after.rows:
        return after
    index = Index(Store.of(after, folder, new_files))
    grown = now.file is not None and after.rows <= 2 * now.begun and _family(factory) == _family(str(now.factory))
    name = f"search-{generation:06}.faiss"
    if grown:
        factory, old = str(now.factory), str(now.file)
        after.files[old].check(folder / old, limit=math.inf)  # what is damaged must not be written anew as if right
        made = faiss.read_index(str(folder / old))
    print(f"making the search file: {factory}, {index.count} references", file=sys.stderr)
    with _faiss_errors(factory, index.count):
        made = made if grown else _trained(factory, index)
        rows = np.flatnonzero(index.kept)
        search = _filled(made, index, rows[rows >= now.rows] if grown else rows, now.target_recall)
    _write(made, new_files / name)
    search = replace(
        search,
        kind=now.kind,
        max_memory=now.max_memory,
        factory=factory,
        file=name,
        rows=after.rows,
        count=made.ntotal,
        begun=now.begun if grown else after.rows,
    )
    return _timed(replace(after, search=search), folder, new_files)


def _family(factory: str) -> str:
    """A factory string but for the number of cells, which the number of references decides."""
    return re.sub(r"IVF\d+", "IVF", factory)


def _write(made: faiss.Index, path: Path) -> None:
    """Write a structure."""
    try:
        faiss.write_index(made, str(path))
    except RuntimeError as error:
        raise InputError(f"{path.name} cannot be written: {reason(error)}; make room on the disk") from None


def _trained(factory: str, index: Index) -> faiss.Index:
    """An empty structure that has seen as many references as it needs, and names rows."""
    made = structure(factory, index.manifest.dimension)
    cells = faiss.try_extract_index_ivf(made)
    wanted = TRAINED_ON if cells is None else max(TRAINED_ON, POINTS_A_CENTROID * cells.nlist)
    if effort(made) == "efSearch":
        set_parameters(made, {"efConstruction": EF_CONSTRUCTION})
    if not made.is_trained:
        rows = np.flatnonzero(index.kept)
        made.train(index.vectors(np.sort(np.random.default_rng(0).permutation(rows)[:wanted])))
    inner = faiss.downcast_index(made.index) if isinstance(made, faiss.IndexPreTransform) else made
    return made if isinstance(inner, faiss.IndexIVF) else faiss.IndexIDMap(made)


def _filled(made: faiss.Index, index: Index, rows: NDArray[np.int64], target: float) -> Search:
    """Add rows to a structure, and tune it with some of them before these are added."""
    held = np.sort(np.random.default_rng(0).permutation(rows)[: min(HELD_OUT, len(rows) // 10)])
    graph = effort(made) == "efSearch"
    _add(made, index, np.setdiff1d(rows, held), graph)
    searched = index.kept.copy()
    searched[held] = False
    near, far = _Tuning.near_and_far(made, index, held, searched)
    tuned = far.least(target)
    recall = near.tried(tuned.parameters, tuned.candidates).recall
    _add(made, index, held, graph)
    return Search(
        target_recall=target,
        parameters=tuned.parameters,
        candidates=tuned.candidates,
        recall=recall if len(held) else None,
        far_recall=tuned.recall if len(held) else None,
        queries=len(held),
    )


def _add(made: faiss.Index, index: Index, rows: NDArray[np.int64], graph: bool) -> None:
    """Add rows to a structure, block by block; one core links a graph, as several would link another each time."""
    with on_one_core(graph):
        for start in range(0, len(rows), AT_ONCE):
            block = rows[start : start + AT_ONCE]
            made.add_with_ids(index.vectors(block), block)


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
        enough: ``[Q]``, the similarity of the tenth nearest of what the structure holds: what is as similar is one of
            the ten nearest.
    """

    made: faiss.Index
    index: Index
    queries: NDArray[np.float32]
    enough: NDArray[np.float32]

    @classmethod
    def near_and_far(
        cls, made: faiss.Index, index: Index, held: NDArray[np.int64], searched: NDArray[np.bool_]
    ) -> tuple["_Tuning", "_Tuning"]:
        """Rows that the structure does not hold as queries: as they are, and moved away from what is near them."""
        queries = index.vectors(held)
        similarities, nearest = _exactly(index, queries, searched)
        moved = 2 * queries - index.vectors(nearest)
        far = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return (
            cls(made, index, queries, _enough(similarities, index.manifest.dimension)),
            cls(made, index, far, _enough(_exactly(index, far, searched)[0], index.manifest.dimension)),
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
        cells = faiss.try_extract_index_ivf(_inner(self.made))
        return MOST_EFFORT if cells is None else int(cells.nlist)

    def tried(self, parameters: dict[str, int], candidates: int) -> _Setting:
        """What a setting finds and costs."""
        set_parameters(self.made, parameters)
        rows = self.made.search(self.queries, min(candidates, self.made.ntotal))[1] if len(self.queries) else ()
        found = [self._found(place, near[near >= 0]) for place, near in enumerate(rows)]
        there = min(NEIGHBOURS, max(1, self.made.ntotal))
        shares = np.array(found or [there]) / there
        recall, error = float(shares.mean()), float(shares.std()) / len(shares) ** 0.5
        cost = candidates + self._scanned(parameters) / SCANNED_FOR_ONE
        return _Setting(parameters, candidates, recall, recall - ERRORS * error, cost)

    def _found(self, place: int, near: NDArray[np.int64]) -> int:
        """How many of the ten nearest of a query are among some rows."""
        similarities = self.index.vectors(near) @ self.queries[place]
        return min(NEIGHBOURS, int((similarities >= self.enough[place]).sum()))

    def _scanned(self, parameters: dict[str, int]) -> float:
        """About how many codes are compared with a query."""
        if "nprobe" in parameters:
            return self.made.ntotal * parameters["nprobe"] / self._most_effort()
        return 32 * parameters["efSearch"] if "efSearch" in parameters else self.made.ntotal


def _exactly(
    index: Index, queries: NDArray[np.float32], searched: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Similarities ``[Q, 10]`` of the nearest of some rows, the best first, -inf for none; and the best row ``[Q]``."""
    best = np.full((len(queries), NEIGHBOURS), -np.inf, np.float32)
    nearest = np.zeros(len(queries), np.int64)
    for start in range(0, len(searched), AT_ONCE):
        rows = start + np.flatnonzero(searched[start : start + AT_ONCE])
        if len(rows):
            similarities = queries @ index.vectors(rows).T
            nearer = similarities.max(axis=1) > best[:, 0]
            nearest[nearer] = rows[similarities[nearer].argmax(axis=1)]
            few = np.partition(-similarities, min(NEIGHBOURS, len(rows)) - 1)[:, :NEIGHBOURS]
            best = -np.sort(np.hstack([-best, few]))[:, :NEIGHBOURS]
    return best, nearest


def _enough(similarities: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """The least similarity of one of the ten nearest, less rounding."""
    there = np.where(np.isfinite(similarities), similarities, np.inf)
    return there.min(axis=1, initial=np.inf) - slack(dimension)


def _inner(made: faiss.Index) -> faiss.Index:
    """The structure that an ``IndexIDMap`` gives names to."""
    return faiss.downcast_index(made.index) if isinstance(made, faiss.IndexIDMap) else made


def _timed(after: Manifest, folder: Path, new_files: Path) -> Manifest:
    """The generation with the time that a query takes, one at a time."""
    index = Index(Store.of(after, folder, new_files))
    queries = index.vectors(np.sort(np.random.default_rng(0).permutation(np.flatnonzero(index.kept))[:TIMED]))

    def milliseconds(few: NDArray[np.float32], exact: bool) -> float:
        taken = []
        for query in few:
            start = time.perf_counter()
            index.search(query[None], NEIGHBOURS, exact=exact)
            taken.append(1000 * (time.perf_counter() - start))
        return round(float(np.median(taken)), 3)

    search = replace(
        after.search,
        milliseconds=milliseconds(queries, exact=False),
        exact_milliseconds=milliseconds(queries[:EXACT_TIMED], exact=True),
    )
    report(search)
    return replace(after, search=search)


@contextmanager
def _faiss_errors(factory: str, count: int) -> Iterator[None]:
    """Say what FAISS says in one sentence."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            f"FAISS cannot make {factory!r} of {count} references: {reason(error)}; take another --kind"
        ) from None
