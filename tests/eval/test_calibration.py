import math

import numpy as np
import pytest

from eval.calibration import (
    expected_threshold,
    label_set_threshold,
    leave_one_out_set,
    pool_sharpness,
    unknown_threshold,
    vote_temperature,
)
from eval.errors import InputError
from eval.vote import vote


def test_every_class_has_the_same_weight_however_many_photos_it_has() -> None:
    """Nine classes and one to come: at 20 % false accepts, four fifths of the ten weights must lie at or below."""
    scores = np.concatenate([np.full(1000, 0.9), np.arange(1, 9) / 10])
    codes = np.concatenate([np.zeros(1000, int), np.arange(1, 9)])
    assert unknown_threshold(scores, codes, 0.2) == 0.8
    assert unknown_threshold(scores, codes, 0.3) == 0.7
    assert unknown_threshold(scores, codes, 0.1) == 0.9
    assert unknown_threshold(scores, codes, 0.09) == math.inf
    order = np.random.default_rng(0).permutation(len(scores))
    assert unknown_threshold(scores[order], codes[order], 0.2) == 0.8


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_false_accepts_of_new_classes_keep_to_the_promise(rate: float) -> None:
    """Classes differ in their level and in their number of photos; the rate is that of a photo of a new class."""
    draw = np.random.default_rng(1)
    accepted = []
    for _ in range(2000):
        sizes = draw.geometric(0.1, 31)
        codes = np.repeat(np.arange(31), sizes)
        scores = draw.normal(0, 1, 31)[codes] + 0.5 * draw.normal(0, 1, len(codes))
        new = codes == 30
        accepted.append((scores[new] > unknown_threshold(scores[~new], codes[~new], rate)).mean())
    assert rate - 1 / 31 - 0.01 < np.mean(accepted) < rate + 3 * np.std(accepted) / math.sqrt(2000)


@pytest.mark.parametrize("coverage", [0.8, 0.95])
@pytest.mark.parametrize("photos", [19, 100, 133])
def test_label_sets_hold_the_right_label_as_often_as_promised(coverage: float, photos: int) -> None:
    draw = np.random.default_rng(2)
    shares = draw.beta(4, 1, (4000, photos + 1))
    held = np.mean([row[0] >= label_set_threshold(row[1:], coverage) for row in shares])
    noise = 3 * math.sqrt(coverage * (1 - coverage) / 4000)
    assert coverage - noise < held < coverage + 1 / (photos + 1) + noise


def test_too_few_photos_for_a_coverage_mean_every_label() -> None:
    shares = np.arange(1, 10) / 10
    assert label_set_threshold(shares, 0.9) == 0.1
    assert label_set_threshold(shares, 0.91) == -math.inf


def naive_leave_one_out(right: np.ndarray, candidates: np.ndarray, coverage: float) -> list[bool]:
    return [
        sum(own > other for own, other in zip(right, column, strict=True)) < coverage * (len(right) + 1)
        for column in candidates.T
    ]


def test_leave_one_out_sets_are_what_the_definition_gives() -> None:
    draw = np.random.default_rng(3)
    right, candidates = draw.random(40), draw.random((40, 7)) * np.linspace(0, 1.2, 7)
    for coverage in (0.3, 0.8, 0.95):
        found = leave_one_out_set(right, candidates, coverage)
        assert found.tolist() == naive_leave_one_out(right, candidates, coverage)


def test_leave_one_out_sets_cover_more_than_their_promise() -> None:
    """A nearest-neighbour answer in one dimension: three kinds of points, each its own group."""
    draw = np.random.default_rng(4)
    held = []
    for _ in range(400):
        labels = draw.integers(0, 3, 41)
        points = labels + 0.8 * draw.normal(size=41)
        apart = np.abs(points[:, None] - points)
        np.fill_diagonal(apart, np.inf)
        by_label = np.stack([np.where(labels == label, apart, np.inf) for label in range(3)])
        query, others = 40, np.arange(40)
        right = -np.array([by_label[labels[row], row][others].min() for row in others])
        without = [
            -np.array([by_label[label, query][others[others != row]].min() for label in range(3)]) for row in others
        ]
        held.append(leave_one_out_set(right, np.array(without), 0.8)[labels[query]])
    assert np.mean(held) > 2 * 0.8 - 1
    assert 0.72 < np.mean(held) < 0.9


