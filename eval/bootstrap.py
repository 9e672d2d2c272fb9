"""How far a mean may be from the truth: intervals that resample whole classes.

Queries of one class succeed and fail together, so the unit that is drawn is the class, with all its queries; the
references stay as they are. What an interval covers is therefore other classes against these references.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError

FEW_CLASSES = 20
"""Below this many classes an interval is no more than a hint."""

MANY_CLASSES = 20_000
"""From so many classes on the pivot is taken to be normal; where few of them differ, ``FEW_DIFFERING`` takes care."""

FEW_DIFFERING = 10
"""Below this many classes that differ from all others, resampling alone says too little."""

MOST_CREDITED = 0.5
"""The greatest share of the sample's error that a resample is credited with at least (``_least_error``): where many
classes make up the variance, resamples tell their error themselves."""

RESAMPLES = 2000
_DRAWS_AT_ONCE = 1 << 22

Scores = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A mean and where the truth is likely to lie.

    Attributes:
        mean: over all queries.
        low: lower end.
        high: upper end.
        classes: how many classes were resampled.
        effective_classes: as many classes of equal numbers of queries would tell as much (Kish 1965, section 8.2).
    """

    mean: float
    low: float
    high: float
    classes: int
    effective_classes: float

    @property
    def is_rough(self) -> bool:
        """Whether there are too few classes, or a few with most of the queries, to take the ends at their word."""
        return self.effective_classes < FEW_CLASSES


