"""Do intervals, thresholds and label sets hold what they promise? 2,000 draws of each setting, whose truth is known.

    python -m bench.promises [--draws 2000] [--only intervals|thresholds|sets]

Intervals: classes are drawn from a population, each with its own rate of success and number of queries. The truth is
the population's mean over queries, E[number * rate] / E[number]: what the mean of per-query scores would be over all
classes that there could be, against the same references. A 95 % interval should hold it 93 to 97 % of the time.

Thresholds: the truth is whether a photo of a class that was not drawn scores above the threshold.
Label sets: the truth is whether the set of a photo that was not drawn holds its label.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from eval.bootstrap import class_intervals
from eval.calibration import expected_threshold, label_set_threshold, leave_one_out_set, unknown_threshold

Generator = np.random.Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--only", choices=["intervals", "thresholds", "sets"])
    options = parser.parse_args()
    for name, work in {"intervals": intervals, "thresholds": thresholds, "sets": label_sets}.items():
        if options.only in (None, name):
            print(*work(options.draws), sep="\n", end="\n\n", flush=True)


def intervals(draws: int) -> Iterator[str]:
    """How often the interval of a mean holds the truth, and on which side it misses."""
    yield "| classes | queries a class | rates of classes | truth | held | truth above | truth below | mean width |"
    yield "|---|---|---|---|---|---|---|---|"
    few, tail = "Poisson, 15", "geometric, 10"
    settings = [
        (20, few, (3.5, 1.5)),
        (32, few, (3.5, 1.5)),
        (50, few, (9.0, 1.0)),
        (50, tail, (3.5, 1.5)),
        (100, few, (1.0, 6.0)),
        (100, tail, (9.0, 1.0)),
        (400, tail, (3.5, 1.5)),
        (32, few, (99.0, 1.0)),
        (100, tail, (199.0, 1.0)),
    ]
    for classes, sizes, shape in settings:
        truth = shape[0] / sum(shape)

        def scores(
            draw: Generator, codes: np.ndarray, classes: int = classes, easy: float = shape[0], hard: float = shape[1]
        ) -> np.ndarray:
            return draw.random(len(codes)) < draw.beta(easy, hard, classes)[codes]

        held = _held(draws, classes, sizes, truth, (0.0, 1.0), scores)
        yield f"| {classes} | {sizes} | beta{shape} | {truth:.3f} | {held} |"

    def of_size(draw: Generator, codes: np.ndarray) -> np.ndarray:  # the larger a class the harder
        return draw.random(len(codes)) < (0.5 + 0.4 * np.exp(-np.bincount(codes) / 10))[codes]

    def of_pair(draw: Generator, codes: np.ndarray) -> np.ndarray:
        return draw.random(len(codes)) < draw.beta(3.5, 1.5, 30)[codes // 2]

    many = np.random.default_rng(98).geometric(0.1, 10_000_000)
    truth = float((many * (0.5 + 0.4 * np.exp(-many / 10))).sum() / many.sum())
    held = _held(draws, 50, tail, truth, (0.0, 1.0), of_size)
    yield f"| 50 | {tail} | falling with the number | {truth:.3f} | {held} |"
    yield from hard_and_uneven(draws, few)
    for unit in (1, 2):  # look-alikes in pairs, each pair with one rate: the same sets, resampled by class and by pair
        held = _held(draws, 60, few, 0.7, (0.0, 1.0), of_pair, unit)
        resampled = "60" if unit == 1 else "60, resampled as 30 pairs"
        yield f"| {resampled} | {few} | beta(3.5, 1.5) a pair | 0.700 | {held} |"
    for classes in (32, 100):  # a paired comparison: the second is right a little more often

        def differences(draw: Generator, codes: np.ndarray, classes: int = classes) -> np.ndarray:
            luck = draw.random(len(codes))  # what makes a photo hard for both
            rates = draw.beta(3.5, 1.5, classes)
            second = np.clip(rates + draw.normal(0.03, 0.05, classes), 0, 1)
            return (luck < second[codes]).astype(float) - (luck < rates[codes])

        draw = np.random.default_rng(99)
        truth = float(np.mean([differences(draw, np.arange(classes)).mean() for _ in range(40_000)]))
        held = _held(draws, classes, few, truth, (-1.0, 1.0), differences)
        yield f"| {classes} | {few} | difference of two | {truth:.3f} | {held} |"


def hard_and_uneven(draws: int, few: str) -> Iterator[str]:
    """The same where few classes stand apart, by scores that no two classes share, and where few hold most queries."""
    for classes, hard in ((60, 0.05), (100, 0.05), (32, 0.05)):  # few are hard, by a metric that no two classes share

        def few_hard(draw: Generator, codes: np.ndarray, classes: int = classes, hard: float = hard) -> np.ndarray:
            means = np.where(
                draw.random(classes) < hard, draw.normal(0.2, 0.03, classes), draw.normal(0.9, 0.02, classes)
            )
            return np.clip(means[codes] + draw.normal(0, 0.02, len(codes)), 0, 1)

        truth = hard * 0.2 + (1 - hard) * 0.9
        held = _held(draws, classes, few, truth, (0.0, 1.0), few_hard)
        yield f"| {classes} | {few} | 0.9, but 0.2 of {hard:.0%} | {truth:.3f} | {held} |"

    def of_any_size(draw: Generator, codes: np.ndarray) -> np.ndarray:
        return draw.random(len(codes)) < draw.beta(3.5, 1.5, codes[-1] + 1)[codes]

    for classes in (20, 100):
        held = _held(draws, classes, "Pareto, 1.2", 0.7, (0.0, 1.0), of_any_size)
        yield f"| {classes} | Pareto, 1.2 | beta(3.5, 1.5) | 0.700 | {held} |"


def _held(
    draws: int,
    classes: int,
    sizes: str,
    truth: float,
    bounds: tuple[float, float],
    scores: Callable[[Generator, np.ndarray], np.ndarray],
    unit: int = 1,
) -> str:
    """The share of intervals that hold the truth, lie below it, lie above it; and their mean width.

    Args:
        draws: simulated sets.
        classes: in each.
        sizes: the distribution of queries a class.
        truth: the mean that the interval is to hold.
        bounds: least and greatest score.
        scores: draws the score of each query, given its class.
        unit: how many classes in a row are resampled together.
    """
    found = []
    for number in range(draws):
        draw = np.random.default_rng(number)
        counts = _sizes(draw, classes, sizes)
        codes = np.repeat(np.arange(classes), counts)
        one = {"score": scores(draw, codes).astype(float)}
        interval = class_intervals(one, codes // unit, bounds=bounds, seed=number)["score"]
        found.append((interval.low, interval.high))
    low, high = np.array(found).T
    held = (low <= truth) & (truth <= high)
    return f"{held.mean():.2%} | {(truth > high).mean():.2%} | {(truth < low).mean():.2%} | {(high - low).mean():.3f}"


def _sizes(draw: Generator, classes: int, distribution: str) -> np.ndarray:
    """How many queries each class has."""
    if distribution.startswith("Poisson"):
        return draw.poisson(15, classes) + 1
    if distribution.startswith("geometric"):
        return draw.geometric(0.1, classes)
    return np.ceil(5 * (draw.pareto(1.2, classes) + 1)).astype(int)


def thresholds(draws: int) -> Iterator[str]:
    """False accepts of photos of new classes, at the threshold for a stated rate."""
    yield "| scores | classes | rate | promised as a bound | met on average | by a quantile of photos instead |"
    yield "|---|---|---|---|---|---|"
    for source in (class_scores, hidden_class_scores):
        for classes in (30, 100) if source is class_scores else (40,):
            for rate in (0.05, 0.1):
                found = []
                for number in range(draws):
                    known, codes, new = source(np.random.default_rng(number), classes)
                    pooled = np.quantile(known, 1 - rate)
                    limits = unknown_threshold(known, codes, rate), expected_threshold(known, codes, rate), pooled
                    found.append([(new > limit).mean() for limit in limits])
                bound, expected, theirs = np.mean(found, axis=0)
                yield f"| {source.__doc__} | {classes} | {rate:.0%} | {bound:.2%} | {expected:.2%} | {theirs:.2%} |"


def class_scores(draw: Generator, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """drawn: a class's level and its photos' spread, geometric numbers of photos"""
    sizes = draw.geometric(0.1, classes + 1)
    codes = np.repeat(np.arange(classes + 1), sizes)
    scores = draw.normal(0, 1, classes + 1)[codes] + draw.normal(0, 0.5, len(codes))
    return scores[codes < classes], codes[codes < classes], scores[codes == classes]


def hidden_class_scores(draw: Generator, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """vectors: the nearest reference of another class, as the index has it; a new class has one class more to hit"""
    sizes = draw.poisson(8, classes + 1) + 2
    codes = np.repeat(np.arange(classes + 1), sizes)
    families = draw.normal(size=(8, 16))[draw.integers(0, 8, classes + 1)]  # look-alikes
    vectors = (families + 0.6 * draw.normal(size=(classes + 1, 16)))[codes] + 0.5 * draw.normal(size=(len(codes), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    indexed = codes < classes
    similarities = vectors @ vectors[indexed].T
    similarities[codes[:, None] == codes[indexed]] = -np.inf
    best = similarities.max(axis=1)
    return best[indexed], codes[indexed], best[~indexed]


def label_sets(draws: int) -> Iterator[str]:
    """Coverage of label sets of both kinds."""
    yield "| kind | photos | coverage promised | held | mean labels a set |\n|---|---|---|---|---|"
    for photos in (30, 200):
        for wanted in (0.8, 0.9, 0.95):
            split, alone = [], []
            for number in range(draws):
                split.append(split_conformal(np.random.default_rng(number), photos, wanted))
                if photos == 30:
                    alone.append(leave_one_out(np.random.default_rng(number), photos, wanted))
            held, size = np.mean(split, axis=0)
            yield f"| split-conformal | {photos} | {wanted:.0%} | {held:.2%} | {size:.2f} |"
            if alone:
                held, size = np.mean(alone, axis=0)
                promised = f"{2 * wanted - 1:.0%} (about {wanted:.0%})"
                yield f"| leave one out | {photos} | {promised} | {held:.2%} | {size:.2f} |"


def split_conformal(draw: Generator, photos: int, wanted: float) -> tuple[float, float]:
    """Whether the set of one more photo holds its label, one of 8, and how many labels it has."""
    labels = draw.integers(0, 8, photos + 1)
    logits = draw.normal(size=(photos + 1, 8))
    logits[np.arange(photos + 1), labels] += draw.normal(2, 1, photos + 1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    threshold = label_set_threshold(shares[np.arange(photos), labels[:photos]], wanted)
    members = shares[-1] >= threshold
    return float(members[labels[-1]]), float(members.sum())


def leave_one_out(draw: Generator, photos: int, wanted: float) -> tuple[float, float]:
    """The same of a nearest-neighbour answer among 3 kinds, each reference scored with itself left out."""
    labels = draw.integers(0, 3, photos + 1)
    points = labels + 0.8 * draw.normal(size=photos + 1)
    apart = np.abs(points[:, None] - points)
    np.fill_diagonal(apart, np.inf)
    by_label = np.stack([np.where(labels == label, apart, np.inf) for label in range(3)])
    others = np.arange(photos)
    right = -by_label[labels[:photos], others][:, :photos].min(axis=1)
    without = np.broadcast_to(by_label[:, -1, :photos], (photos, 3, photos)).copy()
    without[others, :, others] = np.inf
    members = leave_one_out_set(right, -without.min(axis=2), wanted)
    return float(members[labels[-1]]), float(members.sum())


if __name__ == "__main__":
    main()
