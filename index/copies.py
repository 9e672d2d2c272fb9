"""Near copies, such as the photos of a burst: several photos that tell little more than the first of them."""

import numpy as np
from numpy.typing import NDArray

from eval.copies import linked, look_alike
from eval.embeddings import PICTURE_HASH
from eval.leaks import SIMILAR_VECTOR
from eval.similarity import slack
from eval.vote import VOTERS
from index.search import Index

NEARER = 0.05
"""How much nearer than two references at random (1 - cosine) near copies are."""

Numbers = NDArray[np.int64]


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
