import numpy as np
import pytest
from scipy.stats import ttest_ind

from eval.errors import InputError
from eval.seeds import Difference, Spread, difference, spread


def test_mean_and_deviation() -> None:
    assert spread([0.1, 0.2, 0.6]) == Spread(pytest.approx(0.3), pytest.approx(np.sqrt(0.07)), 3)


def test_the_interval_is_welch_s() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.normal(0.7, 0.01, 3), draw.normal(0.72, 0.03, 5)
    expected = ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    found = difference(first, second)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.mean == pytest.approx(second.mean() - first.mean())


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1)
    found = [difference(draw.normal(0.7, 0.01, 3), draw.normal(0.71, 0.02, 3)) for _ in range(1500)]
    assert 0.935 < np.mean([one.low <= 0.01 <= one.high for one in found]) < 0.99


def test_seeds_that_all_come_out_alike() -> None:
    """Two trainings that happen to be right as often are no certainty."""
    assert difference([0.5, 0.5], [0.75, 0.75]) == Difference(0.25, None, None)
    found = difference([0.1] * 3, [0.7] * 3)  # whose means are not quite 0.1 and 0.7
    assert (found.low, found.high) == (None, None)


def test_one_seed_is_too_few() -> None:
    with pytest.raises(InputError, match="1 seeds; two at least"):
        difference([0.5], [0.5, 0.6])
