"""How exact a similarity is: the rough one of a matrix product, and the exact one that ties are told by."""

import numpy as np
from numpy.typing import NDArray

SCALE = np.float64(2**26)
"""Exact similarities are those of vectors rounded to multiples of 1 / SCALE. In such whole numbers the sums of products
of unit vectors stay below 2**53, so float64 holds them without any rounding."""


def slack(dimension: int) -> np.float32:
    """By how much the rough similarity of a better pair may lie below that of a worse one.

    A product in float32 of two unit vectors ``[D]`` has a rounding error of at most D * 2**-24; two are compared, and
    this is twice what that makes, to be sure.
    """
    return np.float32(dimension * 2.0**-22)


def whole(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Vectors in whole numbers, whose products are similarities times ``SCALE**2``, free of rounding."""
    return np.rint(vectors * SCALE)


def exact(queries: NDArray[np.float32], references: NDArray[np.float32]) -> NDArray[np.float64]:
    """The similarities ``[Q, N]`` of a few queries ``[Q, D]`` and references ``[N, D]``, rounded only at the end."""
    return np.clip(whole(queries) @ whole(references).T / SCALE**2, -1, 1)
