"""Attention between backbone and pooling: which channels, and which places, of a feature map count for this photo.

Every block multiplies the map by gates that are twice a sigmoid, of a last layer that begins at zero: each gate begins
as exactly 1, and a pretrained network as it was. That layer has a gradient at once, the layers before from the second
step on. None holds a batch norm, whose statistics would be those of a chunk or a rank.
"""

from math import log2

import torch
from torch import Tensor, nn

from embedder.model.features import Backbone, Features
from eval.errors import unknown

_REDUCTION, _LEAST = 16, 8  # channels for each hidden one, and the least hidden ones


class SqueezeExcitation(nn.Module):
    """A gate a channel, from the means of all channels: Hu, Shen and Sun, "Squeeze-and-Excitation Networks" (2018), 3.

    The last layer has a bias here, so that a channel may also count more in every photo.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.excitation = _bottleneck(channels)

    def forward(self, features: Features) -> Features:
        """Weigh the channels of the map; the token stays as it is."""
        return _gated(features, self.excitation(features.map.mean((2, 3)))[:, :, None, None])


class ConvolutionalBlockAttention(nn.Module):
    """A gate a channel, then a gate a place: Woo, Park, Lee and Kweon, "CBAM" (2018), section 3, without batch norm.

    Channels are judged by their means and greatest values over the places, through one bottleneck, and places by theirs
    over the channels, in a window of 7 x 7.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = _bottleneck(channels)
        self.places = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        nn.init.zeros_(self.places.weight)

    def forward(self, features: Features) -> Features:
        """Weigh the channels of the map, and then its places; the token stays as it is."""
        judged = self.channels(features.map.mean((2, 3))) + self.channels(features.map.amax((2, 3)))
        features = _gated(features, judged[:, :, None, None])
        return _gated(features, self.places(torch.stack([features.map.mean(1), features.map.amax(1)], dim=1)))


class EfficientChannelAttention(nn.Module):
    """A gate a channel, from the means of a few neighbouring ones: Wang et al., "ECA-Net" (2020), section 3.3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = int((log2(channels) + 1) / 2) | 1  # equation 12: the odd number that is nearest, of gamma 2 and b 1
        self.neighbours = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        nn.init.zeros_(self.neighbours.weight)

    def forward(self, features: Features) -> Features:
        """Weigh the channels of the map; the token stays as it is."""
        return _gated(features, self.neighbours(features.map.mean((2, 3))[:, None])[:, 0, :, None, None])


ATTENTIONS: dict[str, type[nn.Module]] = {
    "none": nn.Identity,
    "se": SqueezeExcitation,
    "cbam": ConvolutionalBlockAttention,
    "eca": EfficientChannelAttention,
}


def build_attention(name: str, backbone: Backbone) -> nn.Module:
    """Build an attention block by name: ``Features`` to ``Features`` of the same shape.

    Args:
        name: one of ``ATTENTIONS``; ``none`` changes nothing and has no weights.
        backbone: whose map it looks at.

    Raises:
        InputError: an unknown name.
    """
    if name not in ATTENTIONS:
        raise unknown("attention", name, ATTENTIONS)
    return ATTENTIONS[name](backbone.channels)


def _bottleneck(channels: int) -> nn.Sequential:
    """Two layers with few hidden channels in between, of which the last begins at zero."""
    hidden = max(channels // _REDUCTION, _LEAST)
    last = nn.Linear(hidden, channels)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), last)


def _gated(features: Features, judged: Tensor) -> Features:
    """The map times its gates: of 0 for what is ``judged`` least, 1 where that is zero, and 2 at most."""
    return features._replace(map=features.map * (2 * judged.sigmoid()))
