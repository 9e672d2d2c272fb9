"""Photos of a batch mixed with each other, and what then is left of their labels.

A mixed photo keeps its own label with one weight and takes its partner's with another. Partners are of the same rank.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.config import MixSettings
from embedder.randomness import keyed_generator
from eval.errors import InputError

ALPHA = {"mixup": 0.2, "cutmix": 1.0, "snapmix": 5.0}
"""Of the Beta distribution: Zhang et al. 2018 (for ImageNet, section 3.1), Yun et al. 2019 (section 3.1), Huang et al.
2021 (section 4.1)."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""


class Mixed(NamedTuple):
    """The labels of mixed photos.

    Attributes:
        others: [B], the label of each photo's partner.
        shares: [B, 2], the weights of its own label and of the partner's, each in [0, 1].
    """

    others: Tensor
    shares: Tensor


class PhotoMixing:
    """What mixes the photos of some steps of a run."""

    def __init__(self, settings: MixSettings, steps: int, seed: int, rank: int = 0) -> None:
        """Remember how.

        Args:
            settings: how.
            steps: of the whole run.
            seed: of the run.
            rank: whose photos they are.

        Raises:
            InputError: no step lies between the settings' ``since`` and ``until``.
        """
        self._settings, self._seed, self._rank = settings, seed, rank
        self._begin, self._end = settings.since * steps, settings.until * steps
        if (settings.photos != "none" or settings.vectors) and math.ceil(self._begin) >= self._end:
            raise InputError(
                f"no step of {steps} lies between mix.since {settings.since} and mix.until {settings.until}, so "
                "nothing is mixed; set them further apart, or mix.photos to none and mix.vectors to false"
            )

    def between_weight(self, step: int) -> float:
        """The weight of the loss of vectors between two photos' in a step."""
        return self._settings.weight if self._settings.vectors and self._mixes(step) else 0.0

    def _mixes(self, step: int) -> bool:
        """Whether anything is mixed in this part of the run."""
        return self._begin <= step < self._end

    def __call__(
        self, step: int, images: Tensor, labels: Tensor, places: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Mixed | None]:
        """Mix the photos of one step, or leave them as they are.

        Args:
            step: its number.
            images: uint8 [B, S, S, 3].
            labels: [B].
            places: photos to where the network looks in them, [B, M, h, w], without a graph; asked by snapmix alone.

        Returns:
            The photos, and their labels if they have been mixed.
        """
        alike, generator = (keyed_generator("mix", self._seed, *key, step) for key in ((), (self._rank,)))
        method, count = self._settings.photos, len(images)
        if method == "none" or not self._mixes(step) or alike.random() >= self._settings.share:
            return images, None
        partners = generator.permutation(count)
        partner = torch.from_numpy(partners).to(images.device)
        alpha = self._settings.alpha or ALPHA[method]
        if method == "mixup":
            mixed, own, other = _blended(images, partner, generator.beta(alpha, alpha, count))
        elif method == "cutmix":
            mixed, own, other = _cut(images, partners.tolist(), alpha, generator)
        else:
            shares = _pixel_shares(places(images), images.shape[1])
            mixed, own, other = _snapped(images, partners.tolist(), shares, alpha, generator)
        others = labels[partner]
        weights = torch.stack([own, other], 1)
        same = (others == labels)[:, None]
        together = torch.stack([weights.sum(1).clamp(max=1.0), torch.zeros_like(own)], 1)
        return mixed, Mixed(others, torch.where(same, together, weights))


def _blended(images: Tensor, partner: Tensor, kept: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Mixup: each photo and its partner, one upon the other (Zhang et al. 2018, "mixup", section 2)."""
    own = torch.from_numpy(kept.astype(np.float32)).to(images.device)
    share = own.view(-1, 1, 1, 1)
    return (share * images + (1 - share) * images[partner]).round().to(torch.uint8), own, 1 - own


def _cut(
    images: Tensor, partners: list[int], alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """CutMix: a rectangle of each photo is its partner's (Yun et al. 2019, "CutMix", section 3.1)."""
    mixed, side = images.clone(), images.shape[1]
    taken = np.zeros(len(images), np.float32)
    for row, other in enumerate(partners):
        left, top, right, bottom = random_box(side, 1 - generator.beta(alpha, alpha), generator)
        mixed[row, top:bottom, left:right] = images[other, top:bottom, left:right]
        taken[row] = (right - left) * (bottom - top) / side**2
    other_share = torch.from_numpy(taken).to(images.device)
    return mixed, 1 - other_share, other_share


def _snapped(
    images: Tensor, partners: list[int], shares: Tensor, alpha: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """SnapMix: a rectangle of the partner is resized into another one, and labels count as much as is seen of them.

    Huang, Wang and Tao, "SnapMix: Semantically Proportional Mixing for Augmenting Fine-grained Data" (2021), section 3.
    They take the activation of the photo's class by a linear classifier. Here it is where the network looks: what is
    between a place and the class vectors need not be linear, and these begin at random.
    """
    mixed, side = images.clone(), images.shape[1]
    own, other_share = (torch.empty(len(images), device=images.device) for _ in range(2))
    for row, other in enumerate(partners):
        left, top, right, bottom = random_box(side, 1 - generator.beta(alpha, alpha), generator)
        taken = random_box(side, 1 - generator.beta(alpha, alpha), generator)
        own[row] = 1 - shares[row, top:bottom, left:right].sum()
        other_share[row] = shares[other, taken[1] : taken[3], taken[0] : taken[2]].sum()
        if right > left and bottom > top and taken[2] > taken[0] and taken[3] > taken[1]:
            pasted = images[other, taken[1] : taken[3], taken[0] : taken[2]].permute(2, 0, 1)[None].float()
            resized = F.interpolate(pasted, (bottom - top, right - left), mode="bilinear", antialias=True)
            mixed[row, top:bottom, left:right] = resized[0].permute(1, 2, 0).round().to(torch.uint8)
        else:
            own[row], other_share[row] = 1.0, 0.0
    return mixed, own.clamp(0, 1), other_share.clamp(0, 1)


def random_box(side: int, share: float, generator: np.random.Generator) -> Box:
    """A square of a share of the area around a random place, as far as it lies in the photo."""
    half = 0.5 * side * share**0.5
    across, down = generator.random(2) * side
    corners = (across - half, down - half, across + half, down + half)
    left, top, right, bottom = (round(min(max(one, 0.0), side)) for one in corners)
    return left, top, right, bottom


def _pixel_shares(places: Tensor, side: int) -> Tensor:
    """What each pixel has of all that is looked at in a photo: [B, side, side], each photo's sum 1."""
    pixels = F.interpolate(places.float().mean(1, keepdim=True), (side, side), mode="bilinear")[:, 0]
    total = pixels.sum((1, 2), keepdim=True)
    return torch.where(total > 0, pixels / total.clamp(min=1e-12), torch.full_like(pixels, 1 / side**2))
