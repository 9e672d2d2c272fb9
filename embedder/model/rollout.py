"""Parts of the subject that a transformer's own attention points at: roll-out, and the tokens of the parts.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (2020), section 3: the attention matrices of all layers
are multiplied. He et al., "TransFG: A Transformer Architecture for Fine-Grained Recognition" (2022), section 3.2: each
head of the last layer chooses a part by it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from embedder.model.features import Features
from embedder.precision import at_least_float32, without_autocast
from eval.errors import InputError


class RolloutPooling(nn.Module):
    """The class token of a transformer, and what the tokens of the parts add to it.

    The mean of the part tokens goes through a layer that begins at zero: a pretrained network begins as with the class
    token alone. The authors show the last block nothing but the class token and the part tokens, which is new to it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels))

    def forward(self, features: Features) -> Tensor:
        """Pool token [B, C], map [B, C, h, w] and roll-out [B, H, h, w] to [B, C]."""
        if features.token is None or features.attention is None:
            raise InputError("this backbone shows no attention of a class token; choose another --model.pooling")
        return features.token + F.linear(part_tokens(features.map, features.attention).mean(1), self.weight)


def part_tokens(places: Tensor, attention: Tensor) -> Tensor:
    """Of a map [B, C, h, w] the place that each of several maps [B, H, h, w] is greatest at, [B, H, C]."""
    chosen = attention.flatten(2).argmax(2)
    patches = places.flatten(2).transpose(1, 2)
    return patches.gather(1, chosen[:, :, None].expand(-1, -1, patches.shape[2]))


def attention_layers(body: Any) -> list[Any]:
    """The attention of each block of one of timm's plain transformers with a class token; none of another network."""
    if not isinstance(body, VisionTransformer | Eva | Beit) or body.cls_token is None:
        return []
    layers = [getattr(block, "attn", None) for block in body.blocks]  # blocks of other forms have none, or several
    return layers if all(hasattr(layer, "fused_attn") for layer in layers) else []


@contextmanager
def watched(layers: list[Any]) -> Iterator[list[Tensor]]:
    """Collect what tokens attend to while photos go through.

    The hooks last no longer than that, so that no copy of the network has them.

    Yields:
        For each layer the mean of its heads [B, N, N], and for the last one all heads [B, H, N, N].
    """
    seen: list[Tensor] = []

    def keep(dropout: nn.Module, given: tuple[Tensor]) -> None:
        attention = at_least_float32(given[0].detach())
        seen.append(attention if dropout is layers[-1].attn_drop else attention.mean(1))

    hooks = [layer.attn_drop.register_forward_pre_hook(keep) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def roll_out(seen: list[Tensor], height: int, width: int) -> Tensor:
    """How much of each patch at the input comes to the class token through each head of the last layer.

    A layer passes on half of what a token was, by the residual connection, and half of what it attends to. In the last
    layer only the latter is looked at, as what the class token was is the same for all heads.

    Args:
        seen: as ``watched`` yields it.
        height: h of the patches, which are the last tokens.
        width: w.

    Returns:
        [B, H, h, w], at least 0; of each head all tokens together have 1. Without a graph.
    """
    *earlier, last = seen
    reached = last[:, :, 0]
    with without_autocast(reached.device.type):  # in which many tokens would be equal
        for attention in reversed(earlier):
            reached = (reached + reached @ attention) / 2
    return reached[:, :, -height * width :].reshape(-1, reached.shape[1], height, width)
