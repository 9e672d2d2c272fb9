"""Backbones by name."""

from pathlib import Path

import timm
import torchvision

from embedder.model.features import Backbone
from embedder.model.timm_backbone import LITE0, build_timm
from embedder.model.torchvision_backbone import build_torchvision
from embedder.model.wide_resnet import PREFIX, build_wide_resnet
from eval.errors import unknown


def build_backbone(name: str, weights: str) -> Backbone:
    """Build a network without its classifier.

    Args:
        name: ``efficientnet-lite0`` (timm's architecture, with weights that are installed with Fieldmark),
            ``wide-resnet-DEPTH-WIDTH`` (for small photos), ``timm:NAME`` or ``torchvision:NAME``.
        weights: ``pretrained``, ``random``, or the path of a ``.safetensors``, ``.pth`` or ``.pt`` file with the
            library's own names of the tensors; those of a classifier are left out.

    Raises:
        InputError: an unknown name; pretrained weights that do not exist or cannot be fetched; a file that is missing,
            damaged or of another network. Random weights are never taken instead.
    """
    if name.startswith(PREFIX):
        return build_wide_resnet(name, weights)
    _check_known(name)
    return build_torchvision(name, weights) if name.startswith("torchvision:") else build_timm(name, weights)


def pretraining(name: str, weights: str) -> str:
    """What a backbone's weights were trained on, as far as their name says: a tag of timm's or torchvision's.

    Args:
        name: as for ``build_backbone``.
        weights: likewise; of a file, its name.
    """
    library, _, model = name.partition(":")
    if weights != "pretrained":
        return "none" if weights == "random" else Path(weights).name
    if name == LITE0:
        return "ImageNet-1k"
    if library == "torchvision":
        return str(torchvision.models.get_model_weights(model).DEFAULT.name)
    settings = timm.get_pretrained_cfg(model)
    return str(settings.tag or "unknown") if settings else "unknown"


def _check_known(name: str) -> None:
    """Refuse the name of no backbone."""
    names = [
        LITE0,
        f"{PREFIX}16-2",
        *(f"timm:{known}" for known in (*timm.list_models(), *timm.list_pretrained())),
        *(f"torchvision:{known}" for known in torchvision.models.list_models(module=torchvision.models)),
    ]
    if name not in names:
        raise unknown("backbone", name, names)
