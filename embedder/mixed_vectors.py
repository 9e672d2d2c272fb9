"""A loss of vectors that lie between two photos', which tells the space what is between classes.

Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning" (Metrix, 2022), sections 3.3 and 3.4, at
the level of vectors. Those of two photos are mixed in a random proportion and divided by their length. What lies
between a positive and a negative of a photo is its positive with the weight of the one, and its negative with that of
the other.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.augment.mixing import Mixed

ALPHA = 2.0
"""Of the Beta distribution of proportions (section 4.1)."""

_LEAST = 1e-6


class Between(NamedTuple):
    """Vectors between a positive and a negative of each photo.

    Attributes:
        cosines: [B, B] of photo i with what lies between one of its positives and photo j.
        shares: [B, B], how much of it is the positive.
        known: bool [B, B], whether j is a negative of i, and i has a positive.
    """

    cosines: Tensor
    shares: Tensor
    known: Tensor


def between(vectors: Tensor, labels: Tensor, alpha: float) -> Between:
    """Mix a positive of each photo with each of its negatives: another photo of its class, or at times itself.

    It is itself half of the time, by chance, for all of a batch. Nothing but the cosines between photos is needed: of
    unit vectors p and n the length of s p + (1 - s) n is the root of s^2 + (1 - s)^2 + 2 s (1 - s) cos(p, n).

    Args:
        vectors: [B, D], of unit length.
        labels: [B].
        alpha: of the Beta distribution of proportions.
    """
    cosines = vectors @ vectors.T
    same = labels[:, None] == labels
    others = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    itself = bool(torch.rand(()) < 0.5)
    if itself:
        positive = torch.arange(len(labels), device=labels.device)[:, None].expand_as(same)
        known = ~same
    else:
        first = others.to(torch.int8).argsort(1, descending=True)
        place = torch.rand(same.shape).to(cosines) * others.sum(1, keepdim=True)
        positive = first.gather(1, place.long())
        known = ~same & others.any(1, keepdim=True)
    share = drawn(alpha, cosines)
    with_positive, with_negative = cosines.gather(1, positive), cosines
    of_both = cosines[positive, torch.arange(len(labels), device=labels.device)]
    squared = share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * of_both
    mixed = (share * with_positive + (1 - share) * with_negative) / squared.clamp(min=_LEAST).sqrt()
    return Between(mixed, share, known)


def between_classes(vectors: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Mixed]:
    """Mix each vector with another one of the batch, for losses with class vectors.

    Returns:
        Vectors [B, D] of unit length, and the labels of the partners with the weights of both.
    """
    partner = torch.randperm(len(labels)).to(labels.device)
    share = drawn(alpha, vectors[:, 0])
    mixed = F.normalize(share[:, None] * vectors + (1 - share[:, None]) * vectors[partner])
    others = labels[partner]
    share = torch.where(others == labels, torch.ones_like(share), share)
    return mixed, Mixed(others, torch.stack([share, 1 - share], 1))


def drawn(alpha: float, like: Tensor) -> Tensor:
    """Proportions from Beta(alpha, alpha), by torch's own random numbers; as many as there are numbers in ``like``."""
    # For a batch of 4,096 a core takes seconds. Of other devices not all have the distribution.
    side = torch.tensor(alpha, device=like.device if like.is_cuda else "cpu")
    return torch.distributions.Beta(side, side).sample(like.shape).to(like)


def contrastive_between(mixed: Between, *, positive_margin: float, negative_margin: float) -> Tensor:
    """The contrastive loss of mixed vectors: the mean of what is not yet near enough, and of what is too near."""
    pulled = mixed.shares * (positive_margin - mixed.cosines).clamp(min=0.0)
    pushed = (1 - mixed.shares) * (mixed.cosines - negative_margin).clamp(min=0.0)
    return _mean_of_what_counts(pulled, mixed.known) + _mean_of_what_counts(pushed, mixed.known)


def multi_similarity_between(mixed: Between, *, alpha: float, beta: float, base: float, epsilon: float) -> Tensor:
    """The multi-similarity loss of mixed vectors, without mining."""
    known = torch.where(mixed.known, 0.0, -torch.inf).to(mixed.cosines)
    pulled = _soft_sum(alpha * (base - mixed.cosines) + mixed.shares.log() + known) / alpha
    pushed = _soft_sum(beta * (mixed.cosines - base) + (1 - mixed.shares).log() + known) / beta
    return (pulled + pushed).mean()


def _soft_sum(terms: Tensor) -> Tensor:
    """The logarithm of 1 + sum of exp(x) over each row."""
    return torch.cat([torch.zeros_like(terms[:, :1]), terms], 1).logsumexp(1)


def _mean_of_what_counts(losses: Tensor, known: Tensor) -> Tensor:
    """The mean over the pairs that have a loss, as the library takes it; 0 where none has."""
    counted = known & (losses > 0)
    return (losses * counted).sum() / counted.sum().clamp(min=1)
