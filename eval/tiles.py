"""The exact k nearest of large sets: one tile of similarities after another, scanned by compiled code.

A tile is the matrix product of some rows with some others. What a row has found so far gives it a threshold, and of a
tile only what lies above the thresholds is looked at: nearly nothing, once each row has seen a few thousand others. A
set that searches itself needs the tiles on and above the diagonal only, each of which is looked at from both sides.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from eval.cores import available_cores

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

SIDE = 2048
"""Rows of a tile: large enough for a fast matrix product, small enough to stay in the processor's cache."""

_CHUNK = 32  # similarities that are compared with their thresholds before anything is decided
_SCALE = np.float64(2**26)

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


class Tile(NamedTuple):
    """The rough similarities of some queries and some references.

    Attributes:
        rough: ``[q, n]`` float32.
        above: the row of its first query.
        left: the row of its first reference.
        itself: whether queries and references are one set.
        hits: ``[q, n]`` int32, for each query the columns whose own rows want it; empty if the tile has one side only.
        counts: ``[q]`` int64, how many of them.
    """

    rough: NDArray[np.float32]
    above: int
    left: int
    itself: bool
    hits: NDArray[np.int32]
    counts: Numbers


def nearest_in_tiles(queries: Vectors, references: Vectors | None, k: Numbers, side: int = SIDE) -> Heaps:
    """Find the nearest references of each query, exactly; ties go to the lower row.

    Args:
        queries: ``[Q, D]``, of unit length.
        references: ``[N, D]``, of unit length; none for a set that searches itself, where no row finds itself.
        k: ``[Q]``, how many to find for each; at least 1.
        side: rows of a tile. It does not change the result.

    Returns:
        Heaps that are sorted, the nearest first.
    """
    itself = references is None
    targets = queries if references is None else references
    heaps = _empty_heaps(k, queries.shape[1])
    rough = np.empty(min(side, len(queries)) * min(side, len(targets)), np.float32)
    hits = np.empty(len(rough) if itself else 0, np.int32)
    counts = np.zeros(min(side, len(queries)), np.int64)
    with ThreadPoolExecutor(available_cores()) as pool:
        for above, left in _corners(len(queries), len(targets), side, itself):
            few, others = queries[above : above + side], targets[left : left + side]
            shape = (len(few), len(others))
            seen_twice = shape if itself and above != left else (0, 0)
            tile = Tile(_shaped(rough, shape), above, left, itself, _shaped(hits, seen_twice), counts[: len(few)])
            np.matmul(few, others.T, out=tile.rough)
            _share(pool, len(few), _scan_rows, tile, heaps, queries, targets)
            if tile.hits.size:
                _share(pool, len(others), _scan_hits, tile, heaps, queries)
        _share(pool, len(queries), _sort, heaps)
    return heaps


def _empty_heaps(k: Numbers, dimension: int) -> Heaps:
    """Heaps with room for ``k`` [Q] each."""
    first = np.concatenate([[0], np.cumsum(k)])
    rows, similarities = np.full(first[-1], -1, np.int32), np.full(first[-1], -np.inf, np.float32)
    thresholds = np.full(len(k), -np.inf, np.float32)
    # Two similarities are compared, each with a rounding error of at most D * 2**-24; twice that to be sure.
    return Heaps(first, np.zeros(len(k), np.int64), rows, similarities, thresholds, np.float32(dimension * 2.0**-22))


def _corners(queries: int, targets: int, side: int, itself: bool) -> Iterator[tuple[int, int]]:
    """The first query and the first reference of every tile.

    Of a set that searches itself those on the diagonal come first: sets are often in the order of their classes, and
    the sooner a row finds its own class the sooner all else lies below its threshold.
    """
    if not itself:
        yield from ((above, left) for left in range(0, targets, side) for above in range(0, queries, side))
        return
    starts = range(0, queries, side)
    yield from ((start, start) for start in starts)
    yield from ((above, left) for above in starts for left in starts if left > above)


def _shaped(memory: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """The beginning of some memory as an array of two dimensions."""
    return memory[: shape[0] * shape[1]].reshape(shape)


def _share(pool: ThreadPoolExecutor, count: int, work: Callable[..., None], *arguments: Any) -> None:
    """Call ``work`` with the arguments and a part of the range up to ``count``, on all cores."""
    bounds = np.linspace(0, count, available_cores() + 1).astype(int).tolist()
    list(pool.map(lambda part: work(*arguments, *part), pairwise(bounds)))


@_compiled
def _scan_rows(tile: Tile, heaps: Heaps, queries: Vectors, targets: Vectors, start: int, stop: int) -> None:
    """Offer the queries ``start`` to ``stop`` of a tile what lies above their thresholds; note what columns want."""
    rough, above, left, itself, hits, counts = tile
    thresholds, width, both = heaps.thresholds, rough.shape[1], hits.size > 0
    for row in range(start, stop):
        query = above + row
        noted = 0
        for chunk in range(0, width, _CHUNK):
            end = min(chunk + _CHUNK, width)
            wanted, threshold = 0, thresholds[query]
            if both:
                for column in range(chunk, end):
                    wanted |= (rough[row, column] > threshold) | (rough[row, column] > thresholds[left + column])
            else:
                for column in range(chunk, end):
                    wanted |= rough[row, column] > threshold
            if not wanted:
                continue
            for column in range(chunk, end):
                target = left + column
                if rough[row, column] > thresholds[query] and not (itself and query == target):
                    _offer(heaps, query, target, _exact(queries[query], targets[target]))
                if both and rough[row, column] > thresholds[target]:
                    hits[row, noted] = column
                    noted += 1
        counts[row] = noted


@_compiled
def _scan_hits(tile: Tile, heaps: Heaps, vectors: Vectors, start: int, stop: int) -> None:
    """Offer the columns ``start`` to ``stop`` of a tile what was noted for them."""
    for row in range(len(tile.counts)):
        for number in range(tile.counts[row]):
            column = tile.hits[row, number]
            query, target = tile.left + column, tile.above + row
            if start <= column < stop and tile.rough[row, column] > heaps.thresholds[query]:
                _offer(heaps, query, target, _exact(vectors[query], vectors[target]))


@_compiled
def _exact(one: Vectors, other: Vectors) -> np.float32:
    """The inner product of two vectors [D] of unit length in whole numbers, rounded only at the end."""
    total = 0.0
    for place in range(len(one)):
        total += np.rint(np.float64(one[place]) * _SCALE) * np.rint(np.float64(other[place]) * _SCALE)
    return np.float32(min(1.0, max(-1.0, total / (_SCALE * _SCALE))))


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
def _sort(heaps: Heaps, start: int, stop: int) -> None:
    """Sort the heaps of the queries ``start`` to ``stop``, the nearest first: the worst goes to the end, repeatedly."""
    for query in range(start, stop):
        begin = heaps.first[query]
        for size in range(heaps.sizes[query] - 1, 0, -1):
            last = begin + size
            similarity, row = heaps.similarities[last], heaps.rows[last]
            heaps.similarities[last], heaps.rows[last] = heaps.similarities[begin], heaps.rows[begin]
            _sink(heaps, begin, size, row, similarity)
