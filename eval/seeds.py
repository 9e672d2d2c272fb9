"""Is one recipe better than another? Several seeds of each: one training says nothing about the next."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.errors import InputError


@dataclass(frozen=True)
class Spread:
    """A metric over several trainings that differ in their seed.

    Attributes:
        mean: over the trainings.
        deviation: the standard deviation of the population that they are drawn from (divided by their number less 1).
        runs: how many there are.
    """

    mean: float
    deviation: float
    runs: int


@dataclass(frozen=True)
class Difference:
    """The mean of a second recipe less that of a first one, and its 95 % interval over seeds.

    The ends are None where no seed of either differs from another, which tells nothing of how far they may.
    """

    mean: float
    low: float | None
    high: float | None


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation over seeds.

    Raises:
        InputError: there are fewer than two seeds.
    """
    if len(values) < 2:
        raise InputError(f"{len(values)} seeds; two at least are needed to see how far they lie apart")
    deviation = float(np.std(values, ddof=1)) if np.ptp(values) else 0.0  # of equal values rounding leaves a little
    return Spread(float(np.mean(values)), deviation, len(values))


def difference(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Difference:
    """Welch's interval of the difference of two means, of trainings whose spreads may differ (Welch 1947).

    It covers other seeds on the same photos, and takes the values to be about normal. As they are shares, the interval
    ends at -1 and 1.

    Raises:
        InputError: there are fewer than two seeds on a side.
    """
    from scipy.stats import t  # noqa: PLC0415 - takes a second

    one, two = spread(first), spread(second)
    parts = np.array([side.deviation**2 / side.runs for side in (one, two)])
    mean, error = two.mean - one.mean, float(np.sqrt(parts.sum()))
    if error == 0:
        return Difference(mean, None, None)
    freedom = parts.sum() ** 2 / (parts**2 / [one.runs - 1, two.runs - 1]).sum()
    reach = float(t.ppf((1 + confidence) / 2, freedom)) * error
    return Difference(mean, max(mean - reach, -1.0), min(mean + reach, 1.0))
