"""What moves the weights: AdamW, and for class vectors that are divided among ranks its sparse kin."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from embedder.config import TrainSettings
from embedder.model.features import Backbone
from embedder.model.network import Network
from embedder.partial_fc import partial_losses, take_up, whole_state
from eval.errors import InputError


def check_trainable(network: Network, train: TrainSettings) -> None:
    """Refuse to train what is frozen, and what is of several stages where fewer than two are trained.

    Raises:
        InputError: names the setting.
    """
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(
            "nothing can be trained: the backbone is frozen, and the head has no weights; lower model.frozen_stages, "
            "or set model.head linear"
        )
    count = len(network.backbone.trained_stages)
    what = "one stage of the backbone is trained" if count else "the backbone is frozen"
    for setting, value, off in (("layer_decay", train.layer_decay, 1), ("unfreeze", train.unfreeze, 0)):
        if value != off and count < 2:
            raise InputError(f"train.{setting} is {value}, but {what}; lower model.frozen_stages, or set it to {off}")


class Optimizer:
    """The optimisers of network and loss.

    Attributes:
        network: as Fabric has wrapped it.
        replicated: the loss's parameters of which each rank has all.
    """

    def __init__(self, network: Network, loss: nn.Module, rate: float, train: TrainSettings, fabric: Fabric) -> None:
        """Set up network and optimisers for this rank.

        Args:
            network: on its device.
            loss: likewise.
            rate: learning rate of the loss's parameters, as a multiple of the network's.
            train: the settings.
            fabric: device and precision.
        """
        self._clip, rate = train.clip, rate * train.learning_rate
        self._parts = [*partial_losses(loss)]
        self.replicated = [own for own in loss.parameters() if not any(own is part.weight for part in self._parts)]
        groups = parameter_groups(network, train)
        groups.append({"params": self.replicated, "lr": rate, "weight_decay": 0.0})
        adam = torch.optim.AdamW([{**group, "peak": group["lr"]} for group in groups if group["params"]])
        self.network, self._dense = fabric.setup(network, adam)
        groups = [{"params": [part.weight], "lr": rate, "peak": rate} for part in self._parts]
        self._sparse = [torch.optim.SparseAdam([group]) for group in groups]

    def step(self, share: float, waiting: Iterable[nn.Parameter] = ()) -> None:
        """Move the weights by their gradients, and forget these.

        Args:
            share: of the learning rate's peak, in [0, 1].
            waiting: parameters that stay as they are.
        """
        for parameter in waiting:
            parameter.grad = None
        if self._clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        for optimizer in (self._dense, *self._sparse):
            for group in optimizer.param_groups:
                group["lr"] = share * group["peak"]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, whole on the first rank."""
        return {
            "optimizer": self._dense.state_dict(),
            "partial_fc": [*map(whole_state, self._parts, self._sparse)],
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave, on any number of ranks."""
        self._dense.load_state_dict(state["optimizer"])
        for kept, part, optimizer in zip(state.get("partial_fc", []), self._parts, self._sparse, strict=True):
            take_up(kept, part, optimizer)


def parameter_groups(network: Network, train: TrainSettings) -> list[dict[str, Any]]:
    """The trained parameters as groups for an optimiser, each with a ``name``.

    Args:
        network: whose frozen parameters are left out.
        train: rates, and the decay of weights; biases, norms, and tables of positions and tokens get none. Of
            ``layer_decay``: Howard and Ruder, "Universal Language Model Fine-tuning" (2018), section 3.2.
    """
    added = nn.ModuleList(filter(None, [network.attention, network.pooling, network.parts]))
    parts = {
        **_of_backbone(network.backbone, train.layer_decay),
        "added": ([*added.named_parameters()], train.added_rate),
        "head": ([*network.head.named_parameters()], train.head_rate),
    }
    groups = []
    for name, (parameters, rate) in parts.items():
        trained = [(p, _decays(path, p)) for path, p in parameters if p.requires_grad]
        for decays in (True, False):
            members = [parameter for parameter, decay in trained if decay is decays]
            if members:
                groups.append(
                    {
                        "name": name if decays else f"{name} (no decay)",
                        "params": members,
                        "lr": train.learning_rate * rate,
                        "weight_decay": train.weight_decay if decays else 0.0,
                    }
                )
    return groups


def _of_backbone(backbone: Backbone, layer_decay: float) -> dict[str, tuple[list[tuple[str, nn.Parameter]], float]]:
    """The backbone's parameters with their paths, whole or stage by stage, and the share of its rate that each has."""
    if layer_decay == 1.0:
        return {"backbone": ([*backbone.named_parameters()], 1.0)}
    last = len(backbone.stages) - 1
    stage_of = {id(own): number for number, stage in enumerate(backbone.stages) for own in stage.parameters()}
    members: dict[int, list[tuple[str, nn.Parameter]]] = {}
    for path, parameter in backbone.named_parameters():
        members.setdefault(stage_of.get(id(parameter), last), []).append((path, parameter))
    return {f"stage {number}": (members[number], layer_decay ** (last - number)) for number in sorted(members)}


def _decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay makes sense for a parameter."""
    return parameter.ndim > 1 and not name.endswith(("_embed", "_token", "_table"))
