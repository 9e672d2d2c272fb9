"""The network: backbone, attention, pooling and head, from a photo's bytes to a vector of unit length."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.config import ModelSettings
from embedder.model.attention import ConvolutionalBlockAttention, build_attention
from embedder.model.backbone import Backbone, build_backbone
from embedder.model.head import build_head
from embedder.model.pooling import AttentionPooling, build_pooling
from embedder.precision import at_least_float32
from eval.errors import InputError, first_line

_EPSILON = 1e-6  # of a vector's length; far above what float32 loses, far below any real vector


class Output(NamedTuple):
    """What the network gives for a batch of photos.

    Attributes:
        vector: [B, D] float32, of unit length; float64 of a network that is.
        features: [B, C, h, w], the feature map as the pooling sees it: after attention, so that the places of what is
            shown are those that made the vector.
    """

    vector: Tensor
    features: Tensor


class Network(nn.Module):
    """Photos as uint8 [B, H, W, 3] to vectors of unit length: exactly what the exported file holds.

    Attributes:
        backbone: normalised photos to features.
        attention: a feature map to one of the same shape, some of it weighed more.
        pooling: a feature map to one feature vector.
        head: a feature vector to a vector of the wanted length.
        dimension: D.
        mirror: whether, in evaluation, the vector of the mirrored photo is added.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        attention: nn.Module,
        pooling: nn.Module,
        head: nn.Module,
        dimension: int,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.attention, self.pooling, self.head = backbone, attention, pooling, head
        self.dimension, self.mirror = dimension, mirror
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Output:
        """Map photos to vectors.

        Args:
            images: uint8 [B, H, W, 3]; seen as [B, 3, H, W] they already are in the channels-last memory format.
        """
        photos = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        output = self._embed(photos)
        if not self.mirror or self.training:
            return output
        mirrored = self._embed(photos.flip(3))
        return Output(_unit_length(output.vector + mirrored.vector), output.features)

    def _embed(self, photos: Tensor) -> Output:
        """Vector and feature map of normalised photos [B, 3, H, W]."""
        features = self.attention(self.backbone(photos))
        return Output(_unit_length(self.head(self.pooling(features))), features.map)

    def check_size(self, size: int) -> None:
        """Try one photo of ``size`` x ``size`` pixels.

        Raises:
            InputError: the backbone does not take it (transformers may need multiples of their patch, or one size), or
                makes one place of it where places are to be compared.
        """
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                features = self(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=self.mean.device)).features
        except InputError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = first_line(str(error))
            raise InputError(f"{self.backbone.name} does not take photos of {size} pixels: {reason}") from error
        finally:
            self.train(training)
        self._check_places(features, size)

    def _check_places(self, features: Tensor, size: int) -> None:
        """Refuse to compare the places of a map [1, C, h, w] that has one."""
        for part, option in ((self.attention, "model.attention cbam"), (self.pooling, "model.pooling attention")):
            if isinstance(part, ConvolutionalBlockAttention | AttentionPooling) and features.shape[2:] == (1, 1):
                raise InputError(
                    f"{option} compares places, and {self.backbone.name} has one in photos of {size} pixels; give "
                    "larger photos (data.size, data.test_size), or choose another"
                )


def freeze_unused(network: Network, size: int) -> None:
    """Take what no vector depends on out of training, such as layers before a classifier that is not there.

    Several processes would otherwise wait for its gradients.
    """
    network.eval()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    vector = network(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=network.mean.device)).vector
    if trained:
        for parameter, gradient in zip(
            trained, torch.autograd.grad(vector.sum(), trained, allow_unused=True), strict=True
        ):
            parameter.requires_grad_(gradient is not None)


def _unit_length(vectors: Tensor) -> Tensor:
    """Vectors [B, D] divided by their lengths, in float32 under any autocast (in float64 where the network is)."""
    return F.normalize(at_least_float32(vectors), dim=1, eps=_EPSILON)


def build_network(settings: ModelSettings) -> Network:
    """Build the network that the settings describe, with its frozen parts frozen.

    Raises:
        InputError: a name or number that does not exist, or weights that cannot be had.
    """
    backbone = build_backbone(settings.backbone, settings.weights)
    backbone.freeze(settings.frozen_stages, settings.freeze_batch_norm)
    pooling = build_pooling(settings.pooling, backbone)
    head = build_head(settings.head, backbone.channels, settings.dimension, settings.norm, settings.dropout)
    dimension = backbone.channels if settings.head == "none" else settings.dimension
    attention = build_attention(settings.attention, backbone, settings.pooling)  # last: a head begins as without it
    return Network(backbone, attention, pooling, head, dimension, settings.mirror)


def parameter_groups(
    network: Network, learning_rate: float, head_rate: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """The trained parameters as groups for an optimiser, each with a ``name`` for the log.

    Args:
        network: whose frozen parameters are left out.
        learning_rate: of the backbone, of its last stage.
        head_rate: learning rate of attention, pooling and head, as a multiple of ``learning_rate``.
        weight_decay: of weights; biases, norms, and tables of positions and tokens get none.
        layer_decay: learning rate of a stage of the backbone, as a multiple of the next one's (Howard and Ruder,
            "Universal Language Model Fine-tuning", 2018, section 3.2).
    """
    behind = nn.ModuleList([network.attention, network.pooling, network.head])
    parts = {**_of_backbone(network.backbone, layer_decay), "head": ([*behind.named_parameters()], head_rate)}
    groups = []
    for name, (parameters, rate) in parts.items():
        trained = [(p, _decays(path, p)) for path, p in parameters if p.requires_grad]
        for decays in (True, False):
            members = [parameter for parameter, decay in trained if decay is decays]
            if members:
                groups.append(
                    {
                        "name": name if decays else f"{name} (no decay)",
                        "params": members,
                        "lr": learning_rate * rate,
                        "weight_decay": weight_decay if decays else 0.0,
                    }
                )
    return groups


def _of_backbone(backbone: Backbone, layer_decay: float) -> dict[str, tuple[list[tuple[str, nn.Parameter]], float]]:
    """The backbone's parameters with their paths, whole or stage by stage, and the share of its rate that each has."""
    if layer_decay == 1.0:
        return {"backbone": ([*backbone.named_parameters()], 1.0)}
    last = len(backbone.stages) - 1
    stage_of = {id(own): number for number, stage in enumerate(backbone.stages) for own in stage.parameters()}
    members: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for path, parameter in backbone.named_parameters():
        members.setdefault(stage_of.get(id(parameter), last), []).append((path, parameter))
    return {f"stage {number}": (members[number], layer_decay ** (last - number)) for number in sorted(members)}


def _decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay makes sense for a parameter."""
    return parameter.ndim > 1 and not name.endswith(("_embed", "_token", "_table"))
