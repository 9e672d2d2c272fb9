import numpy as np
import pytest

from eval.errors import InputError
from eval.reliability import Coverage, coverage, expected_calibration_error


def test_the_error_by_its_definition() -> None:
    draw = np.random.default_rng(0)
    confidences = np.concatenate([draw.random(500), [0.0, 1.0, 0.2, 0.4]])
    correct = draw.random(504) < confidences**2
    expected = 0.0
    for low in range(10):
        inside = (confidences > low / 10) & (confidences <= (low + 1) / 10) | (confidences == 0) & (low == 0)
        expected += inside.mean() * abs(confidences[inside].mean() - correct[inside].mean())
    assert expected_calibration_error(confidences, correct, 10) == pytest.approx(expected)


def test_a_bin_holds_its_upper_end_and_not_its_lower_one() -> None:
    assert expected_calibration_error(np.array([0.5, 0.45]), np.array([True, False]), 10) == pytest.approx(0.025)
    assert expected_calibration_error(np.array([0.5, 0.55]), np.array([True, False]), 10) == pytest.approx(0.525)


def test_what_is_well_calibrated_has_a_small_error() -> None:
    draw = np.random.default_rng(1)
    confidences = draw.random(100_000)
    assert expected_calibration_error(confidences, draw.random(100_000) < confidences) < 0.01
    assert expected_calibration_error(np.full(100, 0.9), np.zeros(100, bool)) == pytest.approx(0.9)


def test_coverage_counts_sets_and_their_labels() -> None:
    sets = np.array([[True, False, True], [False, False, False], [True, True, True], [True, False, False]])
    assert coverage(sets, np.array([2, 0, 1, -1])) == Coverage(0.5, 1.5)


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InputError, match=r"confidence 1 is 1\.5"):
        expected_calibration_error(np.array([0.5, 1.5]), np.array([True, True]))
    with pytest.raises(InputError, match="confidence 0 is nan"):
        expected_calibration_error(np.array([np.nan]), np.array([True]))
    with pytest.raises(InputError, match="0 confidences for 0 answers"):
        expected_calibration_error(np.array([]), np.array([], bool))
    with pytest.raises(InputError, match=r"must be \[2, labels\]"):
        coverage(np.ones((3, 2), bool), np.array([0, 1]))


def test_codes_beyond_the_labels_are_refused() -> None:
    with pytest.raises(InputError, match="code 2 is none of the 2 labels"):
        coverage(np.ones((2, 2), bool), np.array([0, 2]))
    with pytest.raises(InputError, match="code 0 is none of the 0 labels"):
        coverage(np.ones((2, 0), bool), np.array([0, 0]))
