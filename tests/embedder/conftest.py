"""A small network and its exported embedder, for the tests of what uses one."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from embedder.export import export
from embedder.preprocess import Preprocessing


class Output(NamedTuple):
    vector: torch.Tensor
    features: torch.Tensor


class SmallNetwork(nn.Module):
    """A network of the shape of the real one, with every kind of layer that makes exports differ."""

    def __init__(self, seed: int = 0, mirror: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.mirror = mirror
        self.backbone = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5))
        self.backbone[1].running_mean.normal_()
        self.backbone[1].running_var.uniform_(0.5, 2)
        self.head = nn.Linear(6, 8)

    def forward(self, images: torch.Tensor) -> Output:
        features = self.backbone(images.permute(0, 3, 1, 2).to(self.head.weight.dtype) / 127.5 - 1)
        return Output(nn.functional.normalize(self.head(features.mean((2, 3))), dim=1), features)


@pytest.fixture(scope="session")
def small_network() -> type[SmallNetwork]:
    return SmallNetwork


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run: the embedder of ``SmallNetwork()`` at 16 pixels, and the ids of what it was trained on."""
    folder = tmp_path_factory.mktemp("run")
    export(SmallNetwork(), Preprocessing(16), folder / "embedder.onnx", {"epochs": 3})
    np.save(folder / "trained_on.npy", np.array(["0" * 32, "f" * 32]))
    return folder
