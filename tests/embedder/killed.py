"""A training that dies in mid-run, for the tests of what is gone on with."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from embedder.config import Config
from embedder.train import fit
from embedder.trainer import Trainer


def fit_until(config: Config, run: Path, stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the step of a number is to begin; every step before is saved."""
    step = Trainer._step

    def dying(self: Trainer, *batch: torch.Tensor) -> None:
        if self.step == stop_at:
            raise MemoryError
        step(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Trainer, "_step", dying)
        fit(replace(config, train=replace(config.train, checkpoint_minutes=0.0)), run)
