"""Near copies, such as the photos of a burst: several photos that tell little more than the first of them."""

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import PICTURE_HASH
from eval.leaks import SIMILAR_PICTURE, SIMILAR_VECTOR
from eval.similarity import slack
from index.calibration import VOTERS
from index.search import Index

NEARER = 0.05
"""How much nearer than two references at random (1 - cosine) near copies are."""

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


def joined_groups(index: Index, rows: Numbers, groups: Numbers) -> tuple[Numbers, Numbers]:
    """The groups that near copies of some references make one.

    Near copies are looked for among the nearest ``VOTERS``. They look the same by their hashes, or have a cosine of at
    least ``SIMILAR_VECTOR``, at no more than ``NEARER`` of the usual distance: where everything is alike, not all of
    it is copies.

    Args:
        index: what they are of.
        rows: ``[Q]``, the references.
        groups: ``[N]``, the group of each row of the index, by the number of a row.

    Returns:
        ``[J]`` groups, ascending, and the least group that each of them is one with, which is another.
    """
    vectors = index.vectors(rows)
    found = index.search(vectors, VOTERS + 1)
    others = vectors[np.random.default_rng(0).permutation(len(rows))]
    usual = 1 - float(np.median(np.einsum("qd,qd->q", vectors, others)))
    near = max(SIMILAR_VECTOR, 1 - NEARER * usual) - slack(vectors.shape[1])
    query, place = np.nonzero(found.rows != rows[:, None])
    pairs = np.stack([rows[query], found.rows[query, place]])
    alike = found.similarities[query, place] >= near
    if PICTURE_HASH in index.table.column_names:
        hashes = index.table[PICTURE_HASH]
        pictures = hashes.fill_null(0).to_numpy()
        alike |= look_alike(pictures, hashes.is_valid().to_numpy(zero_copy_only=False), pairs)
    members, component = linked(groups[pairs[:, alike]])
    _, firsts = np.unique(component, return_index=True)
    least = members[firsts][component]
    other = members != least
    return members[other], least[other]
