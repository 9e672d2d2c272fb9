"""Where in a photo the network looks, and that place seen by itself."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.closer import FINER, MARGIN, MOST, THRESHOLD
from embedder.precision import at_least_float32

_LEAST = 1e-12


def activation_map(features: Tensor) -> Tensor:
    """What each place has of a photo's pooled features.

    The product of the features of a place with their mean over all places: the class activation map of Zhou et al.,
    "Learning Deep Features for Discriminative Localization" (2016), section 2, with the photo's own pooled features in
    the place of a class's weights, so that it is of no class. The mean over places would be the squared length of
    these. What each place has more than the least one counts: where all features are positive, so is every product.

    Args:
        features: [B, C, h, w].

    Returns:
        [B, h, w], at least 0, each photo's sum 1; all places alike where there is nothing.
    """
    precise = at_least_float32(features)
    products = (precise * precise.mean((2, 3), keepdim=True)).sum(1)
    products = products - products.amin((1, 2), keepdim=True)
    total = products.sum((1, 2), keepdim=True)
    even = torch.full_like(products, 1.0 / (products.shape[1] * products.shape[2]))
    return torch.where(total > _LEAST, products / total.clamp(min=_LEAST), even)


def attended_region(
    places: Tensor, threshold: float | Tensor = THRESHOLD, margin: float = MARGIN, most: float = MOST
) -> Tensor:
    """The square around all that is attended to.

    Hu and Qi, "See Better Before Looking Closer" (2019), section 3.2; a square, so that the subject keeps its shape.

    Args:
        places: [B, h, w], at least 0; h equal to w.
        threshold: share of the strongest place's value from which on a place counts; a number or [B, 1, 1].
        margin: around them, as a share of the photo's side.
        most: of the photo's side that the square may have; where more is attended to, it is the middle of that.

    Returns:
        Left, top and side [B, 3] as shares of the photo's side; the square lies in the photo.
    """
    finer = F.interpolate(places[:, None], scale_factor=FINER, mode="bilinear")[:, 0]
    counts = (finer >= threshold * finer.amax((1, 2), keepdim=True)).to(finer.dtype)
    (left, right), (top, bottom) = _extent(counts.amax(1)), _extent(counts.amax(2))
    side = (torch.maximum(right - left, bottom - top) + 2 * margin).clamp(max=most)
    corners = [((low + high - side) / 2).clamp(min=0.0) for low, high in ((left, right), (top, bottom))]
    left, top = (torch.minimum(corner, 1 - side) for corner in corners)
    return torch.stack([left, top, side], 1)


def _extent(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Where the ones in rows of zeros and ones [B, n] begin and end, as shares of n."""
    length = counts.shape[1]
    numbers = torch.arange(length, device=counts.device, dtype=counts.dtype)
    first = torch.where(counts > 0, numbers, length).amin(1)
    last = torch.where(counts > 0, numbers, -1.0).amax(1)
    return first / length, (last + 1) / length


def square_around(places: Tensor, side: float) -> Tensor:
    """A square of a known side around the middle of what is attended to, as far as it lies in the photo.

    The middle is the mean of the places that have at least half of the strongest one's value, by what they have more.

    Args:
        places: [B, h, w], at least 0; h equal to w.
        side: as a share of the photo's side.

    Returns:
        Left, top and side [B, 3] as shares of the photo's side.
    """
    weights = (places - 0.5 * places.amax((1, 2), keepdim=True)).clamp(min=0.0) + _LEAST
    weights = weights / weights.sum((1, 2), keepdim=True)
    middles = (torch.arange(places.shape[2], device=places.device, dtype=places.dtype) + 0.5) / places.shape[2]
    across, down = (weights.sum(axis) @ middles for axis in (1, 2))
    left, top = ((middle - side / 2).clamp(0.0, 1.0 - side) for middle in (across, down))
    return torch.stack([left, top, torch.full_like(left, side)], 1)


def shrunk(photos: Tensor, detail: int) -> Tensor:
    """Photos [B, 3, S * detail, S * detail] as [B, 3, S, S]: the mean of each ``detail`` x ``detail`` pixels."""
    return photos if detail == 1 else F.avg_pool2d(photos, detail)


def cut_out(photos: Tensor, region: Tensor, size: int, most: float = 1.0) -> Tensor:
    """A square of each photo, [B, 3, size, size].

    Args:
        photos: [B, 3, S, S].
        region: left, top and side [B, 3] as shares of S.
        size: in pixels, a side.
        most: the greatest side of these squares.
    """
    finer = math.ceil(most * photos.shape[3] / size)  # so that no pixel is skipped, whatever the square
    count = size * finer
    steps = (torch.arange(count, device=photos.device, dtype=photos.dtype) + 0.5) / count
    across, down = (region[:, [corner]] + region[:, 2:] * steps for corner in (0, 1))
    grid = torch.stack([across[:, None, :].expand(-1, count, -1), down[:, :, None].expand(-1, -1, count)], dim=-1)
    cut = F.grid_sample(photos, 2 * grid - 1, mode="bilinear", padding_mode="border", align_corners=False)
    return shrunk(cut, finer)
