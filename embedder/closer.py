"""Where a photo is attended to, and that place seen closer: what ``model/attended.py`` does, without torch."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THRESHOLD, MARGIN = 0.3, 0.05
"""A place is attended to if it has this share of what the strongest has; and the margin around all of these, as a share
of the photo's side."""

MOST = 0.9
"""Of the photo's side that a second look shows: to see all of it once more would tell nothing new."""

FINER = 4
"""Times that a map is finer than the feature map when a region is cut out of it."""

Region = tuple[float, float, float]
"""Left, top and side of a square, as shares of the photo's side."""

WHOLE: Region = (0.0, 0.0, 1.0)


def attended_region(places: NDArray[np.floating]) -> Region:
    """The square around all that is attended to in one photo.

    Args:
        places: [h, w], at least 0; h equal to w.
    """
    small = Image.fromarray(places.astype(np.float32))
    finer = np.asarray(small.resize((FINER * small.width, FINER * small.height), Image.Resampling.BILINEAR))
    counts = finer >= np.float32(THRESHOLD) * finer.max()
    (left, right), (top, bottom) = (_extent(counts.any(axis)) for axis in (0, 1))
    side = min(max(right - left, bottom - top) + 2 * MARGIN, MOST)
    left, top = (min(max((low + high - side) / 2, 0.0), 1 - side) for low, high in ((left, right), (top, bottom)))
    return left, top, side


def _extent(counts: NDArray[np.bool_]) -> tuple[float, float]:
    """Where what counts begins and ends in a row [n], as shares of n."""
    places = np.flatnonzero(counts)
    return float(places[0] / len(counts)), float((places[-1] + 1) / len(counts))


def cut_out(pixels: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """A square of a photo, uint8 [S, S, 3], in the photo's own size."""
    size = len(pixels)
    left, top, side = (share * size for share in region)
    extent = (left, top, left + side, top + side)
    cut = Image.fromarray(pixels).transform((size, size), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR)
    return np.asarray(cut)


def put_back(shares: NDArray[np.float64], region: Region, height: int, width: int) -> NDArray[np.float64]:
    """What belongs to the places of a region, [h', w', D], by the places of the whole photo, [height, width, D].

    Each place of the region is divided among those that it lies in, so the sum stays.
    """
    left, top, side = region
    down, across = _overlap(top, side, shares.shape[0], height), _overlap(left, side, shares.shape[1], width)
    return np.einsum("hi,wj,ijd->hwd", down, across, shares, optimize=True)


def _overlap(start: float, length: float, few: int, many: int) -> NDArray[np.float64]:
    """The share of each of a stretch's equal pieces that lies in each piece of the whole, [many, few]."""
    ends = start + length * np.arange(few + 1) / few
    inside = np.clip(ends * many - np.arange(many)[:, None], 0, 1)
    return np.diff(inside, axis=1) / (length / few * many)
