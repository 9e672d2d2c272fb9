"""The exact k nearest of large sets: one tile of similarities after another, scanned by compiled code.

A tile is the matrix product of some rows with some others. What a row has found so far gives it a threshold, and of a
tile only what lies above the thresholds is looked at: nearly nothing, once each row has seen a few thousand others. A
set that searches itself needs the tiles on and above the diagonal only, each of which is looked at from both sides.

Each core works on a tile of its own, product and scan, while no other works on the same rows. That needs no turns taken
between cores, and a tile is scanned while it still lies in the cache of the core that made it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Condition
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from eval.cores import available_cores
from eval.similarity import SCALE, slack

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Tile = tuple[int, int]
"""The block of its queries and the block of its references, counted from 0."""

SIDE = 768
"""Rows of a block: enough for a fast matrix product, few enough for a tile to stay in the cache of a core."""

_CHUNK = 64  # similarities compared with their thresholds before anything is decided; 32 are not compiled to vectors

# The threads are Python's own, which the compiled code lets run: numba's are not safe to use from several of those.
_compiled: Callable[..., Any] = njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract"})


class Heaps(NamedTuple):
    """What each query has found so far: a heap with the worst on top, from ``first[query]`` to ``first[query + 1]``.

    Attributes:
        first: ``[Q + 1]`` int64.
        sizes: ``[Q]`` int64, how many are found.
        rows: the references that are found, int32.
        similarities: theirs, exact, float32.
        thresholds: ``[Q]`` float32; a rough similarity that is not above it is not wanted.
        slack: by how much a rough similarity may lie below the exact one.
    """

    first: Numbers
    sizes: Numbers
    rows: NDArray[np.int32]
    similarities: NDArray[np.float32]
    thresholds: NDArray[np.float32]
    slack: np.float32


class Schedule:
    """Hands out tiles to workers, so that no two at a time write to the same rows."""

    def __init__(self, tiles: list[Tile], itself: bool) -> None:
        """Begin with all ``tiles`` waiting; those of a set that searches itself write to both of their blocks."""
        self._waiting = tiles
        self._itself = itself
        self._busy: set[int] = set()
        self._changed = Condition()

    def __iter__(self) -> Iterator[Tile]:
        """Yield tiles to one worker until none is left; a tile is done when the next one is asked for."""
        while (tile := self._take()) is not None:
            try:
                yield tile
            finally:
                with self._changed:
                    self._busy -= self._written(tile)
                    self._changed.notify_all()

    def stop(self) -> None:
        """Hand out no more."""
        with self._changed:
            self._waiting.clear()

    def _take(self) -> Tile | None:
        """Wait for a tile that nobody else is in the way of; none where none is left."""
        with self._changed:
            while self._waiting:
                for place, tile in enumerate(self._waiting):
                    if not self._busy & self._written(tile):
                        self._busy |= self._written(tile)
                        return self._waiting.pop(place)
                self._changed.wait()
        return None

    def _written(self, tile: Tile) -> set[int]:
        """The blocks whose heaps a tile writes to."""
        return set(tile) if self._itself else {tile[0]}


def nearest_in_tiles(queries: Vectors, references: Vectors | None, k: Numbers, side: int | None = None) -> Heaps:
    """Find the nearest references of each query, exactly; ties go to the lower row.

    Args:
        queries: ``[Q, D]``, of unit length.
        references: ``[N, D]``, of unit length; none for a set that searches itself, where no row finds itself.
        k: ``[Q]``, how many to find for each; at least 1.
        side: rows of a block; none for ``SIDE``, or fewer so that each core has some. It does not change the result.

    Returns:
        Heaps that are sorted, the nearest first.
    """
    itself = references is None
    targets = queries if references is None else references
    side = side or min(SIDE, max(_CHUNK, len(queries) // (4 * available_cores())))
    heaps = _empty_heaps(k, queries.shape[1])
    schedule = Schedule(list(_tiles(-(-len(queries) // side), -(-len(targets) // side), itself)), itself)

    def work(_: int) -> None:
        memory = np.empty(side * side, np.float32)
        for above, left in schedule:
            few, others = queries[above * side :][:side], targets[left * side :][:side]
            rough = memory[: len(few) * len(others)].reshape(len(few), len(others))
            np.matmul(few, others.T, out=rough)
            if left == (above if itself else 0):
                _raise_thresholds(heaps, rough, above * side, itself)
            _scan(rough, above * side, left * side, itself, heaps, queries, targets)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(available_cores()) as pool:
        try:
            list(pool.map(work, range(available_cores())))
        finally:
            schedule.stop()  # after Ctrl-C the workers finish their tiles and no more
    _sort(heaps)
    found = heaps.similarities
    np.clip(found, -1, 1, out=found, where=found > -np.inf)
    return heaps


def _empty_heaps(k: Numbers, dimension: int) -> Heaps:
    """Heaps with room for ``k`` [Q] each."""
    first = np.concatenate([[0], np.cumsum(k)])
    rows, similarities = np.full(first[-1], -1, np.int32), np.full(first[-1], -np.inf, np.float32)
    thresholds = np.full(len(k), -np.inf, np.float32)
    return Heaps(first, np.zeros(len(k), np.int64), rows, similarities, thresholds, slack(dimension))


def _tiles(blocks: int, target_blocks: int, itself: bool) -> Iterator[Tile]:
    """All tiles, in an order in which those that follow each other seldom write to the same rows.

    Of a set that searches itself those on the diagonal come first: sets are often in the order of their classes, and
    the sooner a row finds its own class the sooner all else lies below its threshold.
    """
    if itself:
        yield from ((above, above + off) for off in range(blocks) for above in range(blocks - off))
    else:
        yield from ((above, left) for left in range(target_blocks) for above in range(blocks))


def _raise_thresholds(heaps: Heaps, rough: NDArray[np.float32], above: int, itself: bool) -> None:
    """Begin the thresholds of queries from row ``above`` on with their first tile's similarities, which are rough.

    What is found there bounds what is to be found from below, so that few of the tile need exact similarities.
    """
    queries = slice(above, above + len(rough))
    most = int(np.diff(heaps.first[above : queries.stop + 1]).max()) + itself
    if most <= rough.shape[1]:
        heaps.thresholds[queries] = np.partition(rough, -most, axis=1)[:, -most] - heaps.slack


@_compiled
def _scan(
    rough: NDArray[np.float32],
    above: int,
    left: int,
    itself: bool,
    heaps: Heaps,
    queries: Vectors,
    targets: Vectors,
) -> None:
    """Offer the queries of a tile what lies above their thresholds, and its references likewise if they are queries.

    Args:
        rough: ``[q, n]``, the similarities of the queries from row ``above`` on and the references from ``left`` on.
        above: the row of the first query.
        left: the row of the first reference.
        itself: whether queries and references are one set; a tile on its diagonal has both sides in its rows.
        heaps: what is offered to.
        queries: all of them.
        targets: all references.
    """
    width = rough.shape[1]
    nobody = np.full(width, np.inf, np.float32)
    of_columns = heaps.thresholds[left : left + width] if itself and above != left else nobody
    for row in range(rough.shape[0]):
        query = above + row
        for chunk in range(0, width, _CHUNK):
            some, theirs = rough[row, chunk : chunk + _CHUNK], of_columns[chunk : chunk + _CHUNK]
            threshold, wanted = heaps.thresholds[query], False
            for lane in range(len(some)):
                wanted |= (some[lane] > threshold) | (some[lane] > theirs[lane])
            if not wanted:
                continue
            for column in range(chunk, chunk + len(some)):
                target = left + column
                by_query = rough[row, column] > heaps.thresholds[query] and not (itself and query == target)
                by_column = rough[row, column] > of_columns[column]
                if by_query or by_column:
                    exact = _exact(queries[query], targets[target])
                    if by_query:
                        _offer(heaps, query, target, exact)
                    if by_column:
                        _offer(heaps, target, query, exact)


@_compiled
def _exact(one: Vectors, other: Vectors) -> np.float32:
    """The inner product of two vectors [D] of unit length in whole numbers, rounded only at the end."""
    total = 0.0
    for place in range(len(one)):
        total += np.rint(np.float64(one[place]) * SCALE) * np.rint(np.float64(other[place]) * SCALE)
    return np.float32(total / (SCALE * SCALE))


@_compiled
def _offer(heaps: Heaps, query: int, target: int, similarity: np.float32) -> None:
    """Put a reference into the heap of a query, in the place of its worst where it is full."""
    start, room, size = heaps.first[query], heaps.first[query + 1] - heaps.first[query], heaps.sizes[query]
    rows, similarities = heaps.rows, heaps.similarities
    if size < room:
        place = size
        while place > 0:
            parent = (place - 1) // 2
            if not _worse(similarity, target, similarities[start + parent], rows[start + parent]):
                break
            similarities[start + place], rows[start + place] = similarities[start + parent], rows[start + parent]
            place = parent
        similarities[start + place], rows[start + place] = similarity, target
        heaps.sizes[query] = size + 1
    elif _worse(similarities[start], rows[start], similarity, target):
        _sink(heaps, start, room, target, similarity)
    if heaps.sizes[query] == room:
        heaps.thresholds[query] = similarities[start] - heaps.slack


@_compiled
def _sink(heaps: Heaps, start: int, size: int, row: int, similarity: np.float32) -> None:
    """Put an entry on top of the heap of some size that starts somewhere, and let it sink to where it belongs."""
    rows, similarities = heaps.rows, heaps.similarities
    place, child = 0, 1
    while child < size:
        one, other = start + child, start + child + 1
        if child + 1 < size and _worse(similarities[other], rows[other], similarities[one], rows[one]):
            child, one = child + 1, other
        if not _worse(similarities[one], rows[one], similarity, row):
            break
        similarities[start + place], rows[start + place] = similarities[one], rows[one]
        place, child = child, 2 * child + 1
    similarities[start + place], rows[start + place] = similarity, row


@_compiled
def _worse(similarity: np.float32, row: int, other_similarity: np.float32, other_row: int) -> bool:
    """Whether one entry comes behind another: it is less similar, or as similar and a later row."""
    return bool(similarity < other_similarity or (similarity == other_similarity and row > other_row))


@_compiled
def _sort(heaps: Heaps) -> None:
    """Sort the heaps, the nearest first: the worst goes to the end, repeatedly."""
    for query in range(len(heaps.sizes)):
        begin = heaps.first[query]
        for size in range(heaps.sizes[query] - 1, 0, -1):
            last = begin + size
            similarity, row = heaps.similarities[last], heaps.rows[last]
            heaps.similarities[last], heaps.rows[last] = heaps.similarities[begin], heaps.rows[begin]
            _sink(heaps, begin, size, row, similarity)
