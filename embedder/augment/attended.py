"""What the network attends to in a training photo, seen closer or painted over.

Hu and Qi, "See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for Fine-Grained Visual
Classification" (2019), section 3.2. They show the network all three, the photo, the crop and what is left, at three
times the cost; here each photo is one of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.augment.geometry import Floats
from embedder.config import AugmentSettings
from embedder.model.attended import attended_region, cut_out, shrunk
from embedder.randomness import keyed_generator
from eval.errors import InputError

CROP_THRESHOLD, CROP_MARGIN, CROP_MOST = (0.4, 0.6), 0.1, 0.75
"""From which share of the greatest value on a place is in the crop, the margin around all of these, and the greatest
side of a crop, as a share of the photo's: where the subject fills the photo, it would be the whole of it."""

DROP_THRESHOLD, DROP_MOST = (0.2, 0.5), 0.25
"""From which share on it is painted over, and the greatest share of a photo's pixels that is: it would be all of the
subject where the map is of no single part."""

_ALIKE = 1e-4  # relative difference of values that may differ by rounding alone, between ranks say

AT_ONCE = 32
"""Photos that are cut to what is looked at, at once."""


class Attended(NamedTuple):
    """The photos of a step.

    Attributes:
        images: uint8 [B, S, S, 3].
        unchanged: bool [B], those that are neither cropped nor painted over; None for all of them.
    """

    images: Tensor
    unchanged: Tensor | None = None


class FirstLook(NamedTuple):
    """How a network sees photos closer before all else.

    Attributes:
        detail: how many times larger photos are, a side, than what it sees of them.
        widest: greatest side of a square that it sees, as a share of the photo's.
        region: where it looks in photos, [B, M, h, w], to the squares that it then sees, [B, 3].
    """

    detail: int
    widest: float
    region: Callable[[Tensor], Tensor]


class AttendedViews:
    """What changes the photos of a step by where the network looks."""

    def __init__(self, settings: AugmentSettings, look: FirstLook | None, mean: Tensor, steps: int, seed: int) -> None:
        """Remember how.

        Args:
            settings: how often, and from when on.
            look: how the network sees photos closer anyway; None where it does not.
            mean: the colour [3] in [0, 255] that is nothing to the network.
            steps: of the whole run.
            seed: of the run.

        Raises:
            InputError: no step comes after the settings' ``attended_since``.
        """
        self._crop, self._drop = settings.attended_crop, settings.attended_drop
        self._look = look
        self._start = settings.attended_since * steps
        if self._crop + self._drop > 0 and self._start > steps - 1:
            raise InputError(
                f"augment.attended_since is {settings.attended_since}, and no step of {steps} comes after that, so "
                "nothing is seen closer or painted over; lower it"
            )
        self._mean, self._seed = mean.round().to(torch.uint8).flatten(), seed

    def __call__(
        self,
        step: int,
        images: Tensor,
        places: Callable[[Tensor], Tensor],
        first: int = 0,
        boxed: Tensor | None = None,
    ) -> Attended:
        """Change the photos of one step.

        Args:
            step: its number.
            images: uint8 [B, S, S, 3], of a first look [B, S * detail, S * detail, 3]; left as they are.
            places: photos, uint8 [B, S, S, 3], to where the network looks in them, [B, M, h, w], without a graph.
            first: the first one's place in the batch of all ranks, so that any number of them changes the same.
            boxed: bool [B], those that are cut out by a box, at which a first look does not look; none by default.
        """
        if self._look:
            images = _looked_at(images, self._look, places, boxed)
        generator = keyed_generator("attended", self._seed, step)
        chance, which, share = generator.random((first + len(images), 3))[first:].T
        change = chance < (self._crop + self._drop if step >= self._start else 0)
        if not change.any():
            return Attended(images)
        unchanged = torch.from_numpy(~change).to(images.device)
        crops, before, views = chance[change] < self._crop, images[~unchanged], images.clone()
        maps, share = _one_of(places(before), which[change]), share[change]
        for chosen, changed in ((crops, self._cropped), (~crops, self._painted_over)):
            if chosen.any():
                views[np.flatnonzero(change)[chosen]] = changed(before[chosen], maps[chosen], share[chosen])
        return Attended(views, unchanged)

    def _cropped(self, images: Tensor, maps: Tensor, share: Floats) -> Tensor:
        """What is strong on the maps [n, h, w], seen closer."""
        threshold = _between(CROP_THRESHOLD, share, maps)
        return _closer(images, attended_region(maps, threshold, CROP_MARGIN, CROP_MOST), images.shape[1], CROP_MOST)

    def _painted_over(self, images: Tensor, maps: Tensor, share: Floats) -> Tensor:
        """The photos without what is strong on the maps [n, h, w]."""
        finer = F.interpolate(maps[:, None], images.shape[1:3], mode="bilinear")[:, 0]
        limit = _between(DROP_THRESHOLD, share, maps) * finer.amax((1, 2), keepdim=True)
        pixels = finer.flatten(1)
        place = round((1 - DROP_MOST) * pixels.shape[1]) - 1
        left = pixels.sort(dim=1).values[:, place, None, None]  # kthvalue is not deterministic on a GPU
        painted = (finer >= limit) & (finer > (1 + _ALIKE) * left)
        return torch.where(painted[..., None], self._mean.to(images.device), images)


def _looked_at(images: Tensor, look: FirstLook, places: Callable[[Tensor], Tensor], boxed: Tensor | None) -> Tensor:
    """What a first look sees of photos, uint8 [B, S, S, 3]; a few at once, as in float32 they are large."""
    small = images
    if look.detail > 1:
        small = torch.cat([_as_images(shrunk(_as_photos(few), look.detail)) for few in torch.split(images, AT_ONCE)])
    region = look.region(places(small))
    pieces = zip(torch.split(images, AT_ONCE), torch.split(region, AT_ONCE), strict=True)
    seen = torch.cat([_closer(few, theirs, small.shape[1], look.widest) for few, theirs in pieces])
    return seen if boxed is None else torch.where(boxed[:, None, None, None], small, seen)


def _one_of(maps: Tensor, which: Floats) -> Tensor:
    """One map [B, h, w] of each photo's [B, M, h, w], the rather the more there is in it; ``which`` in [0, 1): [B]."""
    strength = maps.sum((2, 3)).sqrt().cpu().numpy().astype(np.float64) + 1e-12
    reached = (strength / strength.sum(1, keepdims=True)).cumsum(1)
    chosen = (which[:, None] * reached[:, -1:] >= reached).sum(1)
    return maps[torch.arange(len(maps), device=maps.device), torch.from_numpy(chosen).to(maps.device)]


def _between(limits: tuple[float, float], share: Floats, maps: Tensor) -> Tensor:
    """A number between two limits for each map, that share [n] of the way to the second, [n, 1, 1]."""
    low, high = limits
    return torch.from_numpy(low + share * (high - low)).to(maps)[:, None, None]


def _closer(images: Tensor, region: Tensor, size: int, most: float) -> Tensor:
    """A square of each photo, uint8 [B, size, size, 3], of at most a share ``most`` of its side."""
    return _as_images(cut_out(_as_photos(images), region.float(), size, most))


def _as_photos(images: Tensor) -> Tensor:
    """Uint8 [B, S, S, 3] as float32 [B, 3, S, S]."""
    return images.permute(0, 3, 1, 2).float()


def _as_images(photos: Tensor) -> Tensor:
    """Float32 [B, 3, S, S] as uint8 [B, S, S, 3]."""
    return photos.permute(0, 2, 3, 1).round().to(torch.uint8)
