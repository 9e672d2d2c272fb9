import numpy as np
import pytest

from eval.errors import InputError
from eval.metrics import (
    average_precision_at_k,
    map_at_r,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)


@pytest.fixture
def ranked() -> tuple[np.ndarray, np.ndarray]:
    """Relevance of 200 queries to their 30 nearest, and R between 1 and 30, some of them not found."""
    draw = np.random.default_rng(0)
    counts = draw.integers(1, 31, 200)
    relevant = np.zeros((200, 30), bool)
    for row, count in zip(relevant, counts, strict=True):
        places = draw.permutation(40)[:count]
        row[places[places < 30]] = True
    return relevant, counts


def naive_average_precision(row: np.ndarray, depth: int, divisor: int) -> float:
    total = 0.0
    for place in range(depth):
        if row[place]:
            total += sum(row[: place + 1]) / (place + 1)
    return total / divisor


def test_every_metric_recomputed_by_loops(ranked: tuple[np.ndarray, np.ndarray]) -> None:
    relevant, counts = ranked
    for k in (1, 2, 7, 30):
        assert recall_at_k(relevant, k).tolist() == [float(any(row[:k])) for row in relevant]
        assert precision_at_k(relevant, k).tolist() == pytest.approx([sum(row[:k]) / k for row in relevant])
        expected = [next((1 / place for place in range(1, k + 1) if row[place - 1]), 0.0) for row in relevant]
        assert reciprocal_rank_at_k(relevant, k).tolist() == pytest.approx(expected)
        expected = [naive_average_precision(row, k, min(R, k)) for row, R in zip(relevant, counts, strict=True)]
        np.testing.assert_allclose(average_precision_at_k(relevant, counts, k), expected, atol=1e-12)
    expected = [sum(row[:R]) / R for row, R in zip(relevant, counts, strict=True)]
    np.testing.assert_allclose(r_precision(relevant, counts), expected, atol=1e-12)
    expected = [naive_average_precision(row, R, R) for row, R in zip(relevant, counts, strict=True)]
    np.testing.assert_allclose(map_at_r(relevant, counts), expected, atol=1e-12)


def test_a_perfect_order_scores_one_and_an_empty_one_zero() -> None:
    counts = np.array([1, 3, 8])
    perfect = np.arange(8) < counts[:, None]
    for relevant, score in ((perfect, 1.0), (np.zeros((3, 8), bool), 0.0)):
        for values in (
            recall_at_k(relevant, 1),
            precision_at_k(relevant, 1),
            reciprocal_rank_at_k(relevant, 8),
            r_precision(relevant, counts),
            map_at_r(relevant, counts),
            average_precision_at_k(relevant, counts, 2),
        ):
            assert values.tolist() == [score] * 3


def test_too_few_neighbours_or_nothing_to_find_is_an_error() -> None:
    relevant, counts = np.ones((2, 4), bool), np.array([2, 5])
    for metric in (r_precision, map_at_r):
        with pytest.raises(InputError, match="needs the 5 nearest"):
            metric(relevant, counts)
        with pytest.raises(InputError, match="without any reference of its class"):
            metric(relevant, np.array([0, 2]))
    for metric in (recall_at_k, precision_at_k, reciprocal_rank_at_k):
        with pytest.raises(InputError, match="needs the 5 nearest"):
            metric(relevant, 5)
    with pytest.raises(InputError, match="needs the 0 nearest, at least 1"):
        recall_at_k(relevant, 0)
    with pytest.raises(InputError, match="needs the 5 nearest"):
        average_precision_at_k(relevant, counts, 5)
    with pytest.raises(InputError, match="without any reference of its class"):
        average_precision_at_k(relevant, np.array([0, 2]), 2)
