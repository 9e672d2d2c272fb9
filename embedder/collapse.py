"""Seeing from a batch whether the vectors still tell classes apart, or have collapsed into one place.

A collapsed triplet loss sits still at its margin and looks as if it were training; these numbers do not.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

_COLLAPSED = 0.05  # cosine distance: vectors of different classes lie within about 18 degrees of each other


@torch.no_grad()
def batch_statistics(vectors: Tensor, labels: Tensor, margin: float) -> dict[str, Tensor]:
    """Mean distances within and between the classes of a batch, and the share of triplets that are not yet apart.

    Args:
        vectors: [B, D], of unit length.
        labels: int64 [B].
        margin: cosine distance by which a negative should be farther than a positive.

    Returns:
        ``positive_distance`` and ``negative_distance``, cosine distances in [0, 2], and ``active_triplets``, in [0, 1];
        each 0 where the batch has no such pair.
    """
    distances = 1.0 - vectors.float() @ vectors.float().T
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    # Each row's negatives in order, so that one binary search a positive counts those nearer than it, plus the margin.
    negatives = distances.masked_fill(same, torch.inf).sort(dim=1).values
    nearer = torch.searchsorted(negatives, distances + margin)
    triplets = (positive.sum(1) * (~same).sum(1)).sum()
    return {
        "active_triplets": (nearer * positive).sum() / triplets.clamp(min=1),
        "positive_distance": (distances * positive).sum() / positive.sum().clamp(min=1),
        "negative_distance": (distances * ~same).sum() / (~same).sum().clamp(min=1),
    }


def looks_collapsed(statistics: Mapping[str, float]) -> bool:
    """Whether photos of different classes have come to lie in one place.

    Args:
        statistics: of a batch, or their means over an epoch; without them nothing is said.
    """
    return float(statistics.get("negative_distance", 2.0)) < _COLLAPSED
