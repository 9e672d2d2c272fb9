"""How exactly sensitive things are computed."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of half precision in single; others as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(device: str) -> AbstractContextManager[Any]:
    """Leave precisions as they are; nothing at all where no autocast is on, which can be exported."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
