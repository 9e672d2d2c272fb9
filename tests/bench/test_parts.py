"""What bench/parts.py sees of photos."""

import numpy as np
import torch
from PIL import Image

from bench.parts import BATCH, look
from embedder.config import ModelSettings
from embedder.model.network import build_network
from embedder.preprocess import Preprocessing


def test_photos_are_seen_alike_whatever_their_number() -> None:
    network = build_network(ModelSettings("timm:test_resnet", "random", parts=4)).eval()
    random = np.random.default_rng(0)
    photos = [Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(BATCH + 3)]
    preprocessing = Preprocessing(size=64)
    every, last = look(network, preprocessing, photos), look(network, preprocessing, photos[-3:])
    assert len(every.vector) == len(every.parts) == len(every.part_features) == BATCH + 3
    for name in ("vector", "features", "parts", "part_features"):
        torch.testing.assert_close(getattr(every, name)[-3:], getattr(last, name))
