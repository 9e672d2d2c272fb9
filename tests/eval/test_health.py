from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import skew

from eval.health import alignment, dead_dimensions, effective_rank, health, hubness, uniformity
from tests.eval.test_evaluation import embeddings
from tests.eval.test_neighbours import unit


def test_alignment_is_over_all_pairs_of_one_class() -> None:
    vectors, codes = unit(40, 6), np.random.default_rng(0).integers(-1, 7, 40)
    pairs = [
        ((vectors[one] - vectors[two]) ** 2).sum()
        for one, two in combinations(range(40), 2)
        if codes[one] == codes[two] >= 0
    ]
    assert alignment(vectors, codes) == pytest.approx(np.mean(pairs), rel=1e-5)


def test_uniformity_is_over_all_pairs() -> None:
    vectors = unit(50, 6)
    pairs = [np.exp(-2 * ((vectors[one] - vectors[two]) ** 2).sum()) for one, two in combinations(range(50), 2)]
    assert uniformity(vectors) == pytest.approx(np.log(np.mean(pairs)), rel=1e-5)
    assert uniformity(np.repeat(vectors[:1], 9, axis=0)) == pytest.approx(0, abs=1e-5)
    assert uniformity(unit(3000, 512)) == pytest.approx(-4, abs=0.05)


def test_effective_rank_counts_dimensions_that_are_used() -> None:
    assert effective_rank(np.eye(7, dtype=np.float32)) == pytest.approx(7)
    assert effective_rank(np.repeat(np.eye(7, dtype=np.float32)[:1], 5, axis=0)) == pytest.approx(1)
    vectors = unit(60, 9)
    values = np.linalg.svd(vectors.astype(float), compute_uv=False)
    shares = values / values.sum()
    assert effective_rank(vectors) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)


def test_hubness_is_the_skewness_of_occurrences() -> None:
    vectors = unit(80, 20)
    occurrences = Counter(dict.fromkeys(range(80), 0))
    for row, similarities in enumerate(vectors @ vectors.T):
        others = [other for other in np.argsort(-similarities, kind="stable") if other != row]
        occurrences.update(others[:10])
    assert hubness(vectors) == pytest.approx(skew([*occurrences.values()]))
    assert hubness(np.eye(4, dtype=np.float32)[:2]) == 0


def test_dead_dimensions_do_not_vary() -> None:
    vectors = unit(100, 10)
    vectors[:, [2, 5, 6]] = 0.1
    assert dead_dimensions(vectors) == pytest.approx(0.3)
    assert dead_dimensions(unit(100, 10)) == 0
    assert dead_dimensions(np.repeat(vectors[:1], 5, axis=0)) == 1


def test_without_pairs_of_a_class_there_is_no_alignment() -> None:
    names = {"uniformity", "effective_rank", "hubness", "dead_dimensions"}
    assert set(health(embeddings([*"abc", None]))) == names
    assert set(health(embeddings([None, None]))) == names
    assert set(health(embeddings([*"aab"]))) == {"alignment", *names}
