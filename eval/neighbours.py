"""The exact k nearest, by inner product of unit vectors (cosine).

A matrix product in float32 gives copies of one vector similarities that differ in the last bit, depending on where
they stand in the matrix. So it only finds candidates, with a bound on its error. Their similarities are then those of
vectors rounded to multiples of 2^-26, computed without any rounding before the end: the same for every copy, block size
and machine, and ties can be broken by row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.similarity import SCALE, slack, whole

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

BLOCK_VALUES = 1 << 23
"""Similarities held at once when no block size is given: 32 MB."""

LARGE = 1 << 26
"""Similarities from which on compiled code is loaded: 8,000 rows that search each other."""

HEAP_VALUES = 1 << 26
"""Neighbours that compiled code keeps at once: 540 MB. Where more are wanted, whole rows are searched instead."""

_ROWS_AT_ONCE = 1 << 14
_PAIRS_AT_ONCE = 256  # few enough for the processor's cache


@dataclass(frozen=True)
class Neighbours:
    """The nearest references of each query, nearest first.

    Attributes:
        rows: ``[Q, k]`` int64, rows of the references; -1 where there are fewer than k.
        similarities: ``[Q, k]`` float32 in [-1, 1]; -inf where ``rows`` is -1.
    """

    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence["Neighbours"]) -> "Neighbours":
        """The neighbours of some queries, of those after them, and so on."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "similarities")))

    @classmethod
    def none(cls, queries: int, k: int) -> "Neighbours":
        """Room for the k nearest of some queries, of which none is found yet."""
        return cls(np.full((queries, k), -1), np.full((queries, k), -np.inf, np.float32))


def nearest(
    queries: Vectors, references: Vectors | None = None, k: int = 10, *, block: int | None = None
) -> Neighbours:
    """Find the k nearest references of each query; ties go to the lower row.

    Args:
        queries: ``[Q, D]``, of unit length.
        references: ``[N, D]``, of unit length; none for a set that searches itself, where no row finds itself.
        k: neighbours a query; may be larger than ``N``.
        block: queries compared at once; none for as many as ``BLOCK_VALUES`` allows. It does not change the result.

    Raises:
        InputError: ``k`` is below 1, or the vectors are not of one dimension.
    """
    return Neighbours.joined(list(nearest_in_blocks(queries, references, k, block=block)))


