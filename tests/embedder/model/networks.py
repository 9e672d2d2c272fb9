"""Small networks with random weights, and noise for photos, for the tests of what networks are made of."""

import numpy as np
import torch

from embedder.config import ModelSettings
from embedder.model.network import Network, build_network


def build(backbone: str = "timm:test_resnet", **settings: object) -> Network:
    """The same network for the same settings."""
    torch.manual_seed(0)
    return build_network(ModelSettings(**{"backbone": backbone, "weights": "random", "dimension": 32, **settings}))


def photos(count: int = 3, side: int = 64, seed: int = 0) -> torch.Tensor:
    """Photos [count, side, side, 3] as a network takes them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return torch.from_numpy(pixels)


def marked(images: torch.Tensor, *boxed: int) -> torch.Tensor:
    """Photos [B, S, S, 3] as a first look takes them: [B, S, S, 4], some of them cut out by a box."""
    marks = torch.zeros_like(images[..., :1])
    marks[[*boxed]] = 255
    return torch.cat([images, marks], 3)


def filled(network: Network) -> Network:
    """With parts that do add something."""
    torch.nn.init.normal_(network.parts.project.weight, std=0.3)
    return network
