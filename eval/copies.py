"""Photos that look the same, and what is linked by that."""

import numpy as np
from numpy.typing import NDArray

from eval.leaks import SIMILAR_PICTURE

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

_BAND = 64 // (SIMILAR_PICTURE + 1)
_COMPARED_AT_ONCE = 1 << 10


def look_alike(pictures: NDArray[np.uint64], pictured: Mask, pairs: Numbers) -> Mask:
    """Which pairs look the same, by their hashes.

    Args:
        pictures: ``[N]``, by ``eval.images.picture_hash``.
        pictured: ``[N]``, whether that is known.
        pairs: ``[2, P]``, places among the N.
    """
    bits = np.bitwise_count(np.bitwise_xor(*pictures[pairs]))
    return np.asarray(pictured[pairs].all(axis=0) & (bits <= SIMILAR_PICTURE))


def look_alikes(pictures: NDArray[np.uint64]) -> Numbers:
    """Pairs ``[2, P]`` that link all photos which look the same to each other.

    Hashes that differ in few bits are equal in at least one of a few more bands, so only those that share a band are
    compared. Of photos with one hash, each is paired with the first.

    Args:
        pictures: ``[N]``, by ``eval.images.picture_hash``.
    """
    hashes, firsts, places = np.unique(pictures, return_index=True, return_inverse=True)
    same = np.stack([firsts[places], np.arange(len(pictures))])
    found = [same[:, same[0] != same[1]]]
    for band in range(0, 64, _BAND):
        values = (hashes >> np.uint64(band)) & np.uint64(2**_BAND - 1)
        order = np.argsort(values, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
            for start in range(0, len(members) - 1, _COMPARED_AT_ONCE):
                few = members[start : start + _COMPARED_AT_ONCE]
                bits = np.bitwise_count(hashes[few, None] ^ hashes[members])
                one, other = np.nonzero(bits <= SIMILAR_PICTURE)
                pairs = np.stack([few[one], members[other]])
                found.append(firsts[pairs[:, pairs[0] < pairs[1]]])
    return np.unique(np.concatenate(found, axis=1), axis=1)


def linked(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """What is in some pairs ``[2, P]``: each number once, ascending, and the connected component that it is of."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - answering a photo does without
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    members, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(2, -1)
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(len(members), len(members)))
    return members, connected_components(links, directed=False)[1].astype(np.int64)
