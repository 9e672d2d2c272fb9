"""Class-mean prototypes: one direction stands for all references of a class.

Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", 2017, section 2.2, with the cosine in place of
the squared distance. What a prototype would be without some of its references is their sum subtracted from its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.neighbours import Neighbours, nearest

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]
Read = Callable[[Numbers], Vectors]

VALUES_AT_ONCE = 1 << 22
"""Numbers of vectors that are summed at once: 32 MB in float64."""

NOTHING = 1e-6
"""A mean of unit vectors that is shorter than this is rounding: they cancel each other out."""


@dataclass(frozen=True)
class Lacking:
    """Prototypes that lack some of their references, each to stand in the place of its class's own.

    Attributes:
        keys: ``[P]``, ascending: the case in which it does, once for a class and case.
        codes: ``[P]``, its class.
        vectors: ``[P, D]`` of unit length.
        empty: ``[P]``, whether no references are left, so that the class has no prototype.
    """

    keys: Numbers
    codes: Numbers
    vectors: Vectors
    empty: NDArray[np.bool_]

    @property
    def most(self) -> int:
        """The most classes that one case is about."""
        return int(np.unique(self.keys, return_counts=True)[1].max(initial=0))

    def of_cases(self, cases: Numbers) -> "Lacking":
        """The same for some queries, by the case ``[Q]`` that each of them is; its keys are then their places."""
        firsts, ends = np.searchsorted(self.keys, cases), np.searchsorted(self.keys, cases, "right")
        places = np.repeat(np.arange(len(cases)), ends - firsts)
        pairs = np.arange(len(places)) + np.repeat(firsts - np.cumsum(ends - firsts) + (ends - firsts), ends - firsts)
        return Lacking(places, self.codes[pairs], self.vectors[pairs], self.empty[pairs])

    def similarities(self, queries: Vectors) -> NDArray[np.float32]:
        """The cosines ``[P]`` with one query ``[D]``, or with one each ``[P, D]``; -inf where there is no prototype."""
        cosines = np.einsum("pd,pd->p", self.vectors, np.broadcast_to(queries, self.vectors.shape))
        return np.where(self.empty, np.float32(-np.inf), cosines.astype(np.float32))


@dataclass(frozen=True)
class Prototypes:
    """The prototype of each class that has references.

    Attributes:
        codes: ``[N]``, the class of each row; below 0 for a row that is no reference.
        vectors: ``[C, D]`` of unit length; zeros where a class's vectors cancel each other out.
        lengths: ``[C]`` float64, of the sums of vectors that they are made of.
        counts: ``[C]``, how many vectors that is.
        read: gives the vectors of some rows, which ascend.
    """

    codes: Numbers
    vectors: Vectors
    lengths: NDArray[np.float64]
    counts: Numbers
    read: Read

    @classmethod
    def of(cls, codes: Numbers, read: Read) -> "Prototypes":
        """Make them; every vector is read once, in blocks.

        Args:
            codes: ``[N]``, from 0 on without a gap; below 0 for a row that is no reference.
            read: gives the vectors of some rows, which ascend.
        """
        rows = np.flatnonzero(codes >= 0)
        counts = np.bincount(codes[rows])
        vectors, lengths = _directions(_sums(rows, codes[rows], read), counts)
        return cls(codes, vectors, lengths, counts, read)

    def nearest(self, queries: Vectors, k: int) -> Neighbours:
        """The k nearest prototypes of each query ``[Q, D]``; the rows that are found are codes of classes."""
        return nearest(queries, self.vectors, k)

    def without(self, rows: Numbers, keys: Numbers) -> Lacking:
        """What the prototypes are where some references are left out.

        Args:
            rows: ``[R]``, of references; each once in a case.
            keys: ``[R]``, the case in which it is left out.
        """
        order = np.argsort(rows, kind="stable")
        rows, keys = rows[order], keys[order]
        pairs, places = np.unique(np.stack([keys, self.codes[rows]]), axis=1, return_inverse=True)
        places = places.ravel()
        left_out = _sums(rows, places, self.read)
        codes = pairs[1]
        counts = self.counts[codes] - np.bincount(places, minlength=len(codes))
        sums = self.vectors[codes] * self.lengths[codes, None] - left_out
        vectors, _ = _directions(sums, np.maximum(counts, 1))
        return Lacking(pairs[0], codes, vectors, counts == 0)


def _sums(rows: Numbers, places: Numbers, read: Read) -> NDArray[np.float64]:
    """The sums of the vectors of some rows, which ascend; each belongs to the sum at one of the places 0, 1, ..."""
    dimension = read(rows[:1]).shape[1]
    sums = np.zeros((places.max(initial=-1) + 1, dimension))
    at_once = max(1, VALUES_AT_ONCE // dimension)
    for start in range(0, len(rows), at_once):
        some = places[start : start + at_once]
        order = np.argsort(some, kind="stable")
        firsts = np.flatnonzero(np.diff(some[order], prepend=-1))
        vectors = read(rows[start : start + at_once])[order].astype(np.float64)
        sums[some[order][firsts]] += np.add.reduceat(vectors, firsts)
    return sums


def _directions(sums: NDArray[np.float64], counts: Numbers) -> tuple[Vectors, NDArray[np.float64]]:
    """Sums ``[C, D]`` of so many unit vectors, scaled to unit length or to nothing; and their lengths."""
    lengths = np.sqrt(np.einsum("cd,cd->c", sums, sums))
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > NOTHING * counts)
    sums *= scale[:, None]
    return sums.astype(np.float32), lengths


def replaced(found: Neighbours, k: int, lacking: Lacking, similarities: NDArray[np.float32]) -> Neighbours:
    """The k nearest prototypes of some queries, where others stand in the place of some classes' own.

    Args:
        found: ``[Q, K]`` without that, K at least ``k + lacking.most`` unless those are all.
        k: how many.
        lacking: what stands in their place; its keys are places of queries.
        similarities: ``[P]``, their cosines with the query; -inf for none.
    """
    rows, cosines, places = found.rows.copy(), found.similarities.copy(), lacking.keys
    pair, column = np.nonzero(rows[places] == lacking.codes[:, None])
    cosines[places[pair], column] = -np.inf
    others = Neighbours.none(len(rows), lacking.most)
    further = np.arange(len(places)) - np.searchsorted(places, places)
    others.rows[places, further], others.similarities[places, further] = lacking.codes, similarities
    rows, cosines = np.hstack([rows, others.rows]), np.hstack([cosines, others.similarities])
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    rows, cosines = np.take_along_axis(rows, order, axis=1), np.take_along_axis(cosines, order, axis=1)
    return Neighbours(np.where(np.isfinite(cosines), rows, -1), cosines)