def test_large_groups_do_not_outvote_others() -> None:
    """Of 40 groups a tenth has 100 photos that are easy; a new group is as often a small, hard one as these are."""
    draw, held = np.random.default_rng(6), []
    for _ in range(1500):
        large = draw.random(41) < 0.1
        groups = np.repeat(np.arange(41), np.where(large, 100, 1))
        scores = large[groups] + draw.random(len(groups))
        known, query = groups < 40, scores[groups == 40][0]
        right, candidates = scores[known], np.full((known.sum(), 1), query)
        both = [leave_one_out_set(right, candidates, 0.9, of)[0] for of in (groups[known], None)]
        held.append(both)
    weighed, counted = np.mean(held, axis=0)
    assert 0.88 < weighed < 0.96
    assert counted < 0.5
    with pytest.raises(InputError, match="3 groups for 2 references"):
        leave_one_out_set(np.zeros(2), np.zeros((2, 1)), 0.9, np.zeros(3, int))


def test_the_temperature_makes_the_shares_the_best_probabilities() -> None:
    draw = np.random.default_rng(5)
    similarities = np.sort(draw.random((500, 10)))[:, ::-1]
    relevant = draw.random((500, 10)) < 1 / (1 + np.exp(-(similarities - 0.5) / 0.15))
    found = vote_temperature(similarities, relevant)

    def loss(temperature: float) -> float:
        total = 0.0
        for row, hits in zip(similarities, relevant, strict=True):
            shares = {
                one.label: one.share for one in vote(row, ["right" if hit else "wrong" for hit in hits], temperature)
            }
            total -= math.log(max(shares.get("right", 0.0), 1e-6))
        return total

    least = loss(found)
    assert all(loss(found * factor) >= least - 1e-6 for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2))
    assert vote_temperature(similarities, np.arange(10) < np.ones((500, 1))) == pytest.approx(1e-3, rel=0.2)


def test_the_sharpness_makes_up_for_the_mean_of_two_calibrated_votes() -> None:
    """Each sees half of what tells two labels apart."""
    draw = np.random.default_rng(6)
    seen = draw.normal(size=(20_000, 2))
    first = draw.random(20_000) < 1 / (1 + np.exp(-3 * seen.sum(axis=1)))
    halves = np.linspace(-6, 6, 25)
    places = np.digitize(seen, halves)
    alone = [
        np.array([first[place == one].mean() if (place == one).any() else 0.5 for one in range(26)])
        for place in places.T
    ]
    mean = (alone[0][places[:, 0]] + alone[1][places[:, 1]]) / 2
    shares, relevant = np.stack([mean, 1 - mean], axis=1), np.stack([first, ~first], axis=1)
    found = pool_sharpness(shares, relevant)
    assert found > 1.3

    def loss(sharpness: float) -> float:
        return sum(
            -math.log(row[hits][0] ** sharpness / (row**sharpness).sum())
            for row, hits in zip(shares, relevant, strict=True)
        )

    least = loss(found)
    assert all(loss(found * factor) >= least - 1e-6 for factor in (0.8, 0.99, 1.01, 1.2))


