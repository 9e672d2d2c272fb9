"""What the network attends to in a training photo, seen closer or painted over.

Hu and Qi, "See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for Fine-Grained Visual
Classification" (2019), section 3.2. They show the network all three, the photo, the crop and what is left, at three
times the cost; here each photo is one of them.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.config import AugmentSettings, Look
from embedder.model.attended import attended_region, cut_out
from embedder.randomness import keyed_generator

CROP_THRESHOLD, CROP_MARGIN = (0.4, 0.6), 0.1
"""From which share of the greatest value on a place is in the crop, and the margin around all of these."""

DROP_THRESHOLD = (0.2, 0.5)
"""From which share on it is painted over."""


class AttendedViews:
    """What changes the photos of a step by where the network looks."""

    def __init__(
        self, settings: AugmentSettings, look: Look, mean: Tensor, steps: int, seed: int, rank: int = 0
    ) -> None:
        """Remember how.

        Args:
            settings: how often, and from when on.
            look: whether the network sees photos closer anyway.
            mean: the colour [3] in [0, 255] that is nothing to the network.
            steps: of the whole run.
            seed: of the run.
            rank: whose photos they are.
        """
        self._crop, self._drop, self._first = settings.attended_crop, settings.attended_drop, look == "first"
        self._start = settings.attended_since * steps
        self._mean, self._seed, self._rank = mean.round().to(torch.uint8).flatten(), seed, rank

    def __call__(self, step: int, images: Tensor, places: Callable[[Tensor], Tensor]) -> Tensor:
        """Change the photos of one step.

        Args:
            step: its number.
            images: uint8 [B, S, S, 3]; left as they are.
            places: photos to where the network looks in them, [B, M, h, w], without a graph.
        """
        if self._first:
            images = _closer(images, attended_region(places(images).mean(1)))
        generator = keyed_generator("attended", self._seed, self._rank, step)
        chance = generator.random(len(images))
        changed = np.flatnonzero(chance < self._crop + self._drop)
        if step < self._start or not len(changed):
            return images
        crops, before, views = chance[changed] < self._crop, images[changed], images.clone()
        maps = _one_of(places(before), generator)
        for chosen, change in ((crops, self._cropped), (~crops, self._painted_over)):
            if chosen.any():
                views[changed[chosen]] = change(before[chosen], maps[chosen], generator)
        return views

    def _cropped(self, images: Tensor, maps: Tensor, generator: np.random.Generator) -> Tensor:
        """What is strong on the maps [n, h, w], seen closer."""
        threshold = _between(CROP_THRESHOLD, maps, generator)
        return _closer(images, attended_region(maps, threshold, CROP_MARGIN, most=1.0))

    def _painted_over(self, images: Tensor, maps: Tensor, generator: np.random.Generator) -> Tensor:
        """The photos without what is strong on the maps [n, h, w]."""
        finer = F.interpolate(maps[:, None], images.shape[1:3], mode="bilinear")[:, 0]
        limit = _between(DROP_THRESHOLD, maps, generator) * finer.amax((1, 2), keepdim=True)
        return torch.where((finer >= limit)[..., None], self._mean.to(images.device), images)


def _one_of(maps: Tensor, generator: np.random.Generator) -> Tensor:
    """One map [B, h, w] of each photo's [B, M, h, w], the rather the more there is in it."""
    strength = maps.sum((2, 3)).sqrt().cpu().numpy().astype(np.float64) + 1e-12
    reached = (strength / strength.sum(1, keepdims=True)).cumsum(1)
    chosen = (generator.random((len(maps), 1)) * reached[:, -1:] >= reached).sum(1)
    return maps[torch.arange(len(maps), device=maps.device), torch.from_numpy(chosen).to(maps.device)]


def _between(limits: tuple[float, float], maps: Tensor, generator: np.random.Generator) -> Tensor:
    """A random number between two limits for each map, [n, 1, 1]."""
    return torch.from_numpy(generator.uniform(*limits, (len(maps), 1, 1))).to(maps)


def _closer(images: Tensor, region: Tensor) -> Tensor:
    """A square of each photo in the photo's size, uint8 [B, S, S, 3]."""
    seen = cut_out(images.permute(0, 3, 1, 2).float(), region.float())
    return seen.permute(0, 2, 3, 1).round().to(torch.uint8)
