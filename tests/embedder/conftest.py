"""A small network and its exported embedder, and a small training, for the tests of what uses them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from embedder.config import AugmentSettings, Config, DataSettings, LossSettings, ModelSettings, TrainSettings
from embedder.export import export
from embedder.preprocess import Preprocessing
from embedder.train import fit


class Output(NamedTuple):
    vector: torch.Tensor
    features: torch.Tensor


class SmallNetwork(nn.Module):
    """A network of the shape of the real one, with every kind of layer that makes exports differ."""

    def __init__(self, seed: int = 0, mirror: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.views, self.has_parts = ["whole", "mirror"] if mirror else ["whole"], False
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


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Eight classes of six small photos; the colour is the class, the noise is the photo."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for label in range(8):
        (root / f"kind{label}").mkdir()
        for number in range(6):
            pixels = 32 * label + generator.integers(0, 32, (40, 48, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"kind{label}" / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def config(photos: Path) -> Config:
    return Config(
        data=DataSettings(root=str(photos), validation="classes", size=32),
        augment=AugmentSettings(),
        model=ModelSettings(backbone="timm:test_efficientnet", weights="random", dimension=16, dropout=0.2),
        loss=LossSettings("triplet+arcface", memory=0),
        train=TrainSettings(epochs=2, batch_size=8, photos_per_class=2, ema=0.9, accelerator="cpu"),
        seed=3,
    )


@pytest.fixture(scope="session")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    return fit(config, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs end without their embedder: to write it takes longer than to train."""
    monkeypatch.setattr("embedder.trainer.export_best", lambda *_: None)
