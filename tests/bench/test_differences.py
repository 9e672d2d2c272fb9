"""Differences over classes and over seeds, as the tables of bench/techniques.py and bench/peers.py show them."""

import re

import numpy as np
import pytest
from scipy.stats import ttest_rel

from bench.differences import (
    NONE_SEEN,
    Contrast,
    Result,
    contrast,
    differences,
    few_classes,
    mean,
    unpaired_differences,
)

CLASSES = 30
QUERIES = np.arange(CLASSES) % 3 + 4


def result(share: float, seed: int = 0) -> Result:
    """One training's: in each class about that share of the queries is right, by both metrics."""
    right = QUERIES * np.clip(np.random.default_rng(seed).normal(share, 0.1, CLASSES), 0, 1)
    overall = float(right.sum() / QUERIES.sum())
    classes = [[int(queries), float(one), float(one)] for queries, one in zip(QUERIES, right, strict=True)]
    return {"recall@1": overall, "map@r": overall, "classes": classes}


def several(*shares: float) -> dict[int, Result]:
    """Trainings of the seeds 0, 1, ..."""
    return {seed: result(share, seed) for seed, share in enumerate(shares)}


def apart(told: str) -> tuple[float, float, float]:
    """A difference and the ends of its interval."""
    middle, low, high = re.findall(r"[+-]\d\.\d+", told)
    return float(middle), float(low), float(high)


def trainings(*ways: np.ndarray) -> dict[str, dict[int, Result]]:
    """Ways a, b, ... with their metrics by seed, the same in all classes."""
    made = [{seed: alike(value) for seed, value in enumerate(way)} for way in ways]
    return dict(zip("abcdefgh", made, strict=False))


def alike(share: float) -> Result:
    """A training that gets the same share of queries right in all classes."""
    classes = [[int(queries), share * queries, share * queries] for queries in QUERIES]
    return {"recall@1": share, "map@r": share, "classes": classes}


def difference_of(found: Contrast) -> float:
    """What a contrast is of, by MAP@R."""
    return float(found.weights @ [one["map@r"] for one in found.results])


def test_two_ways_with_the_same_seeds_are_held_against_each_other_as_pairs() -> None:
    draw = np.random.default_rng(0)
    one, two = draw.normal(0.5, 0.05, 4), draw.normal(0.6, 0.05, 4)
    expected = ttest_rel(two, one).confidence_interval(0.95)
    found = contrast(trainings(one, two), "a", "b")
    assert difference_of(found) == pytest.approx((two - one).mean())
    assert found.reach["map@r"] == pytest.approx((expected.high - expected.low) / 2)


def test_a_seed_that_is_good_for_all_ways_is_no_effect() -> None:
    """The second has the good seed alone, the others tell that it is one."""
    seeds = np.array([0.4, 0.0])
    ways = trainings(0.3 + seeds, 0.35 + seeds, 0.31 + seeds)
    del ways["b"][1]
    assert apart(differences(ways, "a", "c")["recall@1"])[0] == pytest.approx(0.01)
    assert differences(ways, "a", "b")["recall@1"] == "+0.050, of one training"


@pytest.mark.parametrize("of_seeds", [0.0, 0.03])
def test_the_interval_over_seeds_holds_the_truth_as_often_as_it_says(of_seeds: float) -> None:
    """Whether seeds matter or not, and though some ways have fewer than the base."""
    draw, held, tries = np.random.default_rng(0), 0, 600
    for _ in range(tries):
        seeds = draw.normal(0, of_seeds, 5)
        ways = trainings(*(0.5 + seeds[:count] + draw.normal(0, 0.01, count) for count in (5, 2, 2, 1, 2)))
        found = contrast(ways, "a", "e")
        held += abs(difference_of(found)) <= found.reach["map@r"]
    assert 0.93 < held / tries < 0.975


def test_what_no_seed_joins_cannot_be_compared() -> None:
    ways = {"a": {0: alike(0.5), 1: alike(0.5)}, "b": {2: alike(0.6), 3: alike(0.6)}}
    with pytest.raises(ValueError, match="no seed joins 'a' and 'b'"):
        differences(ways, "a", "b")
    joined = ways | {"c": {1: alike(0.5), 2: alike(0.5)}}
    assert difference_of(contrast(joined, "a", "b")) == pytest.approx(0.1)


def test_an_effect_is_beyond_other_classes_and_other_seeds_together() -> None:
    base = {seed: result(0.5, seed + 9) for seed in range(3)}
    for shares, seen in (((0.7,) * 3, True), ((0.4, 0.7, 1.0), False), ((0.5,) * 3, False)):
        second = several(*shares)
        middle, low, high = apart(told := differences({"base": base, "second": second}, "base", "second")["recall@1"])
        assert (NONE_SEEN not in told) == (low > 0 or high < 0) == seen
        pairs = [second[seed]["recall@1"] - base[seed]["recall@1"] for seed in base]
        over_seeds = 4.302653 * float(np.std(pairs, ddof=1)) / np.sqrt(3)  # Student's at 0.975, 2 degrees of freedom
        assert min(middle - low, high - middle) > over_seeds - 5e-4 + (2e-3 if seen else 0)  # which classes add


def test_ways_that_lie_apart_by_seeds_of_their_own() -> None:
    """A network that is not trained is the same whatever its seed."""
    first, second = several(0.5, 0.5, 0.5), several(0.7, 0.75, 0.9)
    first = dict.fromkeys(first, first[0])
    values = [one["map@r"] for one in second.values()]
    over_seeds = 4.302653 * float(np.std(values, ddof=1)) / np.sqrt(3)  # Student's at 0.975, 2 degrees of freedom
    middle, low, high = apart(unpaired_differences(first, second)["map@r"])
    assert middle == pytest.approx(np.mean(values) - first[0]["map@r"], abs=5e-4)
    assert over_seeds < high - middle < over_seeds + 0.05
    assert over_seeds < middle - low < over_seeds + 0.05
    for too_few in (several(0.7), {0: second[0], 1: second[0]}):
        assert unpaired_differences(first, too_few)["map@r"].endswith(", of one training")


def test_one_training_says_nothing_of_seeds() -> None:
    assert differences({"a": several(0.5), "b": several(0.6)}, "a", "b")["recall@1"].endswith(", of one training")


def test_few_classes_are_told() -> None:
    assert few_classes(result(0.5)) == ""
    few = {**result(0.5), "classes": result(0.5)["classes"][:15]}
    assert few_classes(few) == "15 classes: intervals over other classes are rough"


def test_means_have_their_spread() -> None:
    assert mean([{"map@r": 0.5}, {"map@r": 0.52}], "map@r") == "0.510 ± 0.014"
    assert mean([{"map@r": 0.5}], "map@r") == "0.500"
