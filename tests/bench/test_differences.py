"""Differences over classes and over seeds, as the tables of bench/techniques.py and bench/peers.py show them."""

import numpy as np
import pytest

from bench.differences import NONE_SEEN, Result, differences, few_classes, mean, over_seeds

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


def test_pairs_of_seeds_are_compared_pair_by_pair() -> None:
    apart = np.array([0.02, 0.05, 0.03])
    low, high = over_seeds([0.5, 0.6, 0.4], [*(np.array([0.5, 0.6, 0.4]) + apart)])
    reach = 4.302653 * apart.std(ddof=1) / np.sqrt(3)  # Student's t at 0.975, 2 degrees of freedom
    assert (low, high) == (pytest.approx(apart.mean() - reach), pytest.approx(apart.mean() + reach))


def test_one_training_beside_several_lies_within_their_spread_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    found = [over_seeds([*draw.normal(0.7, 0.01, 4)], [draw.normal(0.75, 0.01)]) for _ in range(1000)]
    assert 0.93 < np.mean([low <= 0.05 <= high for low, high in found]) < 0.97


def test_two_trainings_alone_say_nothing_of_seeds() -> None:
    assert over_seeds([0.5], [0.6]) == (None, None)
    assert ", seeds [" not in differences(several(0.5), several(0.6))["recall@1"]


def test_the_mean_is_over_the_seeds_of_both() -> None:
    first, second = several(0.5, 0.5, 0.9), {seed: result(0.6, seed) for seed in (0, 1)}
    second[1] = result(0.7, 5)
    expected = np.mean([second[seed]["recall@1"] - first[seed]["recall@1"] for seed in (0, 1)])
    assert differences(first, second)["recall@1"].startswith(f"{expected:+.3f}, classes [")


def test_one_training_is_compared_with_the_mean_of_all_others() -> None:
    first, second = several(0.5, 0.54), {0: result(0.6)}
    expected = second[0]["map@r"] - np.mean([one["map@r"] for one in first.values()])
    assert differences(first, second)["map@r"].startswith(f"{expected:+.3f}, classes [")
    of_one = second[0]["map@r"] - first[0]["map@r"]
    told = differences(first, second, same_training=True)["map@r"]
    assert told.startswith(f"{of_one:+.3f}, classes [")
    assert "seeds" not in told


def test_an_effect_is_beyond_other_classes_and_beyond_other_seeds() -> None:
    base = {seed: result(0.5, seed + 9) for seed in range(3)}
    told = {shares: differences(base, several(*shares))["recall@1"] for shares in ((0.7,) * 3, (0.4, 0.7, 1.0))}
    assert [NONE_SEEN in one for one in told.values()] == [False, True]
    assert all(one.split("classes [")[1].startswith("+") for one in told.values())
    assert NONE_SEEN in differences(base, several(0.5, 0.5, 0.5))["recall@1"]


def test_few_classes_are_told() -> None:
    assert few_classes(result(0.5)) == ""
    few = {**result(0.5), "classes": result(0.5)["classes"][:15]}
    assert few_classes(few) == "15 classes: intervals over other classes are rough"


def test_means_have_their_spread() -> None:
    assert mean([{"map@r": 0.5}, {"map@r": 0.52}], "map@r") == "0.510 ± 0.014"
    assert mean([{"map@r": 0.5}], "map@r") == "0.500"
