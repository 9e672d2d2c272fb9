"""Miners by name: which pairs or triplets of a batch a loss looks at. Similarities are cosines throughout."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.miners import (
    BatchEasyHardMiner,
    BatchHardMiner,
    DistanceWeightedMiner,
    MultiSimilarityMiner,
    TripletMarginMiner,
)
from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices
from torch import Tensor

from eval.errors import unknown


class PerAnchorDistanceWeightedMiner(DistanceWeightedMiner):
    """The library's, but that each anchor's weights are taken in proportion to its own.

    The library divides them by the greatest weight of the whole batch first. In many dimensions they differ by more
    than a number can hold, so that beside one pair of look-alikes all other anchors were left without a negative.
    """

    def mine(self, embeddings: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> tuple[Tensor, ...]:
        """Anchors, positives and negatives [T] of so many triplets; none of vectors that are not finite."""
        distances = self.distance(embeddings, ref_emb).clamp(min=self.cutoff)
        dimension = embeddings.shape[1]
        log_weights = (2 - dimension) * distances.log() - (dimension - 3) / 2 * (1 - distances.square() / 4).log()
        drawn = (labels[:, None] != ref_labels) & (distances < self.nonzero_loss_cutoff)
        shares = log_weights.masked_fill(~drawn, -torch.inf).softmax(1).nan_to_num(0.0)  # 0 where none is drawn
        triplets: tuple[Tensor, ...] = get_random_triplet_indices(labels, ref_labels=ref_labels, weights=shares)
        return triplets


MINERS: dict[str, Callable[[float], Any]] = {
    "none": lambda margin: None,
    "all": lambda margin: TripletMarginMiner(margin, "all", distance=CosineSimilarity()),
    "semi-hard": lambda margin: TripletMarginMiner(margin, "semihard", distance=CosineSimilarity()),
    "hard": lambda margin: BatchHardMiner(distance=CosineSimilarity()),
    "easy-positive": lambda margin: BatchEasyHardMiner("easy", "semihard", distance=CosineSimilarity()),
    "distance-weighted": lambda margin: PerAnchorDistanceWeightedMiner(),
    "multi-similarity": MultiSimilarityMiner,
}
"""Each miner's builder, given the margin of the loss that it mines for.

- none: every pair or triplet.
- all: every triplet whose negative is not farther than its positive by the margin.
- semi-hard: of those, the ones whose negative is still the farther (Schroff et al. 2015, section 3.2).
- hard: each photo with its farthest positive and its nearest negative (Hermans et al. 2017, section 2).
- easy-positive: with its nearest positive and the nearest negative beyond that (Xuan et al. 2020, section 3).
- distance-weighted: negatives drawn evenly over their distances (Wu et al. 2017, section 4), nearer ones as if at 0.5;
  those beyond 1.4, of a cosine below 0.02, are not drawn.
- multi-similarity: pairs within the margin of the hardest of the other kind (Wang et al. 2019, section 4).
"""


def build_miner(name: str, margin: float) -> Any:
    """Build a miner, or None where every pair or triplet is looked at.

    Raises:
        InputError: an unknown name.
    """
    if name not in MINERS:
        raise unknown("miner", name, MINERS)
    return MINERS[name](margin)
