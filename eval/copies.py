"""Photos that look the same, and what is linked by that."""

import numpy as np
from numpy.typing import NDArray

from eval.leaks import SIMILAR_PICTURE

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


def look_alike(pictures: NDArray[np.uint64], pictured: Mask, pairs: Numbers) -> Mask:
    """Which pairs look the same, by their hashes.

    Args:
        pictures: ``[N]``, by ``eval.images.picture_hash``.
        pictured: ``[N]``, whether that is known.
        pairs: ``[2, P]``, places among the N.
    """
    bits = np.bitwise_count(np.bitwise_xor(*pictures[pairs]))
    return np.asarray(pictured[pairs].all(axis=0) & (bits <= SIMILAR_PICTURE))


def linked(pairs: Numbers) -> tuple[Numbers, Numbers]:
    """What is in some pairs ``[2, P]``: each number once, ascending, and the connected component that it is of."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - answering a photo does without
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    members, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(2, -1)
    links = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(len(members), len(members)))
    return members, connected_components(links, directed=False)[1].astype(np.int64)
