import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from eval.errors import InputError
from eval.open_set import auroc, false_positive_rate


@pytest.fixture(params=["distinct", "ties"])
def scores(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    known, unknown = draw.normal(1, 1, 300), draw.normal(0, 1, 170)
    return (known, unknown) if request.param == "distinct" else (known.round(1), unknown.round(1))


def test_it_agrees_with_scikit_learn(scores: tuple[np.ndarray, np.ndarray]) -> None:
    known, unknown = scores
    labels, both = np.repeat([1, 0], [300, 170]), np.concatenate(scores)
    assert auroc(known, unknown) == pytest.approx(roc_auc_score(labels, both))
    positives, negatives = (rates for rates in reversed(roc_curve(labels, both, drop_intermediate=False)[:2]))
    for rate in (0.5, 0.95, 1.0):
        expected = negatives[np.flatnonzero(positives >= rate - 1e-12)[0]]
        assert false_positive_rate(known, unknown, rate) == pytest.approx(expected)


def test_by_pairs(scores: tuple[np.ndarray, np.ndarray]) -> None:
    known, unknown = scores
    wins = (known[:, None] > unknown).mean() + (known[:, None] == unknown).mean() / 2
    assert auroc(known, unknown) == pytest.approx(wins)


def test_the_ends() -> None:
    low, high = np.zeros(5), np.ones(7)
    assert (auroc(high, low), auroc(low, high), auroc(low, low)) == (1, 0, 0.5)
    assert (false_positive_rate(high, low), false_positive_rate(low, high)) == (0, 1)
    assert auroc(np.array([np.inf]), np.array([-np.inf])) == 1


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="no unknown photos"):
        auroc(np.ones(2), np.ones(0))
    with pytest.raises(InputError, match="score 1 of the known photos is not a number"):
        false_positive_rate(np.array([0, np.nan]), np.ones(1))
    with pytest.raises(InputError, match="true_positive_rate is 0"):
        false_positive_rate(np.ones(1), np.ones(1), 0)
