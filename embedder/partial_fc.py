"""A softmax over very many classes: each rank holds some of their vectors, and each step looks at some of those.

An et al., "Partial FC: Training 10 Million Identities on a Single Machine" (2021), sections 3.2 and 3.3. With nothing
sampled away it is the dense loss to the last digits, on any number of ranks.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.class_losses import unit_length
from embedder.ranks import Ranks, bounds

AT_ONCE = 65536
"""Class vectors that are drawn at once: the same ones for any number of ranks, in the memory of a few."""

MOMENTS = ("exp_avg", "exp_avg_sq")


class PartialFC(nn.Module):
    """Cross-entropy of scaled cosines, with a margin, over a share of the classes.

    Attributes:
        weight: [c, D], the vectors of this rank's classes; its gradient is sparse, so that those that a step does not
            look at stay as they are.
    """

    def __init__(
        self, classes: int, dimension: int, widen: Callable[[Tensor], Tensor], scale: float, share: float, ranks: Ranks
    ) -> None:
        """Draw the class vectors, as the dense losses do.

        Args:
            classes: C of all ranks.
            dimension: D of the vectors.
            widen: cosines to a photo's own class [n] to what stands for them.
            scale: of the cosines.
            share: of a rank's classes that a step looks at, in (0, 1]; those of the batch always.
            ranks: who share the classes.
        """
        super().__init__()
        self.widen, self.scale, self.share, self.ranks = widen, scale, share, ranks
        self.start, self.stop = bounds(classes, ranks.rank, ranks.count)
        self.weight = nn.Parameter(torch.empty(self.stop - self.start, dimension))
        self.sampled = max(1, round(share * (self.stop - self.start)))
        for first in range(0, classes, AT_ONCE):
            drawn = torch.empty(min(AT_ONCE, classes - first), dimension)
            unit_length(dimension)(drawn)
            own = drawn[max(self.start - first, 0) : max(self.stop - first, 0)]
            place = max(first - self.start, 0)
            self.weight.data[place : place + len(own)] = own

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of the vectors [B, D] of all ranks with labels [B]."""
        return self.each(vectors, labels).mean()

    def each(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of each of them, [B]."""
        here = torch.nonzero((self.start <= labels) & (labels < self.stop)).flatten()
        own = labels[here] - self.start
        chosen = self._chosen(own)
        centres = F.normalize(F.embedding(chosen, self.weight, sparse=True))
        cosines = F.normalize(_Shared.apply(vectors, self.ranks)) @ centres.T
        places = here, torch.searchsorted(chosen, own)
        cosines = cosines.index_put(places, self.widen(cosines[places]))
        logits = self.scale * cosines
        greatest = self._over_ranks(logits.detach().amax(1), dist.ReduceOp.MAX)
        total = self._over_ranks((logits - greatest[:, None]).exp().sum(1), dist.ReduceOp.SUM)
        wanted = torch.zeros_like(total).index_put((here,), logits[places])
        return total.log() + greatest - self._over_ranks(wanted, dist.ReduceOp.SUM)

    def _chosen(self, own: Tensor) -> Tensor:
        """Which of this rank's classes a step looks at, ascending: those of the batch, and others by chance."""
        if self.share == 1:  # not: if this rank's are few, as ranks draw as often as each other
            return torch.arange(len(self.weight), device=own.device)
        present = torch.unique(own)
        seed = int(torch.randint(2**62, ())) + self.ranks.rank  # other samples than the other ranks
        generator = torch.Generator(own.device).manual_seed(seed)
        chance = torch.rand(len(self.weight), device=own.device, generator=generator)
        chance[present] = 2.0
        return chance.topk(max(self.sampled, len(present))).indices.sort().values

    def _over_ranks(self, own: Tensor, how: Any) -> Tensor:
        """The sum or maximum over the ranks of a number for each photo [B]."""
        reduced: Tensor = _Reduced.apply(own, self.ranks, how)
        return reduced

    def _save_to_state_dict(self, *_: Any) -> None:
        """Leave the weight out, of which a rank has a part; ``whole_state`` has all."""

    def _load_from_state_dict(self, *_: Any) -> None:
        """Likewise."""


class _Shared(torch.autograd.Function):
    """Vectors that every rank compares with classes of its own: their gradient is the sum over the ranks."""

    @staticmethod
    def forward(context: Any, vectors: Tensor, ranks: Ranks) -> Tensor:
        context.ranks = ranks
        return vectors.view_as(vectors)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return context.ranks.reduced(gradients[0]), None


class _Reduced(torch.autograd.Function):
    """Numbers summed over ranks that all go on with the sum alike: its gradient is that of each part."""

    @staticmethod
    def forward(context: Any, own: Tensor, ranks: Ranks, how: Any) -> Tensor:
        return ranks.reduced(own, how)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None


def partial_losses(loss: nn.Module) -> Iterator[PartialFC]:
    """Those that a loss is made of."""
    return (module for module in loss.modules() if isinstance(module, PartialFC))


def whole_state(part: PartialFC, optimizer: torch.optim.SparseAdam) -> dict[str, Any]:
    """All ranks' class vectors with their moments, whole on the first rank, for a checkpoint of any number of ranks."""
    kept = optimizer.state[part.weight]
    tensors = {"weight": part.weight.detach(), **{name: kept[name] for name in MOMENTS if name in kept}}
    whole: dict[str, Any] = {name: part.ranks.collect(tensor) for name, tensor in tensors.items()}
    return {**whole, "step": int(kept.get("step", 0))}


def take_up(state: dict[str, Any], part: PartialFC, optimizer: torch.optim.SparseAdam) -> None:
    """Take this rank's part of what ``whole_state`` gave."""
    rows = slice(part.start, part.stop)
    own = {name: value[rows].to(part.weight, copy=True) for name, value in state.items() if name != "step"}
    part.weight.data.copy_(own.pop("weight"))
    if own:
        optimizer.state[part.weight] = {"step": state["step"], **own}
