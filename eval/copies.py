"""Photos that look the same, and what is linked by that."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eval.leaks import SIMILAR_PICTURE

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_COMPARED_AT_ONCE = 1 << 20
"""Pairs."""


def look_alike(pictures: NDArray[np.uint64], pictured: Mask, pairs: Numbers) -> Mask:
    """Which pairs look the same, by their hashes.

    Args:
        pictures: ``[N]``, by ``eval.images.picture_hash``.
        pictured: ``[N]``, whether that is known.
        pairs: ``[2, P]``, places among the N.
    """
    bits = np.bitwise_count(np.bitwise_xor(*pictures[pairs]))
    return np.asarray(pictured[pairs].all(axis=0) & (bits <= SIMILAR_PICTURE))


def look_alikes(pictures: NDArray[np.uint64], bits: int = SIMILAR_PICTURE) -> Iterator[Numbers]:
    """Yield all pairs of photos that look the same, ``[2, P]`` at a time, each pair once with the lower number first.

    Hashes that differ in few bits are equal in at least one of ``bits + 1`` bands, so only those that share a band are
    compared.

    Args:
        pictures: ``[N]``, by ``eval.images.picture_hash``.
        bits: in how many two may differ.
    """
    edges = np.linspace(0, 64, bits + 2).astype(int).tolist()
    bands = [np.uint64((1 << high) - (1 << low)) for low, high in pairwise(edges)]
    for place, band in enumerate(bands):
        values = pictures & band
        order = np.argsort(values, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
            height = max(1, _COMPARED_AT_ONCE // max(1, len(members)))
            for start in range(0, len(members) - 1, height):
                few, others = members[start : start + height], members[start:]
                differing = pictures[few, None] ^ pictures[others]
                alike = (np.bitwise_count(differing) <= bits) & (few[:, None] < others)
                for earlier in bands[:place]:
                    alike &= (differing & earlier) != 0
                if alike.any():
                    one, other = np.nonzero(alike)
                    yield np.stack([few[one], others[other]])


def linked(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """What is in some pairs ``[2, P]``: each number once, ascending, and the connected component that it is of."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - answering a photo does without
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    members, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(2, -1)
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(len(members), len(members)))
    return members, connected_components(links, directed=False)[1].astype(np.int64)
