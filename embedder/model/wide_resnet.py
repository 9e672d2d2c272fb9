"""Wide residual networks for photos of some 32 pixels, to be trained from scratch: ``wide-resnet-DEPTH-WIDTH``.

Zagoruyko and Komodakis, "Wide Residual Networks" (2016), table 1. They keep a small photo's pixels apart where networks
made for large photos have halved them five times. With ``/2`` behind the name the first convolution halves the photo: a
network of twice the width then takes as long, and gets farther in a short training.
"""

import re
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from embedder.model.features import Backbone, Features
from embedder.model.weights import load_file
from eval.errors import InputError

PREFIX = "wide-resnet-"


class Block(nn.Module):
    """Two convolutions, each after batch norm and ReLU, beside a shortcut: section 2, figure 1c."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(before), nn.BatchNorm2d(channels)
        self.conv1 = _convolution(before, channels, stride)
        self.conv2 = _convolution(channels, channels, 1)
        changes = stride > 1 or before != channels
        self.shortcut = nn.Conv2d(before, channels, 1, stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, before, h, w] to [B, channels, h / stride, w / stride]."""
        active = F.relu(self.norm1(features))
        shortcut = self.shortcut(active) if self.shortcut else features
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(active))))


class WideResNet(Backbone):
    """Three groups of blocks, at the whole, half and a quarter of the photo's side, or at half of those."""

    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    interpolation = "bicubic"

    def __init__(self, name: str, depth: int, width: int, stride: int) -> None:
        super().__init__()
        self.name, self.channels = name, 64 * width
        self.stem = _convolution(3, 16, stride)
        self.group1 = _group(16, 16 * width, 1, (depth - 4) // 6)
        self.group2 = _group(16 * width, 32 * width, 2, (depth - 4) // 6)
        self.group3 = _group(32 * width, 64 * width, 2, (depth - 4) // 6)
        self.norm = nn.BatchNorm2d(64 * width)
        self.stages = [self.stem, self.group1, self.group2, self.group3, self.norm]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Features:
        """Map photos, normalised, [B, 3, H, W] to their features, [B, 64 WIDTH, h, w] and None."""
        return Features(F.relu(self.norm(self.group3(self.group2(self.group1(self.stem(images)))))), None)


def build_wide_resnet(name: str, weights: str) -> WideResNet:
    """Build ``wide-resnet-DEPTH-WIDTH``; see ``embedder.model.backbone.build_backbone``."""
    form = re.fullmatch(rf"{PREFIX}(\d+)-(\d+)(/2)?", name)
    if not form or int(form[1]) < 10 or (int(form[1]) - 4) % 6 or not 1 <= int(form[2]) <= 64:
        raise InputError(
            f"{name} is no wide residual network; it must be {PREFIX}DEPTH-WIDTH, such as {PREFIX}28-10, of a depth of "
            "10, 16, 22, ... and a width from 1 to 64, with or without /2 behind it"
        )
    if weights == "pretrained":
        raise InputError(f"there are no pretrained weights of {name}; set model.weights to random, or to a file")
    network = WideResNet(name, int(form[1]), int(form[2]), 2 if form[3] else 1)
    if weights != "random":
        load_file(network, Path(weights), ())
    return network


def _convolution(before: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(before, channels, 3, stride, padding=1, bias=False)


def _group(before: int, channels: int, stride: int, blocks: int) -> nn.Sequential:
    """So many blocks, the first of which changes size and channels."""
    first = Block(before, channels, stride)
    return nn.Sequential(first, *(Block(channels, channels, 1) for _ in range(blocks - 1)))
