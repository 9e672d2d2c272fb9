"""The similarity-weighted vote: which label the nearest references or prototypes speak for, for one query or many."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError

TEMPERATURE = 0.07
"""The default: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (DINO, 2021), section F.1."""

VOTERS = 10
"""Neighbours that vote where nobody asks for another number."""

_QUERIES_AT_ONCE = 4096


@dataclass(frozen=True)
class Candidate:
    """A label and its share of the vote, in [0, 1]; the shares of all candidates add up to 1."""

    label: str
    share: float


def vote(
    similarities: NDArray[np.float32], labels: Sequence[str | None], temperature: float = TEMPERATURE
) -> list[Candidate]:
    """Let the nearest references vote for their labels, each with the weight exp(similarity / temperature).

    Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4.

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
    _check_temperature(temperature)
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


def elected(
    similarities: NDArray[np.float32], codes: NDArray[np.int64], temperature: float = TEMPERATURE
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The label that wins ``vote`` and its share, for many queries at once.

    Args:
        similarities: ``[Q, k]`` cosines of the nearest references, nearest first; -inf where there is none.
        codes: ``[Q, k]``, their labels as numbers; one below 0 has no vote.
        temperature: as for ``vote``.

    Returns:
        ``[Q]`` codes, -1 where no reference has a vote, and ``[Q]`` shares in [0, 1].

    Raises:
        InputError: ``temperature`` is not above 0.
    """
    _check_temperature(temperature)
    winners, shares = np.full(len(codes), -1), np.zeros(len(codes))
    for start in range(0, len(codes), _QUERIES_AT_ONCE):
        some = codes[start : start + _QUERIES_AT_ONCE]
        cosines = similarities[start : start + _QUERIES_AT_ONCE].astype(np.float64)
        voting = (some >= 0) & np.isfinite(cosines)
        cosines[~voting] = -np.inf
        nearest = np.maximum(cosines.max(axis=1, keepdims=True), -1.0)
        weights = np.exp((cosines - nearest) / temperature)
        # Added up one by one, nearest first, as vote does it, so that both break the same ties.
        labels = np.arange(len(some))[:, None] * (some.max(initial=0) + 2) + some + 1
        _, places = np.unique(labels, return_inverse=True)
        totals = np.bincount(places.ravel(), weights.ravel())[places.reshape(some.shape)]
        best = np.where(voting, totals, -1.0).argmax(axis=1)  # of equal ones the first, which is the nearest
        elects = np.take_along_axis(some, best[:, None], axis=1)[:, 0]
        votes = voting.any(axis=1)
        winners[start : start + len(some)] = np.where(votes, elects, -1)
        most = np.take_along_axis(totals, best[:, None], axis=1)[:, 0]
        np.divide(most, weights.sum(axis=1), out=shares[start : start + len(some)], where=votes)
    # NumPy adds the weights of a row up in another order, and the last digit may be another.
    np.minimum(shares, 1.0, out=shares)
    return winners, shares


def softmax(similarities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """The share of each voter: exp(similarity / temperature), scaled to add up to 1.

    Args:
        similarities: ``[..., k]`` cosines; -inf where there is no voter.
        temperature: as for ``vote``.

    Returns:
        ``[..., k]`` in [0, 1]; zeros where no voter is there at all.

    Raises:
        InputError: ``temperature`` is not above 0.
    """
    _check_temperature(temperature)
    cosines = similarities.astype(np.float64)
    nearest = np.maximum(cosines.max(axis=-1, keepdims=True, initial=-np.inf), -1.0)
    weights = np.exp((cosines - nearest) / temperature)
    total = weights.sum(axis=-1, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0)


def sharpened(shares: NDArray[np.floating], sharpness: float) -> NDArray[np.float64]:
    """Shares to the power of ``sharpness``, scaled to add up to 1 again.

    The mean of two calibrated votes is less sure than it may be; a power above 1 makes up for it (Ranjan and Gneiting,
    "Combining probability forecasts", 2010).

    Args:
        shares: ``[..., L]`` of labels, in [0, 1].
        sharpness: 1 leaves them as they are.

    Raises:
        InputError: ``sharpness`` is not above 0.
    """
    if not sharpness > 0:
        raise InputError(f"sharpness is {sharpness}; it must be above 0")
    powers = shares.astype(np.float64) ** sharpness
    total = powers.sum(axis=-1, keepdims=True)
    return np.divide(powers, total, out=powers, where=total > 0)


def _check_temperature(temperature: float) -> None:
    """Refuse what cannot weigh votes."""
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; it must be above 0")
