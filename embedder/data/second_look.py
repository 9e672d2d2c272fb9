"""Photos that look the same by their hashes, opened once more to see whether they do."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.data.catalog import Catalog
from embedder.data.findings import Looked, Numbers
from embedder.prefetch import prefetched
from eval.copies import look_alikes
from eval.cores import available_cores
from eval.images import BadImage, Box, open_image

BITS = 6
"""The bits of 64 in which the hashes of copies may differ: 1 in 75 copies at a third to two thirds of the size, in a
lower quality, is further away (docs/results.md)."""

SIDE, SAME = 16, 0.9
"""Pixels across in which two photos are compared, and the correlation of their edges from which on they are one. Copies
in another size or quality have 0.97 or more, in another cut 0.9; others with near hashes are plain, or of one outline.
"""

AT_ONCE, PAIRS = 1 << 18, 1 << 12
"""Pairs that are looked at in one go, and of which the edges are compared at once."""


def same_pictures(looked: Looked) -> Numbers:
    """Pairs ``[2, P]`` of rows, each with another id, that are one photo in another size, quality or cut."""
    pictured = np.flatnonzero(looked.facts.pictured)
    firsts = np.sort(pictured[np.unique(looked.facts.ids[pictured], return_index=True)[1]])
    found = [np.empty((2, 0), np.int64)]
    for pairs in _gathered(look_alikes(looked.facts.pictures[firsts], BITS)):
        rows = firsts[pairs]
        found.append(rows[:, _correlations(looked.catalog, rows) >= SAME])
    return np.concatenate(found, axis=1)


def _gathered(blocks: Iterator[Numbers]) -> Iterator[Numbers]:
    """Blocks of pairs put together, so that few photos are opened once more than once."""
    waiting: list[Numbers] = []
    for block in blocks:
        waiting.append(block)
        if sum(part.shape[1] for part in waiting) >= AT_ONCE:
            yield np.concatenate(waiting, axis=1)
            waiting = []
    if waiting:
        yield np.concatenate(waiting, axis=1)


def _correlations(catalog: Catalog, pairs: Numbers) -> NDArray[np.float32]:
    """How much alike the edges of some pairs of photos ``[2, P]`` are: ``[P]`` in [-1, 1], 0 where one has none."""
    rows, places = np.unique(pairs, return_inverse=True)
    boxes, threads = catalog.boxes, available_cores()
    opened = prefetched(lambda row: _edges(catalog, row, boxes[row]), rows.tolist(), threads, ahead=8 * threads)
    edges = np.stack(list(opened))
    one, other = places.reshape(2, -1)
    starts = range(0, len(one), PAIRS)
    parts = [(one[start : start + PAIRS], other[start : start + PAIRS]) for start in starts]
    return np.concatenate([np.einsum("pe,pe->p", edges[first], edges[second]) for first, second in parts])


def _edges(catalog: Catalog, row: int, box: Box | None) -> NDArray[np.float32]:
    """The steps from each pixel of a small grey photo to the next ones, of length 1; zeros where there are none."""
    try:
        image = open_image(catalog.file(row), box)
    except BadImage:  # it could be opened a moment ago
        return np.zeros(2 * SIDE * (SIDE - 1), np.float32)
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    steps = np.concatenate([np.diff(grey, axis=1).ravel(), np.diff(grey, axis=0).ravel()])
    return np.asarray(steps / max(float(np.linalg.norm(steps)), 1e-6), np.float32)
