"""Losses by name, and weighted sums of them: vectors and labels to one number, in float32."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from embedder.augment.mixing import Mixed
from embedder.batch_memory import BatchMemory
from embedder.config import LossSettings, MixSettings
from embedder.loss_contracts import LOSSES, Value
from embedder.loss_options import resolve_options, split_names
from embedder.miners import build_miner
from embedder.mixed_labels import ClassLoss
from embedder.mixed_vectors import ALPHA, between, between_classes
from embedder.partial_fc import PartialFC
from embedder.precision import at_least_float32, without_autocast
from embedder.ranks import ALONE, Ranks
from eval.errors import InputError, unknown


class LossResult(NamedTuple):
    """What the loss gives for a batch.

    Attributes:
        value: the number to minimise.
        parts: of a sum, each loss's own value by its name, before weighting, without a graph and without that of mixed
            vectors; empty for one loss.
    """

    value: Tensor
    parts: dict[str, Tensor]


class MinedLoss(nn.Module):
    """A loss of pairs or triplets with the miner, or None, that chooses which."""

    def __init__(self, loss: nn.Module, miner: Any) -> None:
        super().__init__()
        self.loss, self.miner = loss, miner

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of vectors [B, D] with labels [B]."""
        return self.loss(vectors, labels, self.miner(vectors, labels) if self.miner else None)


class MetricLoss(nn.Module):
    """One loss or a weighted sum.

    Attributes:
        rate: learning rate of the loss's own parameters, as a multiple of the network's.
        margin: cosine by which it wants positives nearer than negatives; that of the triplet loss where there is one.
    """

    def __init__(
        self,
        classes: int,
        losses: dict[str, nn.Module],
        weights: dict[str, float],
        options: dict[str, dict[str, Value]],
        alpha: float = ALPHA,
    ) -> None:
        """Join losses.

        Args:
            classes: C.
            losses: by name.
            weights: of each.
            options: of each, all of them.
            alpha: of the Beta distribution of what is mixed between two photos' vectors.
        """
        super().__init__()
        self.classes, self.weights, self.options, self.alpha = classes, weights, options, alpha
        self.rate = max(LOSSES[name].rate or 1.0 for name in losses)
        self.margin = float(options.get("triplet", {}).get("margin", LOSSES["triplet"].options["margin"].default))
        self.losses = nn.ModuleDict(losses)

    def forward(
        self, vectors: Tensor, labels: Tensor, mixed: Mixed | None = None, between_weight: float = 0.0
    ) -> LossResult:
        """Compute the loss in float32 at least, whatever autocast is on.

        Args:
            vectors: [B, D], of unit length.
            labels: int64 [B], from 0 to the number of classes less 1 where a loss declares that it needs that.
            mixed: the labels that mixed photos have besides.
            between_weight: of the loss of vectors between two photos'; of mixed photos there are none.

        Raises:
            InputError: a label outside that range; on a GPU it is not looked for.
        """
        looked_at = labels.device.type == "cpu"  # a GPU would be waited for in every step
        if looked_at and len(labels) and any(LOSSES[name].has_parameters for name in self.losses):
            low, high = torch.stack(labels.aminmax()).tolist()
            if not 0 <= low <= high < self.classes:
                raise InputError(
                    f"labels run from {low} to {high}, but the loss was made for "
                    f"{self.classes} classes, 0 to {self.classes - 1}"
                )
        with without_autocast(vectors.device.type):
            precise = at_least_float32(vectors)
            given = (precise, labels) if mixed is None else (precise, labels, mixed)
            parts = {name: loss(*given) for name, loss in self.losses.items()}
            value = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum()
            if between_weight and mixed is None:
                further = [weight * self._between(name, precise, labels) for name, weight in self.weights.items()]
                value = value + between_weight * torch.stack(further).sum()
        return LossResult(value, {name: part.detach() for name, part in parts.items()} if len(parts) > 1 else {})

    def _between(self, name: str, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of vectors that lie between those of two photos."""
        if make := LOSSES[name].between:
            return make(between(vectors, labels, self.alpha), **self.options[name])
        vectors, mixed = between_classes(vectors, labels, self.alpha)
        value: Tensor = self.losses[name](vectors, labels, mixed)
        return value


def build_loss(
    settings: LossSettings, classes: int, dimension: int, ranks: Ranks = ALONE, mix: MixSettings | None = None
) -> MetricLoss:
    """Build the loss that the settings describe; its class vectors are drawn from torch's generator.

    Args:
        settings: names, weights, options, miner and memory.
        classes: C; labels run from 0 to C - 1.
        dimension: D of the vectors.
        ranks: who share the class vectors of Partial FC.
        mix: what is mixed in training, by losses that can use it (``embedder.conflicts``).

    Raises:
        InputError: a name, option, weight or miner that does not exist or does not go together.
    """
    if settings.memory < 0:
        raise InputError(f"loss.memory is {settings.memory}; it must be 0 for none, or more")
    names = split_names(settings.name)
    options = resolve_options(names, settings.options)
    weights = _weights(names, settings.weights)
    if not any(LOSSES[name].pairs for name in names):
        _refuse_pair_settings(settings)
    if settings.partial_fc and not any(LOSSES[name].softmax for name in names):
        able = ", ".join(name for name, contract in LOSSES.items() if contract.softmax)
        raise InputError(f"loss.partial_fc is {settings.partial_fc}, but {settings.name} is none of {able}")
    losses = {name: _build_one(name, settings, classes, dimension, options[name], ranks) for name in names}
    return MetricLoss(classes, losses, weights, options, (mix and mix.alpha) or ALPHA)


def _build_one(
    name: str, settings: LossSettings, classes: int, dimension: int, options: dict[str, Value], ranks: Ranks
) -> nn.Module:
    """One loss with its miner and memory, or over a share of the classes, where it takes them."""
    contract = LOSSES[name]
    if settings.partial_fc and contract.softmax:
        if classes < ranks.count:
            raise InputError(f"loss.partial_fc needs a class for each of {ranks.count} processes; there are {classes}")
        widen, scale = contract.softmax(**options)
        return ClassLoss(PartialFC(classes, dimension, widen, scale, settings.partial_fc, ranks))
    loss = contract.build(classes, dimension, **options)
    if not contract.pairs:
        return ClassLoss(loss)
    chosen = contract.miners[0] if settings.miner == "default" else settings.miner
    if chosen not in contract.miners:
        raise unknown(f"miner for {name}", chosen, contract.miners)
    miner = build_miner(chosen, float(options.get(contract.margin, 0.0)))
    if settings.memory and chosen == "easy-positive":
        raise InputError("in a memory, easy-positive finds only the photo itself; take another loss.miner")
    if settings.memory:
        return BatchMemory(loss, miner, dimension, settings.memory, settings.memory_start)
    return MinedLoss(loss, miner)


def _weights(names: list[str], given: dict[str, float]) -> dict[str, float]:
    """The weight of each named loss, 1 where none is given."""
    for name, weight in given.items():
        if name not in names:
            raise unknown("loss in loss.weights", name, names)
        if not 0.0 < weight < float("inf"):
            raise InputError(f"the weight of {name} is {weight}; it must be above 0")
    return {name: given.get(name, 1.0) for name in names}


def _refuse_pair_settings(settings: LossSettings) -> None:
    """A miner and a memory make no sense where no loss compares photos with photos."""
    if settings.miner not in ("default", "none"):
        raise InputError(f"loss.miner is {settings.miner!r}, but {settings.name} takes none; leave it at default")
    if settings.memory:
        raise InputError(f"loss.memory is {settings.memory}, but {settings.name} compares no photos; leave it at 0")
