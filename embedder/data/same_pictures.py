"""Photos that look the same by their hashes, opened once more to see whether they do."""

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
"""The bits of 64 in which the hashes of copies may differ: 1 in 110 copies at a third to two thirds of the size, in a
lower quality, is further away (docs/results.md)."""

SIDE, SAME = 16, 0.9
"""Pixels across in which two photos are compared, and the correlation of their edges from which on they are one. Copies
in another size or quality have 0.97 or more, in another cut 0.9; others with near hashes are plain, or of one outline.
"""

PLAIN = 0.5
"""Grey levels: where the steps from a pixel to the next ones are less than this (root mean square), there is nothing to
compare. Thousands of photos of nothing have one hash."""

AT_ONCE = 1 << 12
"""Pairs of which the edges are compared at once."""


def same_pictures(looked: Looked) -> Numbers:
    """Pairs ``[2, P]`` of rows, each with another id, that are one photo in another size, quality or cut."""
    pictured = np.flatnonzero(looked.facts.pictured)
    firsts = np.sort(pictured[np.unique(looked.facts.ids[pictured], return_index=True)[1]])
    rows, edges = _clear(looked.catalog, firsts[_near_another(looked.facts.pictures[firsts])])
    found = [np.empty((2, 0), np.int64)]
    for pairs in look_alikes(looked.facts.pictures[rows], BITS):
        for some in np.array_split(pairs, range(AT_ONCE, pairs.shape[1], AT_ONCE), axis=1):
            alike = np.einsum("pe,pe->p", edges[some[0]], edges[some[1]])
            found.append(rows[some[:, alike >= SAME]])
    return np.concatenate(found, axis=1)


def _near_another(pictures: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which hashes are equal or near to one of the others."""
    hashes, which, times = np.unique(pictures, return_inverse=True, return_counts=True)
    near = times > 1
    for pairs in look_alikes(hashes, BITS):
        near[pairs] = True
    return near[which]


def _clear(catalog: Catalog, rows: Numbers) -> tuple[Numbers, NDArray[np.float32]]:
    """Those of some photos in which there is something to compare, and their edges ``[N, E]``."""
    boxes, threads = catalog.boxes, available_cores()
    opened = prefetched(lambda row: _edges(catalog, row, boxes[row]), rows.tolist(), threads, ahead=8 * threads)
    edges = [*opened]
    kept = [place for place, one in enumerate(edges) if one is not None]
    return rows[kept], np.array([edges[place] for place in kept], np.float32)


def _edges(catalog: Catalog, row: int, box: Box | None) -> NDArray[np.float32] | None:
    """The steps from each pixel of a small grey photo to the next ones, of length 1; None for a plain one."""
    try:
        image = open_image(catalog.file(row), box)
    except BadImage:  # it could be opened a moment ago
        return None
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    steps = np.concatenate([np.diff(grey, axis=1).ravel(), np.diff(grey, axis=0).ravel()])
    length = float(np.linalg.norm(steps))
    return None if length < PLAIN * len(steps) ** 0.5 else np.asarray(steps / length, np.float32)
