"""The weights of a run, and whether those of two are the same."""

from pathlib import Path

import torch

from embedder import checkpoint


def weights(run: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return checkpoint.load(run / name)["network"]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert torch.equal(values, other[name]), name
