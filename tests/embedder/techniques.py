"""Many techniques at once."""

from dataclasses import replace
from typing import Any

from embedder.config import Config, LossSettings, MixSettings

MANY = {
    "data": {"size": 64, "test_size": 96},
    "augment": {"rotate": 20.0, "attended_crop": 0.3, "attended_drop": 0.3, "attended_since": 0.0},
    "mix": MixSettings("cutmix", share=0.5, vectors=True, since=0.0),
    "model": {"attention": "cbam", "parts": 3, "part_stride": 16, "look": "second", "mirror": True, "smaller": True},
    "train": {"layer_decay": 0.7, "unfreeze": 0.5, "ema": 0.9, "chunk_size": 4},
}
"""Techniques that all go together."""


def with_techniques(config: Config, loss: LossSettings, changes: dict[str, Any]) -> Config:
    groups = {
        name: replace(getattr(config, name), **change) if isinstance(change, dict) else change
        for name, change in changes.items()
    }
    return replace(config, loss=loss, **groups)
