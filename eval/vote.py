"""The similarity-weighted k-NN vote: which label the nearest references speak for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError


@dataclass(frozen=True)
class Candidate:
    """A label and its share of the vote, in [0, 1]; the shares of all candidates add up to 1."""

    label: str
    share: float


def vote(similarities: NDArray[np.float32], labels: Sequence[str | None], temperature: float = 0.07) -> list[Candidate]:
    """Let the nearest references vote for their labels, each with the weight exp(similarity / temperature).

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4; this
    temperature: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (DINO, 2021), appendix F.1.

    Args:
        similarities: ``[k]`` cosines of the nearest references.
        labels: ``k`` labels; a reference without one has no vote.
        temperature: towards 0 the nearest decides alone, towards infinity all count alike.

    Returns:
        The labels, the largest share first; of equal shares, the one with the nearer best reference. Empty where no
        reference has a label.

    Raises:
        InputError: ``temperature`` is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it must be above 0")
    votes = [(float(one), label) for one, label in zip(similarities, labels, strict=True) if label is not None]
    if not votes:
        return []
    best: dict[str, float] = {}
    weights: dict[str, float] = {}
    nearest = max(similarity for similarity, _ in votes)
    for similarity, label in votes:
        best[label] = max(similarity, best.get(label, -1.0))
        weights[label] = weights.get(label, 0.0) + np.exp((similarity - nearest) / temperature)
    order = sorted(weights, key=lambda label: (-weights[label], -best[label]))
    total = sum(weights.values())
    return [Candidate(label, float(weights[label] / total)) for label in order]
