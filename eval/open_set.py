"""Telling photos of unknown classes from those of known ones by a score, such as the nearest reference's similarity.

A known photo's class has references, an unknown one's has none. A higher score speaks for known.
"""

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError

Scores = NDArray[np.floating]


def auroc(known: Scores, unknown: Scores) -> float:
    """The probability that a known photo scores higher than an unknown one, ties counting half; in [0, 1].

    The area under the ROC curve (Mann and Whitney 1947). 0.5 is chance, and 1 is a score that parts them.

    Args:
        known: ``[K]`` scores of photos whose class has references.
        unknown: ``[U]`` scores of photos whose class has none.

    Raises:
        InputError: a side is empty, or a score is not a number.
    """
    _check(known, unknown)
    ordered = np.sort(unknown)
    below = np.searchsorted(ordered, known, "left")
    at_most = np.searchsorted(ordered, known, "right")
    return float((below + at_most).mean() / (2 * len(unknown)))


def false_positive_rate(known: Scores, unknown: Scores, true_positive_rate: float = 0.95) -> float:
    """The share of unknown photos taken for known, at the highest threshold that accepts enough known ones; in [0, 1].

    At 95 % it is the FPR95 of Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
    Examples" (2017), and of those who came after. Accepted is what scores at least the threshold.

    Args:
        known: ``[K]`` scores of photos whose class has references.
        unknown: ``[U]`` scores of photos whose class has none.
        true_positive_rate: the share of known photos that must be accepted, in (0, 1].

    Raises:
        InputError: a side is empty, a score is not a number, or the rate is out of its range.
    """
    _check(known, unknown)
    if not 0 < true_positive_rate <= 1:
        raise InputError(f"true_positive_rate is {true_positive_rate}; it must be above 0 and at most 1")
    accepted = int(np.ceil(true_positive_rate * len(known) - 1e-9))
    threshold = np.sort(known)[len(known) - accepted]
    return float((unknown >= threshold).mean())


def _check(known: Scores, unknown: Scores) -> None:
    """Refuse sides that cannot be compared."""
    for name, scores in (("known", known), ("unknown", unknown)):
        if len(scores) == 0:
            raise InputError(f"there are no {name} photos; both known and unknown ones are needed")
        if np.isnan(scores).any():
            raise InputError(f"score {np.flatnonzero(np.isnan(scores))[0]} of the {name} photos is not a number")
