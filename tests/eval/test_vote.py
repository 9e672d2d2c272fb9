import math

import numpy as np
import pytest

from eval.errors import InputError
from eval.vote import Candidate, elected, sharpened, softmax, vote


def test_shares_are_the_softmax_summed_by_label() -> None:
    similarities, labels, temperature = [0.9, 0.85, 0.84, 0.3], ["a", "b", "b", "c"], 0.1
    weights = [math.exp(similarity / temperature) for similarity in similarities]
    candidates = vote(np.array(similarities), labels, temperature)
    assert [candidate.label for candidate in candidates] == ["b", "a", "c"]  # two good ones outvote the nearest
    expected = {"a": weights[0], "b": weights[1] + weights[2], "c": weights[3]}
    for candidate in candidates:
        assert candidate.share == pytest.approx(expected[candidate.label] / sum(weights))


def test_equal_shares_go_to_the_better_best_neighbour() -> None:
    step = np.log(2.0)  # one vote of weight 2 against two of weight 1
    candidates = vote(np.array([-step, -step, 0.0]), ["b", "b", "a"], 1.0)
    assert [round(candidate.share, 12) for candidate in candidates] == [0.5, 0.5]
    assert candidates[0].label == "a"


def test_equal_in_everything_goes_to_the_lower_rank() -> None:
    assert [one.label for one in vote(np.array([0.5, 0.5]), ["z", "a"])] == ["z", "a"]


def test_references_without_a_label_have_no_vote() -> None:
    assert vote(np.array([0.9, 0.1]), [None, "a"]) == [Candidate("a", 1.0)]
    assert vote(np.array([0.9]), [None]) == []
    assert vote(np.array([]), []) == []


def test_small_temperatures_do_not_overflow() -> None:
    assert vote(np.array([1.0, 0.9, -1.0], np.float32), ["a", "b", "b"], 1e-4) == [
        Candidate("a", 1.0),
        Candidate("b", 0.0),
    ]


def test_large_temperatures_count_heads() -> None:
    shares = {one.label: one.share for one in vote(np.array([0.9, 0.1, -0.5]), ["a", "b", "b"], 1e9)}
    assert shares == pytest.approx({"a": 1 / 3, "b": 2 / 3})


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperatures_must_be_above_zero(temperature: float) -> None:
    with pytest.raises(InputError, match="it must be above 0"):
        vote(np.array([0.5]), ["a"], temperature)


def test_each_similarity_needs_its_label() -> None:
    with pytest.raises(ValueError, match="shorter"):
        vote(np.array([0.5, 0.4]), ["a"])


@pytest.mark.parametrize("temperature", [1e-4, 0.07, 3.0])
def test_many_queries_elect_what_each_elects_alone(temperature: float) -> None:
    draw = np.random.default_rng(0)
    similarities = -np.sort(-draw.integers(-4, 5, (500, 9)) / 4, axis=1).astype(np.float32)  # with ties
    codes = draw.integers(-1, 4, (500, 9))
    similarities[draw.random(500) < 0.2, 5:] = -np.inf
    expected, shares = [], []
    for row, names in zip(similarities, codes, strict=True):
        there = np.isfinite(row)
        candidates = vote(row[there], [None if code < 0 else str(code) for code in names[there]], temperature)
        expected.append(int(candidates[0].label) if candidates else -1)
        shares.append(candidates[0].share if candidates else 0.0)
    winners, found = elected(similarities, codes, temperature)
    assert winners.tolist() == expected
    np.testing.assert_allclose(found, shares, rtol=1e-12)


def test_no_share_is_more_than_all_of_the_vote() -> None:
    similarities = -np.sort(-np.random.default_rng(0).uniform(0, 1, (200, 10)).astype(np.float32), axis=1)
    shares = elected(similarities, np.zeros((200, 10), np.int64))[1]
    assert shares.max() == 1.0
    np.testing.assert_allclose(shares, 1.0)


def test_no_votes_elect_nobody() -> None:
    assert elected(np.full((2, 3), -np.inf, np.float32), np.full((2, 3), -1))[0].tolist() == [-1, -1]
    with pytest.raises(InputError, match="it must be above 0"):
        elected(np.zeros((1, 1), np.float32), np.zeros((1, 1), int), 0)


@pytest.mark.parametrize("temperature", [1e-3, 0.07, 3.0])
def test_shares_of_voters_are_those_of_the_vote(temperature: float) -> None:
    draw = np.random.default_rng(1)
    similarities = draw.uniform(-1, 1, (4, 3, 5))
    similarities[0, 0, 2] = similarities[1, 2, :] = -np.inf
    found = softmax(similarities, temperature)
    for row, shares in zip(similarities.reshape(-1, 5), found.reshape(-1, 5), strict=True):
        there = np.isfinite(row)
        votes = {one.label: one.share for one in vote(row[there], [*np.array(list("abcde"))[there]], temperature)}
        np.testing.assert_allclose(shares, [votes.get(name, 0.0) for name in "abcde"], atol=1e-12)
    assert found[1, 2].sum() == 0
    with pytest.raises(InputError, match="temperature is 0"):
        softmax(similarities, 0)


def test_sharper_shares_favour_the_larger() -> None:
    shares = np.array([[0.6, 0.3, 0.1], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(sharpened(shares, 2.0), [[36 / 46, 9 / 46, 1 / 46], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(sharpened(shares, 1.0), shares)
    assert sharpened(shares, 0.5)[0, 0] < 0.6
    with pytest.raises(InputError, match="sharpness is -1"):
        sharpened(shares, -1)
