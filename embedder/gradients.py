"""The gradients of one step: of the photos of all ranks, in one pass through the network or in chunks.

The loss sees the vectors of all ranks. With chunks the batch may be larger than the memory (Gao et al., "Scaling Deep
Contrastive Learning Batch Size under Memory Limited Setup", 2021, section 3): a first pass makes the vectors and keeps
nothing else, the loss gives the gradient of each vector, and a second pass, chunk by chunk, takes these into the
network. The gradients are those of the whole batch, for a forward pass more.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor

from embedder.augment.mixing import Mixed
from embedder.losses import LossResult
from embedder.optimizer import Optimizer
from embedder.part_centres import PartCentres
from embedder.randomness import keyed_generator
from embedder.ranks import Ranks
from eval.stages import stage

_NOT_COMPARED = -1  # a label


class Step(NamedTuple):
    """What a step has seen.

    Attributes:
        loss: of the whole batch; its value leaves the part-centre loss out, its parts have it, before weighting.
        vectors: [B, D] of all ranks, without a graph.
        labels: [B].
    """

    loss: LossResult
    vectors: Tensor
    labels: Tensor


class Embedded(NamedTuple):
    """What a step needs of what the network gives for a chunk; feature maps would fill the memory that chunks save.

    Attributes:
        vector: [b, D].
        part_features: [b, M, C], or None where no loss is of them.
    """

    vector: Tensor
    part_features: Tensor | None


class Gradients:
    """What leaves a step's gradients in the parameters of network and loss, the same on every rank."""

    def __init__(
        self,
        fabric: Fabric,
        ranks: Ranks,
        optimizer: Optimizer,
        loss: Callable[[Tensor, Tensor, Mixed | None, float], LossResult],
        seed: int,
        chunk_size: int,
        centres: PartCentres | None = None,
    ) -> None:
        """Remember what computes.

        Args:
            fabric: device and precision.
            ranks: who share the batch.
            optimizer: of network and loss.
            loss: vectors [B, D], labels [B], those of mixed photos and the weight of mixed vectors to a number.
            seed: of dropout and of random miners.
            chunk_size: photos that go through the network at once; 0 for all of a rank's.
            centres: a loss of what is seen of each part, or None.
        """
        self.centres = centres
        self.fabric, self.ranks = fabric, ranks
        self.network, self.replicated = optimizer.network, optimizer.replicated
        self.loss, self.seed, self.chunk_size = loss, seed, chunk_size

    def add(
        self,
        step: int,
        images: Tensor,
        labels: Tensor,
        total: int,
        mixed: Mixed | None = None,
        between_weight: float = 0.0,
        unchanged: Tensor | None = None,
    ) -> Step:
        """Add the gradients of one batch.

        Args:
            step: its number.
            images: this rank's photos, uint8 [b, S, S, 3].
            labels: [b].
            total: B, the photos of all ranks.
            mixed: what the labels of mixed photos are besides; on all ranks or on none.
            between_weight: of the loss of vectors between two photos'.
            unchanged: bool [b], the photos whose parts are those of their class, and have a part in the centres; None
                for all. Seen closer or painted over, a part is something else.
        """
        at_once = self.chunk_size or max(1, len(images))
        chunks = torch.split(images, at_once)
        centred = self.centres is not None and mixed is None
        compared = labels if unchanged is None else labels.masked_fill(~unchanged, _NOT_COMPARED)
        own_compared = torch.split(compared, at_once)
        compared = self.ranks.gather(compared, total) if centred else compared
        cached = 0 < self.chunk_size < -(-total // self.ranks.count)  # alike on all ranks, whatever their shares
        with stage("forward"):
            with torch.no_grad() if cached else nullcontext():
                outputs = [self._embed(step, *chunk) for chunk in enumerate(chunks)]
                own = torch.cat([output.vector for output in outputs])
            own.requires_grad_()
            vectors, labels = self.ranks.gather(own, total), self.ranks.gather(labels, total)
            mixed = mixed and Mixed(*(self.ranks.gather(part, total) for part in mixed))
            seed_torch("loss", self.seed, step)  # the same on every rank, however many photos each has embedded
            loss = self.loss(vectors, labels, mixed, between_weight)
            minimised = loss.value
            if centred and not cached:  # else it is of the second pass
                minimised = minimised + sum(map(partial(self._spread, compared), outputs, own_compared))
        with stage("backward"):
            self.fabric.backward(minimised)
            if cached:
                assert own.grad is not None
                gradients = torch.split(own.grad, self.chunk_size)
                spread = partial(self._spread, compared) if centred else None
                self._second_pass(step, chunks, gradients, own_compared, spread)
            self.ranks.mean_gradients(self.replicated)
        apart = self._move_centres(outputs, compared, total) if centred else {}
        return Step(loss._replace(parts={**loss.parts, **apart}), vectors.detach(), labels)

    def _spread(self, everyone: Tensor, output: Embedded, compared: Tensor) -> Tensor:
        """How far what is seen of the parts is from their centres: the mean over all photos, of these ones.

        Times the number of ranks, over which the network's gradients are averaged.

        Args:
            everyone: the labels of all photos [B], ``_NOT_COMPARED`` where a photo does not count.
            output: of some of this rank's photos.
            compared: their labels [b], likewise.
        """
        assert self.centres is not None
        assert output.part_features is not None
        counts, total = compared != _NOT_COMPARED, (everyone != _NOT_COMPARED).sum().clamp(min=1)
        apart: Tensor = self.centres(output.part_features[counts], compared[counts]).sum() * self.ranks.count / total
        return apart

    @torch.no_grad()
    def _move_centres(self, outputs: list[Embedded], everyone: Tensor, total: int) -> dict[str, Tensor]:
        """Let the centres follow what is seen, and say how far that was from them, before weighting."""
        assert self.centres is not None
        seen = self.ranks.gather(torch.cat([cast(Tensor, output.part_features) for output in outputs]), total)
        counts = everyone != _NOT_COMPARED
        if not counts.any():
            return {}
        seen, labels = seen[counts], everyone[counts]
        apart = self.centres(seen, labels).mean() / self.centres.weight
        self.centres.update(seen, labels)
        return {"part_centre": apart}

    @torch.no_grad()
    def places(self, images: Tensor) -> Tensor:
        """Where the network looks in this rank's photos, [b, M, h, w], in evaluation and without a graph."""
        training = self.network.training
        self.network.eval()
        chunks = torch.split(images, self.chunk_size or max(1, len(images)))
        with self.fabric.autocast():  # as in a step, which goes through Fabric's wrapping
            places = torch.cat([self.network.module.seen(chunk).places for chunk in chunks])
        self.network.train(training)
        return places

    def _second_pass(
        self,
        step: int,
        chunks: tuple[Tensor, ...],
        gradients: tuple[Tensor, ...],
        compared: tuple[Tensor, ...],
        spread: Callable[[Embedded, Tensor], Tensor] | None,
    ) -> None:
        """Take the gradients of the vectors into the network; ranks speak to each other in the last chunk alone."""
        for number, (chunk, gradient) in enumerate(zip(chunks, gradients, strict=True)):
            alone = self.ranks.count > 1 and number < len(chunks) - 1
            with self.fabric.no_backward_sync(self.network) if alone else nullcontext():
                output = self._embed(step, number, chunk)
                along = (output.vector * gradient).sum()
                self.fabric.backward(along + spread(output, compared[number]) if spread else along)

    def _embed(self, step: int, chunk: int, images: Tensor) -> Embedded:
        """What the network gives for a chunk, whose dropout is the same whenever it is asked for."""
        seed_torch("forward", self.seed, step, self.ranks.rank, chunk)
        output = self.network(images)
        return Embedded(output.vector, output.part_features if self.centres else None)


def seed_torch(*key: int | str) -> None:
    """Make torch's random numbers a function of a key."""
    torch.manual_seed(int(keyed_generator(*key).integers(2**63)))
