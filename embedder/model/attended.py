"""Where in a photo the network looks."""

import torch
from torch import Tensor

from embedder.precision import at_least_float32

_LEAST = 1e-12


def activation_map(features: Tensor) -> Tensor:
    """What each place has of a photo's pooled features.

    The product of the features of a place with their mean over all places: the class activation map of Zhou et al.,
    "Learning Deep Features for Discriminative Localization" (2016), section 2, with the photo's own pooled features in
    the place of a class's weights, so that it is of no class. The mean over places would be the squared length of
    these; places that speak against it count as nothing.

    Args:
        features: [B, C, h, w].

    Returns:
        [B, h, w], at least 0, each photo's sum 1; all places alike where there is nothing.
    """
    precise = at_least_float32(features)
    products = (precise * precise.mean((2, 3), keepdim=True)).sum(1).clamp(min=0.0)
    total = products.sum((1, 2), keepdim=True)
    even = torch.full_like(products, 1.0 / (products.shape[1] * products.shape[2]))
    return torch.where(total > _LEAST, products / total.clamp(min=_LEAST), even)