def test_what_cannot_be_calibrated_is_refused() -> None:
    for rate in (0, 1, -0.1, math.nan):
        with pytest.raises(InputError, match="must be above 0 and below 1"):
            unknown_threshold(np.ones(3), np.arange(3), rate)
    with pytest.raises(InputError, match="no scores to calibrate with"):
        label_set_threshold(np.ones(0), 0.9)
    with pytest.raises(InputError, match="score 1 is not a number"):
        unknown_threshold(np.array([0, np.nan]), np.arange(2), 0.1)
    with pytest.raises(InputError, match="3 scores of 2 photos"):
        unknown_threshold(np.ones(3), np.arange(2), 0.1)
    with pytest.raises(InputError, match=r"it must be \[3, labels\]"):
        leave_one_out_set(np.ones(3), np.ones((2, 4)), 0.9)
    with pytest.raises(InputError, match="similarities have the shape"):
        vote_temperature(np.ones((2, 3)), np.ones((2, 4), bool))
    with pytest.raises(InputError, match="shares have the shape"):
        pool_sharpness(np.ones((2, 3)), np.ones((2, 4), bool))
    with pytest.raises(InputError, match="a share is not from 0 to 1"):
        pool_sharpness(np.array([[0.5, np.nan]]), np.ones((1, 2), bool))


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="a candidate's score is not a number"):
        leave_one_out_set(np.ones(3), np.array([[1.0], [np.nan], [0.0]]), 0.8)
    for bad in (np.nan, -np.inf):
        with pytest.raises(InputError, match="a similarity of query 1 is not finite"):
            vote_temperature(np.array([[0.5, 0.4], [0.5, bad]]), np.ones((2, 2), bool))


def test_the_expected_rate_is_that_of_classes_left_out() -> None:
    """By plain loops: of all levels, the highest at which classes left out are accepted no more often than asked."""
    draw = np.random.default_rng(5)
    codes = np.repeat(np.arange(9), draw.integers(1, 8, 9))
    scores = draw.normal(0, 1, 9)[codes] + draw.normal(0, 0.5, len(codes))

    def masses(names: list[int]) -> list[tuple[float, float]]:
        """The scores of some classes, the greatest first, each with the share of these classes at or above it."""
        found = np.sort(scores[np.isin(codes, names)])[::-1].tolist()
        return [(score, np.mean([(scores[codes == one] >= score).mean() for one in names])) for score in found]

    def threshold(of: list[tuple[float, float]], level: float) -> float:
        """The greatest score with more than ``level`` of the classes' mass at or above it."""
        return next((score for score, mass in of if mass > level + 1e-9), -np.inf)

    others = [masses([other for other in range(9) if other != one]) for one in range(9)]
    levels = np.linspace(0, 1, 3000)
    accepted = [
        np.mean([(scores[codes == one] > threshold(others[one], level)).mean() for one in range(9)]) for level in levels
    ]
    for rate in (0.1, 0.25, 0.6):
        fitting = levels[np.array(accepted) <= rate]
        expected = threshold(masses([*range(9)]), max(fitting) * 8 / 9)  # the mass that eight classes had
        assert expected_threshold(scores, codes, rate) == pytest.approx(expected)


def test_expected_rates_are_met_by_new_classes_on_average() -> None:
    """Where ``unknown_threshold``, which promises no more than the rate, gives much less."""
    for rate in (0.1, 0.2):
        found = []
        for seed in range(600):
            draw = np.random.default_rng(seed)
            codes = np.repeat(np.arange(26), draw.geometric(0.1, 26))
            scores = draw.normal(0, 0.7, 26)[codes] + draw.normal(0, 1, len(codes))
            new = codes == 25
            limits = [of(scores[~new], codes[~new], rate) for of in (expected_threshold, unknown_threshold)]
            found.append([(scores[new] > limit).mean() for limit in limits])
        expected, bound = np.mean(found, axis=0)
        assert abs(expected - rate) < 0.025
        assert bound < rate - 0.015


@pytest.mark.parametrize(("rate", "message"), [(0, "it must be above 0"), (1.0, "it must be above 0")])
def test_expected_rates_out_of_range(rate: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        expected_threshold(np.ones(3), np.arange(3), rate)
    with pytest.raises(InputError, match="3 scores of 2 photos"):
        expected_threshold(np.ones(3), np.arange(2), 0.5)


def test_compact_classes_do_not_slip_in_as_a_whole() -> None:
    """Where all photos of a class score nearly the same, one class more or less is a lot."""
    found = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        codes = np.repeat(np.arange(11), 20)
        scores = draw.normal(0, 10, 11)[codes] + draw.normal(0, 1, len(codes))
        new = codes == 10
        found.append((scores[new] > expected_threshold(scores[~new], codes[~new], 0.1)).mean())
    assert np.mean(found) < 0.13
