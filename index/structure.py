"""Making the search file: a structure is trained, filled, tuned to a target and measured against exact search.

What it is tuned with are references that it does not hold yet: up to ``HELD_OUT`` of them are kept back, searched for,
and added last. As they are, they are to it what a photo of the same source will be. But photos that are asked about are
often taken elsewhere, and then lie further from the references than these from each other, which makes them harder to
search for. So each is moved away from its nearest reference, to about twice the distance, and the target is to be
reached with these. What is added to a structure later may be all of one kind, so that it is tuned with any references
then, which it holds; only moved away they are new to it. So it is with too few to keep some back.
"""

import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from index.candidates import NEIGHBOURS, effort, set_parameters
from index.collection import served
from index.kinds import POINTS_A_CENTROID, choose, reason, report, structure
from index.manifest import Manifest, Search
from index.scan import on_one_core
from index.search import Index
from index.segment import check_vectors
from index.store import Store
from index.tuning import tuned

MERGED = 0.1
"""The share of rows that may be newer than the search file; from there on they are added to it."""

HELD_OUT, FEWEST_HELD_OUT = 1000, 100
"""References that a structure is tuned with, and so few that any are, held by it or not."""

TRAINED_ON = 65_536
"""References that a structure without centroids is trained on at most."""

AT_ONCE = 16_384
"""References that are added at once."""

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
    check_vectors(after, folder)
    grown = now.file is not None and after.rows <= 2 * now.begun and _family(factory) == _family(str(now.factory))
    name = f"search-{generation:06}.faiss"
    if grown:
        factory, old = str(now.factory), str(now.file)
        after.files[old].check(folder / old, limit=math.inf)  # what is damaged must not be written anew as if right
        made = faiss.read_index(str(folder / old))
    print(f"making the search file: {factory}, {index.count} references", file=sys.stderr)
    with _faiss_errors(factory, index.count):
        made = made if grown else _trained(factory, index)
        search = _grown(made, index, now) if grown else _filled(made, index, now.target_recall)
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
    """Write a structure, and see that it can be read: FAISS has some that it only writes."""
    try:
        faiss.write_index(made, str(path))
    except RuntimeError as error:
        raise InputError(f"{path.name} cannot be written: {reason(error)}; make room on the disk") from None
    try:
        faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise InputError(f"FAISS cannot read what it has written: {reason(error)}; take another --kind") from None


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


def _filled(made: faiss.Index, index: Index, target: float) -> Search:
    """Add all references to a structure, and tune it with some of them, kept back where there are enough."""
    rows = np.flatnonzero(index.kept)
    held = _drawn(rows, min(HELD_OUT, len(rows) // 10))
    if len(held) < FEWEST_HELD_OUT:
        _add(made, index, rows)
        return tuned(made, index, _drawn(rows, HELD_OUT), index.kept, target)
    _add(made, index, np.setdiff1d(rows, held))
    searched = index.kept.copy()
    searched[held] = False
    search = tuned(made, index, held, searched, target)
    _add(made, index, held)
    return search


def _grown(made: faiss.Index, index: Index, before: Search) -> Search:
    """Add what is newer than a structure to it, and tune it with some of all."""
    rows = np.flatnonzero(index.kept)
    _add(made, index, rows[rows >= before.rows])
    return tuned(made, index, _drawn(rows, HELD_OUT), index.kept, before.target_recall, before)


def _drawn(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """So many of some rows, ascending; none of a single one, which has no others to find."""
    return np.sort(np.random.default_rng(0).permutation(rows)[: count if len(rows) > 1 else 0])


def _add(made: faiss.Index, index: Index, rows: NDArray[np.int64]) -> None:
    """Add rows to a structure, block by block; one core links a graph, as several would link another each time."""
    with on_one_core(effort(made) == "efSearch"):
        for start in range(0, len(rows), AT_ONCE):
            block = rows[start : start + AT_ONCE]
            made.add_with_ids(index.vectors(block), block)


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
    except (RuntimeError, MemoryError) as error:
        raise InputError(
            f"FAISS cannot make {factory!r} of {count} references: {reason(error)}; take another --kind"
        ) from None
