"""Do stated probabilities come true? What a calibration is judged by."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError

BINS = 15
"""Bins of confidence, as in the paper."""


@dataclass(frozen=True)
class Coverage:
    """How label sets did: the share of queries whose set holds the right label, and the mean size of a set."""

    share: float
    mean_size: float


def expected_calibration_error(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = BINS
) -> float:
    """By how much stated confidence and accuracy differ, on average over bins of confidence; in [0, 1], 0 is perfect.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, equation 3: bins of equal width,
    each open to the left. It is biased upwards where bins hold few queries.

    Args:
        confidences: ``[Q]``, each in [0, 1].
        correct: ``[Q]``, whether the answer was right.
        bins: how many.

    Raises:
        InputError: there are no queries, not as many of both, or a confidence that is no probability.
    """
    if len(confidences) == 0 or len(confidences) != len(correct):
        raise InputError(
            f"{len(confidences)} confidences for {len(correct)} answers; each needs one, and one is the least"
        )
    if not ((confidences >= 0) & (confidences <= 1)).all():
        wrong = np.flatnonzero(~((confidences >= 0) & (confidences <= 1)))[0]
        raise InputError(f"confidence {wrong} is {confidences[wrong]}; it must be from 0 to 1")
    places = np.maximum(np.ceil(confidences * bins).astype(int) - 1, 0)
    gaps = np.bincount(places, confidences - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidences))


def coverage(sets: NDArray[np.bool_], codes: NDArray[np.int64]) -> Coverage:
    """How often label sets hold the right label, and how large they are.

    Args:
        sets: ``[Q, L]``, which labels are in each query's set.
        codes: ``[Q]``, the right labels; one that is not among the L (below 0) is in no set.

    Raises:
        InputError: there are no queries or no labels, not as many of both, or a code that is none of the labels.
    """
    if sets.ndim != 2 or len(sets) == 0 or len(sets) != len(codes):
        raise InputError(f"sets have the shape {list(sets.shape)}; it must be [{len(codes)}, labels], and not empty")
    if codes.max() >= sets.shape[1]:
        raise InputError(f"code {codes.max()} is none of the {sets.shape[1]} labels; they count from 0")
    held = (codes >= 0) & sets[np.arange(len(codes)), codes]
    return Coverage(float(held.mean()), float(sets.sum(axis=1).mean()))
