"""From scores to promises: thresholds for a rate of false accepts, label sets of a stated coverage, temperatures.

Everything here is a function of scores, so that the index and the evaluation cannot differ. What each function promises
stands in its docstring, with its condition, and nothing more is promised.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.vote import sharpened, softmax

Scores = NDArray[np.floating]
Codes = NDArray[np.int64]

LEVELS = 20
"""Bisections of the level of ``expected_threshold``: to a millionth."""

TIE = 1e-9
"""How far apart two scores may be that are the same but for rounding."""

_SMALLEST_SHARE = 1e-6  # what a label without any vote is given, so that its logarithm is finite


def unknown_threshold(scores: Scores, codes: Codes, false_accepts: float) -> float:
    """The threshold at which at most a share ``false_accepts`` of photos of new classes score higher, in expectation.

    The promise: draw a class like those of ``codes`` (exchangeable with them), and a photo of it: the probability that
    it scores above the threshold is at most ``false_accepts``, over the draw of all classes. It says nothing of photos
    of another kind. The class is the unit: many photos of few classes do not make up for few classes (Lee, Barber and
    Willett, "Distribution-free inference with hierarchical data", 2023, section 3.1: each class has the same weight,
    and one weight more stands for the new class).

    Args:
        scores: ``[Q]``, each of a photo whose whole class was hidden from the references.
        codes: ``[Q]``, their classes.
        false_accepts: the rate, in (0, 1).

    Returns:
        The threshold; infinity where there are too few classes for such a rate (fewer than ``1 / rate - 1``).

    Raises:
        InputError: there are no scores, not as many codes, or the rate is out of its range.
    """
    _check_threshold(scores, codes, false_accepts)
    _, classes, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(scores)
    weights = 1.0 / (sizes[classes[order]] * (len(sizes) + 1))
    reached = np.cumsum(weights) >= 1 - false_accepts - 1e-12
    return float(scores[order][np.argmax(reached)]) if reached.any() else math.inf


def expected_threshold(scores: Scores, codes: Codes, false_accepts: float) -> float:
    """The threshold at which a share ``false_accepts`` of photos of new classes are expected to score higher.

    ``unknown_threshold`` promises no more than the rate, and with few classes gives less. Here the rate is met on
    average: thresholds at many levels are found from all classes but one, and tried on that one, each class in turn; of
    those that accept no more than the rate the least is taken (leave-one-class-out cross-validation; Stone 1974). So
    the promise is an estimate, for classes like those of ``codes``, and no bound.

    Args:
        scores: as for ``unknown_threshold``.
        codes: likewise.
        false_accepts: likewise.

    Returns:
        The threshold: never above the greatest score.

    Raises:
        InputError: as for ``unknown_threshold``.
    """
    _check_threshold(scores, codes, false_accepts)
    _, classes, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(-scores, kind="stable")
    weights = 1.0 / sizes[classes[order]]  # each class weighs 1
    above = np.cumsum(weights)
    within = np.empty_like(above)  # the same of the class of each score alone
    for one in range(len(sizes)):
        mine = classes[order] == one
        within[mine] = np.cumsum(weights[mine])
    low, high = 0.0, 1.0
    for _ in range(LEVELS):
        level = (low + high) / 2
        accepted = above - within <= level * (len(sizes) - 1) + 1e-9  # above the threshold of the other classes
        low, high = (level, high) if (weights @ accepted) / len(sizes) <= false_accepts else (low, level)
    # With the mass that the other classes had above it: a class more, so that a compact one cannot slip in as a whole.
    place = int(np.searchsorted(above, low * (len(sizes) - 1) + 1e-9, side="right"))
    return float(scores[order][min(place, len(scores) - 1)])


def label_set_threshold(shares: Scores, coverage: float) -> float:
    """The least share of the vote with which a label belongs to the label set.

    Split conformal prediction (Vovk, Gammerman and Shafer 2005; Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued
    Classifiers with Bounded Error Levels", 2019). The promise: a set of all labels with at least this share holds the
    right one with a probability of at least ``coverage``, for queries exchangeable with those of ``shares``; on average
    over labels, not for each of them.

    Args:
        shares: ``[Q]``, the share that the right label got, of photos that are never searched against.
        coverage: in (0, 1).

    Returns:
        The threshold; minus infinity, so that every label belongs, where there are fewer photos than
        ``1 / (1 - coverage) - 1``.

    Raises:
        InputError: there are no shares, or the coverage is out of its range.
    """
    _check_rate("coverage", coverage)
    _check_scores(shares)
    place = math.floor((len(shares) + 1) * (1 - coverage) + 1e-9)
    return float(np.sort(shares)[place - 1]) if place >= 1 else -math.inf


def leave_one_out_set(
    right: Scores, candidates: Scores, coverage: float, groups: Codes | None = None
) -> NDArray[np.bool_]:
    """Which labels belong to the label set of one query, where each reference was scored with its own group left out.

    The jackknife+ for labels (Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+", 2021;
    Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", 2020, section 2.3). A label is in the
    set unless too many references fit their own label better than the query fits this one. The promise is a coverage of
    at least ``2 * coverage - 1`` for a photo of a new group like these, in practice about ``coverage``. Each group has
    the same weight, however many photos it has (Lee, Barber and Willett 2023, section 3.2).

    Args:
        right: ``[N]``, the score of each reference's own label, its group left out.
        candidates: ``[N, L]``, the query's score of each label, the group of that reference left out. Scores no
            further apart than ``TIE`` are the same: they are sums, and rounded.
        coverage: in (0, 1).
        groups: ``[N]``, which references belong together, such as photos of one individual; none where each is alone.

    Returns:
        ``[L]``.

    Raises:
        InputError: there are no scores, or not as many of both kinds, or the coverage is out of its range.
    """
    _check_rate("coverage", coverage)
    _check_scores(right)
    if candidates.ndim != 2 or len(candidates) != len(right):
        raise InputError(f"candidates have the shape {list(candidates.shape)}; it must be [{len(right)}, labels]")
    if np.isnan(candidates).any():
        raise InputError("a candidate's score is not a number")
    if groups is not None and len(groups) != len(right):
        raise InputError(f"{len(groups)} groups for {len(right)} references; each reference needs one")
    _, members, sizes = np.unique(
        np.arange(len(right)) if groups is None else groups, return_inverse=True, return_counts=True
    )
    better = (1 / sizes[members]) @ (right[:, None] > candidates + TIE)
    return np.asarray(better < coverage * (len(sizes) + 1) - 1e-9)


def vote_temperature(similarities: Scores, relevant: NDArray[np.bool_]) -> float:
    """The temperature of the vote at which the right label's share is the best probability.

    It minimises the mean negative logarithm of the share of the right label (Guo, Pleiss, Sun and Weinberger, "On
    Calibration of Modern Neural Networks", 2017, section 4.2), between 0.001 and 10.

    Args:
        similarities: ``[Q, k]`` cosines of the nearest references.
        relevant: ``[Q, k]``, whether they are of the query's class.

    Raises:
        InputError: there are no queries, the shapes differ, or a similarity is not finite.
    """
    _check_votes("similarities", similarities, relevant)
    if not np.isfinite(similarities).all():
        row = np.flatnonzero(~np.isfinite(similarities).all(axis=1))[0]
        raise InputError(f"a similarity of query {row} is not finite; leave queries without neighbours out")

    def loss(logarithm: float) -> float:
        return _mean_loss(softmax(similarities, math.exp(logarithm)), relevant)

    return math.exp(_minimum(loss, math.log(1e-3), math.log(10.0)))


def pool_sharpness(shares: Scores, relevant: NDArray[np.bool_]) -> float:
    """The sharpness (``eval.vote.sharpened``) at which the right label's share is the best probability.

    As ``vote_temperature``, between 0.1 and 10.

    Args:
        shares: ``[Q, L]``, of the labels that each query may have, every label once; 0 for none.
        relevant: ``[Q, L]``, whether it is the right one.

    Raises:
        InputError: there are no queries, the shapes differ, or a share is not in [0, 1].
    """
    _check_votes("shares", shares, relevant)
    if not ((shares >= 0) & (shares <= 1 + 1e-9)).all():
        raise InputError("a share is not from 0 to 1; give those of a vote")

    def loss(logarithm: float) -> float:
        return _mean_loss(sharpened(shares, math.exp(logarithm)), relevant)

    return math.exp(_minimum(loss, math.log(0.1), math.log(10.0)))


def _mean_loss(shares: Scores, relevant: NDArray[np.bool_]) -> float:
    """The mean negative logarithm of the share of the right label."""
    return float(-np.log(np.maximum((shares * relevant).sum(axis=1), _SMALLEST_SHARE)).mean())


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is least: the best of 64 even steps, then golden sections around it (Kiefer 1953)."""
    steps = np.linspace(low, high, 65)
    best = int(np.argmin([function(float(step)) for step in steps]))
    low, high = float(steps[max(best - 1, 0)]), float(steps[min(best + 1, 64)])
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if function(left) <= function(right) else (left, high)
    return (low + high) / 2


def _check_votes(name: str, votes: Scores, relevant: NDArray[np.bool_]) -> None:
    """Refuse votes from which nothing can be learned."""
    if votes.ndim != 2 or votes.size == 0 or votes.shape != relevant.shape:
        raise InputError(
            f"{name} have the shape {list(votes.shape)} and relevance {list(relevant.shape)}; both must be [queries, "
            "voters] with at least one query"
        )


def _check_threshold(scores: Scores, codes: Codes, false_accepts: float) -> None:
    """Refuse what no threshold can be found from."""
    _check_rate("false_accepts", false_accepts)
    _check_scores(scores)
    if len(codes) != len(scores):
        raise InputError(f"{len(scores)} scores of {len(codes)} photos; each photo needs one")


def _check_rate(name: str, rate: float) -> None:
    """Refuse what is no share."""
    if not 0 < rate < 1:
        raise InputError(f"{name} is {rate}; it must be above 0 and below 1")


def _check_scores(scores: Scores) -> None:
    """Refuse scores from which nothing can be learned."""
    if len(scores) == 0:
        raise InputError("there are no scores to calibrate with; give photos that the index does not hold")
    if np.isnan(scores).any():
        raise InputError(f"score {np.flatnonzero(np.isnan(scores))[0]} is not a number")
