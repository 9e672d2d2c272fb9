"""Differences over classes and over seeds, as the tables of bench/techniques.py and bench/peers.py show them."""

import re

import numpy as np
import pytest

from bench.differences import METRICS, NONE_SEEN, Result, deviations, differences, few_classes, mean

CLASSES = 30
QUERIES = np.arange(CLASSES) % 3 + 4


def result(share: float, seed: int = 0) -> Result:
    """One training's: in each class about that share of the queries is right, by both metrics."""
    right = QUERIES * np.clip(np.random.default_rng(seed).normal(share, 0.1, CLASSES), 0, 1)
    overall = float(right.sum() / QUERIES.sum())
    classes = [[int(queries), float(one), float(one)] for queries, one in zip(QUERIES, right, strict=True)]
    return {"recall@1": overall, "map@r": overall, "classes": classes}


def more(one: Result, share: float) -> Result:
    """The same training, seen in a way that gets about that share of queries more right in each class."""
    shares = share + np.resize([0.02, -0.02], CLASSES)
    classes = [
        [queries, *(np.array(right) + of * queries)]
        for of, (queries, *right) in zip(shares, one["classes"], strict=True)
    ]
    added = float(shares @ QUERIES / QUERIES.sum())
    return {"recall@1": one["recall@1"] + added, "map@r": one["map@r"] + added, "classes": classes}


def several(*shares: float) -> dict[int, Result]:
    """Trainings of the seeds 0, 1, ..."""
    return {seed: result(share, seed) for seed, share in enumerate(shares)}


def apart(told: str) -> tuple[float, float, float]:
    """A difference and the ends of its interval."""
    middle, low, high = re.findall(r"[+-]\d\.\d+", told)
    return float(middle), float(low), float(high)


def test_trainings_of_one_way_lie_as_far_apart_as_all_ways_show() -> None:
    ways = [several(0.5, 0.52, 0.7), several(0.6, 0.61), several(0.9)]
    deviation = deviations(ways)["recall@1"]
    values = [[one["recall@1"] for one in way.values()] for way in ways]
    squares = [(one - np.mean(way)) ** 2 for way in values for one in way]
    assert deviation == (pytest.approx(np.sqrt(sum(squares) / 3)), 3)
    student = 3.182446  # at 0.975, 3 degrees of freedom
    assert deviation.reach(1 / 3 + 1 / 2) == pytest.approx(student * deviation.size * np.sqrt(1 / 3 + 1 / 2))


def test_the_interval_over_seeds_holds_the_truth_as_often_as_it_says() -> None:
    draw, held = np.random.default_rng(0), 0
    for _ in range(1000):
        base, one, other = (draw.normal(0.7, 0.01, count) for count in (5, 2, 1))
        ways = [{seed: dict.fromkeys(METRICS, value) for seed, value in enumerate(way)} for way in (base, one)]
        reach = deviations(ways)["map@r"].reach(1 / 5 + 1)
        held += abs(other[0] - base.mean()) <= reach
    assert 0.93 < held / 1000 < 0.97


def test_trainings_are_compared_with_all_others_whatever_their_seeds() -> None:
    first, second = several(0.5, 0.5, 0.9), {1: result(0.7, 5)}
    expected = second[1]["recall@1"] - np.mean([one["recall@1"] for one in first.values()])
    told = differences(first, second, deviations([first]))["recall@1"]
    assert apart(told)[0] == pytest.approx(expected, abs=5e-4)


def test_what_is_seen_of_the_same_trainings_is_compared_pair_by_pair() -> None:
    first = several(0.5, 0.6, 0.8)
    found = {}
    for apart_by in (0.001, 0.04):
        second = {seed: more(first[seed], 0.05 + apart_by * seed) for seed in (0, 1)}
        for same_training in (True, False):
            told = differences(first, second, deviations([first]), same_training)["map@r"]
            found[apart_by, same_training] = NONE_SEEN not in told
        middle, low, _ = apart(differences(first, second, deviations([first]), same_training=True)["map@r"])
        assert middle == pytest.approx(0.05 + apart_by / 2, abs=2e-3)
        over_seeds = 12.7062 * apart_by / 2  # Student's at 0.975, 1 degree of freedom
        assert over_seeds - 1e-3 < middle - low < over_seeds + 0.02
    assert found == {(0.001, True): True, (0.001, False): False, (0.04, True): False, (0.04, False): False}


def test_an_effect_is_beyond_other_classes_and_other_seeds_together() -> None:
    base = {seed: result(0.5, seed + 9) for seed in range(3)}
    for shares, seen in (((0.7,) * 3, True), ((0.4, 0.7, 1.0), False), ((0.5,) * 3, False)):
        second = several(*shares)
        middle, low, high = apart(told := differences(base, second, deviations([base, second]))["recall@1"])
        assert (NONE_SEEN not in told) == (low > 0 or high < 0) == seen
        over_seeds = deviations([base, second])["recall@1"].reach(2 / 3)
        assert min(middle - low, high - middle) > over_seeds + (2e-3 if seen else 0)  # which classes add


def test_ways_that_lie_apart_by_seeds_of_their_own() -> None:
    """A network that is not trained is the same whatever its seed."""
    first, second = several(0.5, 0.5, 0.5), several(0.7, 0.75, 0.9)
    first = dict.fromkeys(first, first[0])
    values = [one["map@r"] for one in second.values()]
    over_seeds = 4.302653 * float(np.std(values, ddof=1)) / np.sqrt(3)  # Student's at 0.975, 2 degrees of freedom
    middle, low, high = apart(differences(first, second)["map@r"])
    assert middle == pytest.approx(np.mean(values) - first[0]["map@r"], abs=5e-4)
    assert over_seeds < high - middle < over_seeds + 0.05
    assert over_seeds < middle - low < over_seeds + 0.05
    for too_few in (several(0.7), {0: second[0], 1: second[0]}):
        assert differences(first, too_few)["map@r"].endswith(", of one training")


def test_one_training_says_nothing_of_seeds() -> None:
    one, two = several(0.5), several(0.6)
    assert differences(one, two, deviations([one, two]))["recall@1"].endswith(", of one training")
    three = several(0.5, 0.6, 0.7)
    assert differences(three, one, deviations([three]), same_training=True)["map@r"].endswith(", of one training")


def test_few_classes_are_told() -> None:
    assert few_classes(result(0.5)) == ""
    few = {**result(0.5), "classes": result(0.5)["classes"][:15]}
    assert few_classes(few) == "15 classes: intervals over other classes are rough"


def test_means_have_their_spread() -> None:
    assert mean([{"map@r": 0.5}, {"map@r": 0.52}], "map@r") == "0.510 ± 0.014"
    assert mean([{"map@r": 0.5}], "map@r") == "0.500"
