"""How exactly sensitive things are computed."""

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """A tensor of half precision in single; others as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
