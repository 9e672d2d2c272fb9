"""Losses against one or more learned vectors a class, where the library's own are not exact or not finite."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ArcFaceLoss, SubCenterArcFaceLoss
from torch import Tensor, nn

_SMALLEST = 1e-6  # of sin^2 of an angle: 0.06 degrees


class ArcFace(ArcFaceLoss):
    """Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019), equation 3.

    Its gradient stays finite at an angle of 0, and its margin is in radians. The library takes the arc cosine, whose
    slope at 1 is infinite. Here cos(a + m) = cos(a) cos(m) - sin(a) sin(m), with sin(a) held above zero.
    """

    def init_margin(self) -> None:
        """Leave the margin as it is; the library would take it for degrees."""

    def modify_cosine_of_target_classes(self, cosine: Tensor) -> Tensor:
        """Cosine [B] of the angle to the photo's own class, the angle widened by the margin."""
        return widened(cosine, self.margin)


class SubCentreArcFace(ArcFace, SubCenterArcFaceLoss):
    """Deng et al., "Sub-center ArcFace" (2020), section 3: the nearest of a class's several centres counts."""


class ProxyNCAPlusPlus(nn.Module):
    """Teh, DeVries and Taylor, "ProxyNCA++" (2020), section 3.

    The negative logarithm of the probability that a photo picks its own class's proxy: a softmax over the negative
    squared distances to all proxies, its own included, divided by a temperature. Both sides have unit length. The
    library takes the logarithm of that softmax, and drops the photos, the hardest, for which it has rounded to zero.
    """

    def __init__(self, classes: int, dimension: int, temperature: float) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.empty(classes, dimension))
        unit_length(dimension)(self.proxies)
        self.temperature = temperature

    def forward(self, vectors: Tensor, labels: Tensor, indices_tuple: Any = None) -> Tensor:
        """The mean loss of vectors [B, D] with labels [B]."""
        return self.each(vectors, labels).mean()

    def each(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of each of them, [B]."""
        cosines = F.normalize(vectors) @ F.normalize(self.proxies).T
        squared_distances = 2.0 - 2.0 * cosines
        return F.cross_entropy(-squared_distances / self.temperature, labels, reduction="none")


def widened(cosine: Tensor, margin: float) -> Tensor:
    """Cosines [N] of angles that are larger by a margin, in radians.

    Beyond pi - margin, where the cosine would rise again, a straight line goes on falling (Deng et al. 2019).
    """
    sine = (1.0 - cosine.square()).clamp(min=_SMALLEST).sqrt()
    beyond = cosine - margin * math.sin(margin)
    return torch.where(cosine >= -math.cos(margin), cosine * math.cos(margin) - sine * math.sin(margin), beyond)


def unit_length(dimension: int) -> Callable[[Tensor], Tensor]:
    """What fills class vectors at random, of about unit length, so that one learning rate suits any dimension."""
    return partial(nn.init.normal_, std=1.0 / math.sqrt(dimension))