def nearest_in_blocks(
    queries: Vectors, references: Vectors | None = None, k: int | Numbers = 10, *, block: int | None = None
) -> Iterator[Neighbours]:
    """Yield what ``nearest`` returns, one block of queries after the other, so that a large k fits into memory.

    Args:
        queries: as for ``nearest``.
        references: likewise.
        k: neighbours of every query, or ``[Q]``, of each; a block has as many columns as its largest.
        block: as for ``nearest``.
    """
    targets = queries if references is None else references
    wanted = np.broadcast_to(np.asarray(k, np.int64), len(queries))
    if (wanted < 1).any() or np.any(np.asarray(k) < 1):
        raise InputError(f"k is {np.min(k)}; it must be at least 1")
    if queries.shape[1] != targets.shape[1]:
        raise InputError(f"queries have dimension {queries.shape[1]} and references {targets.shape[1]}; embed one anew")
    if block is None and len(queries) * len(targets) >= LARGE and wanted.sum() <= HEAP_VALUES:
        yield from _tiled(queries, references, wanted)
        return
    block = block or max(1, BLOCK_VALUES // max(1, len(targets)))
    for start in range(0, max(1, len(queries)), block):
        few = slice(start, start + block)
        rough = queries[few] @ targets.T
        if references is None:
            np.fill_diagonal(rough[:, start:], -np.inf)
        most = int(wanted[few].max(initial=k if isinstance(k, int) else 1))
        yield cut(_k_best(rough, queries[few], targets, most), wanted[few])


def _tiled(queries: Vectors, references: Vectors | None, k: Numbers) -> Iterator[Neighbours]:
    """The same for large sets: a tile of similarities at a time, scanned by compiled code."""
    from eval.tiles import nearest_in_tiles  # noqa: PLC0415 - numba takes seconds, which a small set does not need

    heaps = nearest_in_tiles(queries, references, k)
    start = 0
    while start < len(queries):
        stop = start + max(1, BLOCK_VALUES // int(k[start:].max()))
        counts = k[start:stop]
        places = np.arange(counts.max()) < counts[:, None]
        part = slice(heaps.first[start], heaps.first[min(stop, len(queries))])
        found = Neighbours.none(*places.shape)
        found.rows[places], found.similarities[places] = heaps.rows[part], heaps.similarities[part]
        yield found
        start = stop


def cut(found: Neighbours, k: Numbers) -> Neighbours:
    """Neighbours ``[Q, K]`` of which each query keeps its first ``k`` [Q]."""
    beyond = np.arange(found.rows.shape[1]) >= k[:, None]
    found.rows[beyond], found.similarities[beyond] = -1, -np.inf
    return found


def _k_best(rough: NDArray[np.float32], queries: Vectors, references: Vectors, k: int) -> Neighbours:
    """The k best of each row of rough similarities, told apart by their exact ones; -inf takes no part."""
    floor = np.full((len(rough), 1), -2, np.float32)
    if rough.shape[1] > k:
        floor = np.partition(rough, -k, axis=1)[:, -k, None] - slack(queries.shape[1])
    query, row = np.nonzero(rough >= floor)
    return k_best_of(queries, references, query, row, k)


def k_best_of(queries: Vectors, references: Vectors, query: Numbers, row: Numbers, k: int) -> Neighbours:
    """The k best of some pairs, by their exact similarities; ties go to the lower row.

    Args:
        queries: ``[Q, D]``, of unit length.
        references: ``[N, D]``, of unit length.
        query: ``[P]``, the query of each pair.
        row: ``[P]``, its reference.
        k: neighbours a query.
    """
    neighbours = Neighbours.none(len(queries), k)
    exact = _exact_similarities(queries, references, query, row)
    order = np.lexsort((row, -exact, query))
    query, row, exact = query[order], row[order], exact[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)
    kept = rank < k
    neighbours.rows[query[kept], rank[kept]] = row[kept]
    neighbours.similarities[query[kept], rank[kept]] = np.clip(exact[kept], -1, 1)
    return neighbours


def ranked(query: NDArray[np.float32], references: Vectors, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest of a few references, by exact similarities; ties go to the lower row.

    Args:
        query: ``[D]``, of unit length.
        references: ``[N, D]``, of unit length.
        k: how many.

    Returns:
        ``[min(k, N)]`` rows and similarities, nearest first.
    """
    rows = np.arange(len(references))
    exact = _exact_similarities(query[None], references, np.zeros_like(rows), rows)
    best = np.argsort(-exact, kind="stable")[:k]
    return best, np.clip(exact[best], -1, 1)


def _exact_similarities(
    queries: Vectors, references: Vectors, query: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The inner products of pairs of vectors, rounded only at the end."""
    if len(query) > len(queries) * len(references) // 32:  # then a matrix product takes less time than the pairs
        table = np.empty((len(queries), len(references)))
        for start in range(0, len(references), _ROWS_AT_ONCE):
            few = slice(start, start + _ROWS_AT_ONCE)
            table[:, few] = whole(queries) @ whole(references[few]).T
        exact = table[query, row]
    else:
        exact = np.empty(len(query))
        for start in range(0, len(query), _PAIRS_AT_ONCE):
            few = slice(start, start + _PAIRS_AT_ONCE)
            exact[few] = np.einsum("pd,pd->p", whole(queries[query[few]]), whole(references[row[few]]))
    return (exact / SCALE**2).astype(np.float32)