def class_intervals(
    per_query: Mapping[str, Scores],
    codes: Codes,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """The bootstrap-t interval of each mean over queries, resampling classes.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 12.5, for the ratio of a sum of scores to a
    number of queries, with the error of a ratio by linearisation (Cochran, "Sampling Techniques", 1977, section 2.11).
    Where nearly all classes have the same mean, the interval also covers what others may do that have hardly been seen.
    It holds for classes that succeed and fail independently; where some are confused with each other it is too narrow.

    Args:
        per_query: scores ``[Q]`` by name: a metric's values, or the differences of two embedders' values.
        codes: ``[Q]``, the class of each query.
        confidence: how often such intervals hold the truth, in (0, 1).
        bounds: least and greatest score that there can be; the intervals stay within.
        resamples: how often classes are drawn.
        seed: of the draws, which are the same for all names.

    Raises:
        InputError: there are no scores, not as many as codes, or one that is not finite.
    """
    _, classes = np.unique(codes, return_inverse=True)
    for name, scores in per_query.items():
        _check(name, scores, codes)
    counts = np.bincount(classes).astype(np.float64)
    sums: dict[str, Scores] = {
        name: np.bincount(classes, scores).astype(np.float64) for name, scores in per_query.items()
    }
    means = {name: float(total.sum() / counts.sum()) for name, total in sums.items()}
    if len(counts) < 2:
        return {name: Interval(mean, *bounds, classes=1, effective_classes=1.0) for name, mean in means.items()}
    pivots: dict[str, list[tuple[Scores, Scores]]] = {name: [] for name in sums}
    many = len(counts) >= MANY_CLASSES
    for drawn in _draws(len(counts), 0 if many else resamples, seed):
        for name, total in sums.items():
            pivots[name].append(_ratio(drawn, total, counts))
    intervals = {}
    for name, mean in means.items():
        error = float(_ratio(np.ones((1, len(counts))), sums[name], counts)[1][0])
        tail = (1.0 - confidence) / 2
        low, high = mean, mean
        if error > 0:
            above = NormalDist().inv_cdf(1 - tail)
            below = -above
            if not many:
                least = _least_error(sums[name] - mean * counts, tail) * error
                below, above = np.quantile(_pivot(pivots[name], mean, least), [tail, 1 - tail])
            low, high = mean - above * error, mean - below * error
        rare = _rare(sums[name], counts, tail, bounds)
        low, high = np.clip([min(low, rare[0]), max(high, rare[1])], *bounds)
        effective = float(counts.sum() ** 2 / (counts**2).sum())
        intervals[name] = Interval(mean, float(low), float(high), len(counts), effective)
    return intervals


def _rare(sums: Scores, counts: Scores, tail: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """The interval that the number of classes which differ allows, where these are few; else one that allows all.

    Resamples know only the classes that were drawn: of a hundred that are all right, or of which one is not, they tell
    next to nothing about those that are not. Their share is binomial, whatever they are like (Clopper and Pearson
    1934). How much such a class differs is taken from those seen; where none was seen, as much as there can be.
    """
    means, often = np.unique(np.round(sums / counts, 9), return_counts=True)
    usual, classes = means[often.argmax()], len(counts)
    differing = classes - int(often.max())
    if differing >= FEW_DIFFERING or differing > classes / 2:
        return bounds[1], bounds[0]
    deviations = sums - usual * counts
    deviations[np.abs(deviations) <= 1e-8 * counts] = 0
    sides = []
    for one, room in ((np.maximum(deviations, 0), bounds[1] - usual), (np.maximum(-deviations, 0), usual - bounds[0])):
        seen, reach = int((one > 0).sum()), room
        if seen or differing:
            some = one if seen else np.abs(deviations)
            reach = min(room, float(some.sum() / counts.sum()) * classes / (seen or differing))
        low, high = _clopper_pearson(seen, classes, tail)
        sides.append((reach * low, reach * high))
    (least_above, most_above), (least_below, most_below) = sides
    return usual + least_above - most_below, usual + most_above - least_below


def _clopper_pearson(seen: int, of: int, tail: float) -> tuple[float, float]:
    """Where a binomial share may lie, given how many were seen of how many."""
    from scipy.special import betaincinv  # noqa: PLC0415 - not for those who measure without intervals

    low = float(betaincinv(seen, of - seen + 1, tail)) if seen > 0 else 0.0
    return low, float(betaincinv(seen + 1, of - seen, 1 - tail)) if seen < of else 1.0


def _check(name: str, scores: Scores, codes: Codes) -> None:
    """Refuse scores that have no mean."""
    if len(scores) == 0 or len(scores) != len(codes):
        raise InputError(
            f"{name}: {len(scores)} scores for {len(codes)} queries; each query needs one, and one query is the least"
        )
    if not np.isfinite(scores).all():
        raise InputError(f"{name}: score {np.flatnonzero(~np.isfinite(scores))[0]} is not finite")


def _draws(classes: int, resamples: int, seed: int) -> Iterator[Scores]:
    """How often each class is drawn, ``[B, C]``, for some resamples at a time."""
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // classes)
    for start in range(0, resamples, at_once):
        few = min(at_once, resamples - start)
        yield generator.multinomial(classes, np.full(classes, 1 / classes), few).astype(np.float64)


def _ratio(drawn: Scores, sums: Scores, counts: Scores) -> tuple[Scores, Scores]:
    """The mean over queries [B] and its standard error [B], where each class is drawn ``drawn`` [B, C] times.

    The errors of sample and resamples are divided by each other, so the factor C / (C - 1) is left out of both.
    """
    moments = drawn @ np.stack([sums, counts, sums**2, sums * counts, counts**2], axis=1)
    total, queries, squares, products, sizes = moments.T
    means = total / queries
    residual = np.maximum(squares - 2 * means * products + means**2 * sizes, 0)
    residual[residual < 1e-12 * np.maximum(squares, 1)] = 0  # what rounding leaves where all classes are alike
    return means, np.sqrt(residual) / queries


def _pivot(resampled: list[tuple[Scores, Scores]], mean: float, least: float) -> Scores:
    """How many standard errors, each at least ``least``, each resample's mean lies from ``mean``."""
    means, errors = (np.concatenate(parts) for parts in zip(*resampled, strict=True))
    return (means - mean) / np.maximum(errors, least)


def _least_error(deviations: Scores, tail: float) -> float:
    """The least standard error that a resample is credited with, as a share of the sample's.

    Where few classes stand far apart from the rest, many a resample misses all of them. It sees hardly any error,
    though it lies as far off as ever. With k such classes, equal ones, it lies sqrt(k) standard errors off; how far off
    the truth may be is known, for the number of such classes is Poisson, with an upper limit L(k). The share is chosen
    so that both agree, k being the number of classes that the variance rests on.
    """
    squares = deviations**2
    k = float(squares.sum() ** 2 / (squares**2).sum())
    return min(MOST_CREDITED, k / (_poisson_limit(k, tail) - k))


def _poisson_limit(seen: float, tail: float) -> float:
    """The upper limit of a Poisson mean, given how many were seen (Garwood 1936)."""
    from scipy.special import gammaincinv  # noqa: PLC0415 - not for those who measure without intervals

    return float(gammaincinv(seen + 1, 1 - tail))
