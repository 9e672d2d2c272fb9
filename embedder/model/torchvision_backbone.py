"""Backbones from torchvision: everything before the pooling, for the families that have a feature map there."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import DenseNet, RegNet, ResNet, SwinTransformer, get_model, get_model_weights

from embedder.model.features import Backbone, Features, layer_norm_of
from embedder.model.weights import fetching, load_file
from eval.errors import InputError

_FAMILIES = ("resnet", "resnext", "wide_resnet", "regnet", "densenet", "convnext", "efficientnet", "mobilenet", "swin")


class TorchvisionBackbone(Backbone):
    """One of torchvision's networks up to its last feature map."""

    def __init__(self, name: str, stages: list[nn.Module], channels: int, channels_last: bool) -> None:
        super().__init__()
        self.name, self.stages, self.channels = name, stages, channels
        self.body = nn.Sequential(*stages)
        self._channels_last = channels_last
        preset = get_model_weights(name.removeprefix("torchvision:")).DEFAULT.transforms()
        self.mean, self.std, self.interpolation = tuple(preset.mean), tuple(preset.std), preset.interpolation.value

    def forward(self, images: Tensor) -> Features:
        """Map photos, normalised, [B, 3, H, W] to their features, [B, C, h, w] and None."""
        out = self.body(images)
        return Features(out.permute(0, 3, 1, 2) if self._channels_last else out, None)


def build_torchvision(name: str, weights: str) -> TorchvisionBackbone:
    """Build ``torchvision:NAME``; see ``embedder.model.backbone.build_backbone``."""
    model = name.removeprefix("torchvision:")
    if not model.startswith(_FAMILIES):
        known = ", ".join(_FAMILIES)
        raise InputError(
            f"model.backbone is {name}, whose feature map is not known; choose one of {known}, or timm:NAME"
        )
    if weights == "pretrained":
        best = get_model_weights(model).DEFAULT
        with fetching(name, best.url):
            network = get_model(model, weights=best)
    else:
        network = get_model(model)
    stages, classifier = _take_apart(network)
    if weights not in ("pretrained", "random"):
        load_file(network, Path(weights), (f"{classifier}.",))
    layers = network.get_submodule(classifier).modules()
    channels = next(layer.in_features for layer in layers if isinstance(layer, nn.Linear))
    backbone = TorchvisionBackbone(name, stages, channels, isinstance(network, SwinTransformer))
    backbone.pooled_norm = layer_norm_of(network.get_submodule(classifier).modules())
    return backbone


def _take_apart(network: Any) -> tuple[list[nn.Module], str]:
    """The stages that make the feature map, and the name of the classifier behind it."""
    match network:
        case ResNet():
            stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
            return [stem, network.layer1, network.layer2, network.layer3, network.layer4], "fc"
        case RegNet():
            return [network.stem, *network.trunk_output], "fc"
        case DenseNet():
            parts = list(network.features)
            return [nn.Sequential(*parts[:4]), *parts[4:-1], nn.Sequential(parts[-1], nn.ReLU())], "classifier"
        case SwinTransformer():
            return [*network.features, network.norm], "head"
        case _:
            return list(network.features), "classifier"
