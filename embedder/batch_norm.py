"""Batch norm that learns, in training: its statistics are those of the whole batch, of all processes."""

from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from embedder.config import ModelSettings
from embedder.model.network import Network
from embedder.ranks import Ranks
from eval.errors import InputError


def is_left_as_made(network: Network, settings: ModelSettings) -> bool:
    """Whether the backbone's batch norm keeps the statistics that it was made with, and so never normalises."""
    normalises = any(isinstance(module, _BatchNorm) for module in network.backbone.modules())
    return normalises and settings.weights == "random" and settings.freeze_batch_norm


def check_batch_norm(network: Network, ranks: Ranks, chunk_size: int) -> None:
    """Refuse to train batch norm that cannot have the statistics of the whole batch.

    Raises:
        InputError: in chunks, or on a CPU with several ranks.
    """
    network.train()
    if not any(isinstance(module, _BatchNorm) and module.training for module in network.modules()):
        return
    freeze = "freeze it (--model.freeze_batch_norm true, and no --model.norm batch)"
    if chunk_size:
        raise InputError(f"train.chunk_size is {chunk_size}, but batch norm needs the whole batch at once; {freeze}")
    if ranks.count > 1 and ranks.device == "cpu":
        raise InputError(f"batch norm cannot be synchronised between processes on a CPU; {freeze}")


def settle_batch_norm(network: Network, ranks: Ranks) -> None:
    """Have batch norm that is trained take the statistics of the whole batch, of all ranks."""
    network.train()
    if ranks.count == 1:
        return
    made: dict[_BatchNorm, nn.Module] = {}
    for parent in [*network.modules(), *network.backbone.stages]:  # a stage may hold them as the network does
        for name, module in parent.named_children():
            if isinstance(module, _BatchNorm) and module.training:  # those of frozen stages stay
                if module not in made:
                    made[module] = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
                setattr(parent, name, made[module])
