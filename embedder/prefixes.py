"""A loss of the first numbers of a vector as well, so that a vector can be cut short and still be a good one."""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.augment.mixing import Mixed
from embedder.config import LossSettings, MixSettings
from embedder.losses import LossResult, MetricLoss, build_loss
from embedder.precision import at_least_float32
from embedder.ranks import ALONE, Ranks
from eval.errors import InputError


class PrefixLoss(nn.Module):
    """The mean of a loss of whole vectors and of the same loss of their prefixes.

    Kusupati et al., "Matryoshka Representation Learning", 2022, section 3, with equal weights; each prefix, divided by
    its length, has class vectors and a memory of its own.

    Attributes:
        rate: as of the loss.
        margin: as of the loss.
    """

    def __init__(self, losses: Mapping[int, MetricLoss]) -> None:
        """Join losses.

        Args:
            losses: of each prefix, by its length; the last one is of whole vectors.
        """
        super().__init__()
        self.losses = nn.ModuleDict({str(length): loss for length, loss in losses.items()})
        whole = [*losses.values()][-1]
        self.rate, self.margin = whole.rate, whole.margin

    def forward(
        self, vectors: Tensor, labels: Tensor, mixed: Mixed | None = None, between_weight: float = 0.0
    ) -> LossResult:
        """Compute the loss of vectors [B, D] of unit length with labels [B]; its parts are those of each prefix."""
        parts = {
            f"first {length}": loss(
                F.normalize(at_least_float32(vectors[:, : int(length)])), labels, mixed, between_weight
            ).value
            for length, loss in self.losses.items()
        }
        value = torch.stack([*parts.values()]).mean()
        return LossResult(value, {name: part.detach() for name, part in parts.items()})


def check_loss(settings: LossSettings, dimension: int, mix: MixSettings) -> None:
    """Refuse what ``build_prefix_loss`` does, before it is known how many classes there are."""
    with torch.random.fork_rng(devices=[]):
        build_prefix_loss(settings, 2, dimension, mix=mix)


def build_prefix_loss(
    settings: LossSettings, classes: int, dimension: int, ranks: Ranks = ALONE, mix: MixSettings | None = None
) -> MetricLoss | PrefixLoss:
    """Build the loss that the settings describe, of prefixes too where they name some; see ``build_loss``.

    Raises:
        InputError: as for ``build_loss``, or prefixes that are none.
    """
    if not settings.prefixes:
        return build_loss(settings, classes, dimension, ranks, mix)
    lengths = [*settings.prefixes, dimension]
    if settings.prefixes[0] < 1 or any(one >= other for one, other in pairwise(lengths)):
        raise InputError(
            f"loss.prefixes is {settings.prefixes}; they must ascend, from 1 at least to below {dimension}, the length "
            "of a vector"
        )
    return PrefixLoss({length: build_loss(settings, classes, length, ranks, mix) for length in lengths})
