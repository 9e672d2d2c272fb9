"""From a feature map to one feature vector a photo."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from embedder.model.features import Backbone, Features
from embedder.model.rollout import RolloutPooling
from embedder.precision import at_least_float32
from eval.errors import InputError, unknown


class AveragePooling(nn.Module):
    """The mean over all places."""

    def forward(self, features: Features) -> Tensor:
        """Pool [B, C, h, w] to [B, C]."""
        return features.map.mean((2, 3))


class MaxPooling(nn.Module):
    """The greatest value over all places, channel by channel."""

    def forward(self, features: Features) -> Tensor:
        """Pool [B, C, h, w] to [B, C]."""
        return features.map.amax((2, 3))


class AverageMaxPooling(nn.Module):
    """The sum of the mean and the greatest value."""

    def forward(self, features: Features) -> Tensor:
        """Pool [B, C, h, w] to [B, C]."""
        return features.map.mean((2, 3)) + features.map.amax((2, 3))


class GeneralizedMeanPooling(nn.Module):
    """The p-mean, with a p that is learned: 1 is the mean, infinity the greatest value.

    Radenović, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation" (2018), section 3.2.
    """

    def __init__(self, p: float = 3.0, smallest: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.smallest = smallest

    def forward(self, features: Features) -> Tensor:
        """Pool [B, C, h, w] to [B, C] float32; in half precision a third power would overflow from 41 on."""
        p = 1.0 + (at_least_float32(self.p) - 1.0).abs()  # where a clamp would hold p at 1 for good, it comes back
        places = at_least_float32(features.map).clamp(min=self.smallest)
        greatest = places.detach().amax((2, 3), keepdim=True)
        # As shares of the greatest: a channel that is nowhere active would be 0 from a p of 7.5 on, and p's slope NaN.
        return greatest.flatten(1) * (places / greatest).pow(p).mean((2, 3)).pow(1.0 / p)


class AttentionPooling(nn.Module):
    """The mean over all places, each weighed by the softmax over places of a score that is learned.

    Ilse, Tomczak and Welling, "Attention-based Deep Multiple Instance Learning" (2018), equations 7 and 8, with a score
    that is linear in the place's features: their hidden layer would begin with one more random projection.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Features) -> Tensor:
        """Pool [B, C, h, w] to [B, C] float32; half precision has three digits, too few for a score of 100."""
        places = at_least_float32(features.map)
        scores = (places * self.score).sum(1, keepdim=True)
        shares = (scores - scores.amax((2, 3), keepdim=True)).exp()
        # Weights of mean 1, and not of sum 1: without any score they are exactly 1, and this is average pooling.
        return (places * (shares / shares.mean((2, 3), keepdim=True))).mean((2, 3))


class TokenPooling(nn.Module):
    """The class token of a transformer."""

    def forward(self, features: Features) -> Tensor:
        """Take the token, [B, C]."""
        if features.token is None:
            raise InputError("this backbone has no class token; choose another --model.pooling")
        return features.token


POOLINGS: dict[str, Callable[[Backbone], nn.Module]] = {
    "avg": lambda _: AveragePooling(),
    "max": lambda _: MaxPooling(),
    "avg+max": lambda _: AverageMaxPooling(),
    "gem": lambda _: GeneralizedMeanPooling(),
    "attention": lambda backbone: AttentionPooling(backbone.channels),
    "token": lambda _: TokenPooling(),
    "rollout": lambda backbone: RolloutPooling(backbone.channels),
}


def build_pooling(name: str, backbone: Backbone) -> nn.Module:
    """Build a pooling by name: ``Features`` to [B, C].

    Raises:
        InputError: an unknown name, or ``token`` for a backbone that has none, or ``rollout`` for one that is no plain
            transformer with one.
    """
    if name not in POOLINGS:
        raise unknown("pooling", name, POOLINGS)
    if name == "token" and not backbone.has_token:
        others = "avg, max, avg+max, gem or attention"
        raise InputError(f"{backbone.name} has no class token; choose --model.pooling {others}")
    if name == "rollout":
        backbone.watch_attention()
    return POOLINGS[name](backbone)
