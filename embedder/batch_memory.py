"""Cross-batch memory: a pair loss that also compares with the vectors of past batches."""

from typing import Any

import torch
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn

from eval.errors import InputError


class BatchMemory(CrossBatchMemory):
    """The library's memory, started late and resumed exactly.

    Wang et al., "Cross-Batch Memory for Embedding Learning" (2020), section 3. Vectors drift fast at first, so for the
    first steps the loss sees its batch alone.
    """

    def __init__(self, loss: nn.Module, miner: Any, dimension: int, size: int, start: int) -> None:
        """Wrap a loss.

        Args:
            loss: a pair or triplet loss of the library.
            miner: what chooses its pairs or triplets, or None.
            dimension: D of the vectors.
            size: how many past vectors are kept.
            start: how many steps go by before the first is kept.
        """
        super().__init__(loss, dimension, memory_size=size, miner=miner)
        self.start, self.steps = start, 0

    def forward(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of vectors [B, D] with labels [B] against the batch, or against the memory with the batch in it.

        Raises:
            InputError: the memory is smaller than the batch.
        """
        if len(vectors) > self.memory_size:
            raise InputError(f"loss.memory is {self.memory_size}, less than a batch of {len(vectors)} photos; raise it")
        self.steps += 1
        if self.steps <= self.start:
            return self.loss(vectors, labels, self.miner(vectors, labels) if self.miner else None)
        return super().forward(vectors, labels)

    def get_extra_state(self) -> Tensor:
        """What the library leaves out of the state dict: where the next vector goes, whether all places are taken."""
        return torch.tensor([self.queue_idx, self.has_been_filled, self.steps])

    def set_extra_state(self, state: Tensor) -> None:
        """Take it up again."""
        queue_idx, filled, self.steps = state.tolist()
        self.queue_idx, self.has_been_filled = queue_idx, bool(filled)
