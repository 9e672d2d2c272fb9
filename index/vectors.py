"""What an index asks of the place that its vectors are in: files of its own, or Milvus."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.similarity import slack

SPARE = 16
"""Candidates beyond k that are asked for at first."""

Rows = NDArray[np.int64]
Found = tuple[NDArray[np.float32], Rows]
"""Similarities and rows, each ``[Q, C]``, nearest first."""


class Vectors(Protocol):
    """Where the vectors of an index's rows are."""

    def candidates(self, queries: NDArray[np.float32], k: int, first: int = 0) -> Rows:
        """Rows that hold the k nearest references of each query, with all that may tie for the last place.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query.
            first: the row of the index from which on references are searched.

        Returns:
            Rows ``[Q, C]``, C at least the smaller of k and the references there are, none of them deleted; -1 where
            another query has more that may tie.
        """

    def at(self, rows: Rows) -> NDArray[np.float32]:
        """The vectors ``[C, D]`` of some rows, not to be written to; deleted rows have theirs."""


class Proposals(Protocol):
    """What proposes candidates where not every reference is compared with a query."""

    def candidates(self, queries: NDArray[np.float32], k: int) -> tuple[Rows, NDArray[np.bool_]]:
        """Rows among which the k nearest of each query are likely to be.

        Args:
            queries: of unit length, float32 ``[Q, D]``.
            k: neighbours a query.

        Returns:
            Rows ``[Q, C]``, -1 where there are fewer, no deleted ones; and for which queries ``[Q]`` they are not to be
            relied upon.
        """


def directions(vectors: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Vectors ``[Q, D]`` of unit length or shorter, means of several, as unit vectors, and their lengths ``[Q, 1]``.

    Raises:
        InputError: one is not finite, or of length 0.
    """
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise InputError("the vector holds values that are not finite; embed the photo anew")
    if not (lengths > 0).all():
        raise InputError("the photos have nothing in common: their vectors cancel each other out")
    return (vectors / lengths).astype(np.float32), np.minimum(lengths, 1.0)


def moved_away(vectors: NDArray[np.float32], nearest: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors ``[Q, D]``, moved away from what is nearest to each to about twice the distance."""
    moved = 2 * vectors - nearest
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def nearest_with_ties(
    search: Callable[[NDArray[np.float32], int], Found],
    queries: NDArray[np.float32],
    k: int,
    count: int,
    error: float = 0.0,
) -> Rows:
    """Ask for more and more, until nothing that is left out may be one of the k nearest.

    Whoever searches sums in float32, in another order for one query than for many, and breaks ties as it likes. So the
    last candidate must be worse than the k-th by more than the rounding. Queries of which it is are not asked again.

    Args:
        search: finds so many references of each of some queries, nearest first.
        queries: of unit length, float32 ``[Q, D]``.
        k: neighbours a query.
        count: how many references there are.
        error: by how much the similarities of ``search`` may differ from those of the vectors, besides the rounding.

    Returns:
        Rows ``[Q, C]``, C at least the smaller of k and ``count``; -1 in place of what cannot be one of the k nearest.
    """
    doubt = np.float32(slack(queries.shape[1]) + 2 * error)
    k = min(k, count)
    found = np.full((len(queries), k), -1)
    asked, wanted = np.arange(len(queries)), 0
    while len(asked) and wanted < count:
        wanted = min(4 * wanted or k + SPARE, count)
        similarities, rows = search(queries[asked], wanted)
        found = np.pad(found, ((0, 0), (0, wanted - found.shape[1])), constant_values=-1)
        found[asked] = np.where(similarities < similarities[:, k - 1, None] - doubt, -1, rows)
        asked = asked[found[asked, -1] >= 0]
    return found
