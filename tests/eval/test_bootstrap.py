import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from eval import bootstrap
from eval.bootstrap import class_intervals
from eval.errors import InputError


def one(scores, codes, **options):
    return class_intervals({"recall@1": np.asarray(scores, float)}, np.asarray(codes), **options)["recall@1"]


def naive_pivots(scores: np.ndarray, codes: np.ndarray, drawn: np.ndarray) -> tuple[list[float], list[float]]:
    """The pivot and the error of each resample, as defined: draw classes, list queries, linearise the ratio."""
    classes = np.unique(codes)
    pivots, errors = [], []
    for times in drawn:
        chosen = [scores[codes == name] for name, often in zip(classes, times, strict=True) for _ in range(often)]
        mean = np.concatenate(chosen).mean()
        residuals = np.array([(part - mean).sum() for part in chosen])
        error = np.sqrt((residuals**2).sum()) / sum(map(len, chosen))
        pivots.append((mean - scores.mean()) / error)
        errors.append(error)
    return pivots, errors


def test_it_is_what_the_definitions_give() -> None:
    draw = np.random.default_rng(0)
    codes = np.repeat([3, 7, 8, 9, 11, 12, 13, 20], [4, 1, 6, 9, 2, 3, 3, 2])
    scores = draw.random(30)
    found = one(scores, codes, resamples=200, seed=5)
    drawn = np.random.default_rng(5).multinomial(8, [1 / 8] * 8, 200)
    pivots, errors = naive_pivots(scores, codes, drawn)
    residuals = np.array([(scores[codes == name] - scores.mean()).sum() for name in np.unique(codes)])
    error = np.sqrt((residuals**2).sum()) / 30
    squares = residuals**2
    standing_out = squares.sum() ** 2 / (squares**2).sum()
    limit = chi2.ppf(0.975, 2 * (standing_out + 1)) / 2  # of a Poisson mean
    least = min(0.5, standing_out / (limit - standing_out))
    pivots = [pivot * min(1, resampled / (least * error)) for pivot, resampled in zip(pivots, errors, strict=True)]
    low, high = scores.mean() - error * np.quantile(pivots, [0.975, 0.025])
    assert (found.mean, found.classes) == (pytest.approx(scores.mean()), 8)
    assert (found.low, found.high) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))
    assert found.is_rough


def test_classes_are_drawn_and_not_queries() -> None:
    """Forty queries of two classes that are each all right or all wrong tell as much as two queries."""
    draw = np.random.default_rng(1)
    right = draw.random(40) < 0.5
    few = one(np.repeat(right, 25), np.repeat(np.arange(40), 25))
    alone = one(right, np.arange(40))
    assert few.high - few.low == pytest.approx(alone.high - alone.low)
    many = one(np.repeat(right, 25), np.arange(1000))
    assert many.high - many.low < (few.high - few.low) / 3


def test_all_names_share_the_draws_and_the_order_of_queries_does_not_matter() -> None:
    draw = np.random.default_rng(2)
    codes, scores = draw.integers(0, 30, 200), draw.random(200)
    both = class_intervals({"a": scores, "b": 1 - scores}, codes)
    assert both["a"].low == pytest.approx(1 - both["b"].high)
    order = draw.permutation(200)
    shuffled, found = one(scores[order], codes[order]), one(scores, codes)
    assert (shuffled.low, shuffled.high) == (pytest.approx(found.low), pytest.approx(found.high))
    assert one(scores, codes, seed=1).low != pytest.approx(found.low)
    assert not both["a"].is_rough


@pytest.mark.parametrize("score", [0.0, 1.0, 0.25])
def test_classes_that_are_all_alike_do_not_rule_out_another(score: float) -> None:
    """Had a twelfth of all classes been otherwise, 30 would still all be alike with a probability of 7 %."""
    found = one([score] * 90, np.repeat(np.arange(30), 3))
    unseen = binomtest(0, 30).proportion_ci(0.95).high
    assert found.mean == pytest.approx(score)
    assert found.low == pytest.approx(score - unseen * score)
    assert found.high == pytest.approx(score + unseen * (1 - score))


def test_one_class_tells_nothing_about_others() -> None:
    found = one([1, 0, 1], [4, 4, 4])
    assert (found.low, found.high) == (0.0, 1.0)
    assert one([0.5, 0.1], [1, 1], bounds=(-1.0, 1.0)).low == -1.0


def test_the_interval_stays_within_what_scores_can_be() -> None:
    scores = np.ones(100)
    scores[:3] = 0
    found = one(scores, np.repeat(np.arange(25), 4))
    assert 0 <= found.low < found.mean <= found.high == 1


def test_it_holds_the_truth_as_often_as_it_says() -> None:
    """300 sets of 40 classes, whose true mean over all classes that there could be is 0.7."""
    draw = np.random.default_rng(3)
    held = 0
    for number in range(300):
        rates = draw.beta(3.5, 1.5, 40)
        codes = np.repeat(np.arange(40), draw.poisson(15, 40) + 1)
        found = one(draw.random(len(codes)) < rates[codes], codes, resamples=400, seed=number)
        held += found.low <= 0.7 <= found.high
    assert 0.91 <= held / 300 <= 0.985


def test_what_has_no_mean_is_refused() -> None:
    with pytest.raises(InputError, match="0 scores for 0 queries"):
        one([], [])
    with pytest.raises(InputError, match="2 scores for 3 queries"):
        one([0, 1], [1, 2, 3])
    with pytest.raises(InputError, match="recall@1: score 1 is not finite"):
        one([0, np.nan], [1, 2])


def test_a_million_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(6)
    found = one(draw.random(1_000_000) < 0.3, np.arange(1_000_000))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.sqrt(0.21 / 1e6), rel=0.01)
    scores, codes = draw.random(3000), draw.integers(0, 1000, 3000)
    resampled = one(scores, codes)
    monkeypatch.setattr(bootstrap, "MANY_CLASSES", 1000)
    normal = one(scores, codes)
    assert (normal.low, normal.high) == (
        pytest.approx(resampled.low, abs=5e-4),
        pytest.approx(resampled.high, abs=5e-4),
    )


@pytest.mark.parametrize(("classes", "queries", "rate"), [(32, 10, 0.99), (100, 1, 0.97), (50, 10, 0.995)])
def test_few_classes_that_differ_do_not_make_it_narrow(classes: int, queries: int, rate: float) -> None:
    draw, codes = np.random.default_rng(7), np.repeat(np.arange(classes), queries)
    found = [one(draw.random(len(codes)) < rate, codes, resamples=300, seed=number) for number in range(300)]
    assert np.mean([interval.low <= rate <= interval.high for interval in found]) > 0.93


def test_more_that_differ_make_it_no_narrower() -> None:
    """Of 25 classes with 8 queries each, none, one, two ... queries of other classes are wrong."""
    codes, lows = np.repeat(np.arange(25), 8), []
    for wrong in range(4):
        scores = np.ones(200)
        scores[np.arange(wrong) * 8] = 0
        lows.append(one(scores, codes).low)
    assert lows[1] > lows[2] > lows[3] > 0.9


def test_a_few_classes_that_stand_apart_do_not_blow_the_interval_up() -> None:
    """Three of sixty: what Poisson's upper limit for their number allows, and not everything."""
    draw = np.random.default_rng(3)
    codes = np.repeat(np.arange(60), 15)
    rates = np.where(np.arange(60) < 3, 0.2, draw.normal(0.95, 0.01, 60))
    found = one(np.clip(rates[codes] + draw.normal(0, 0.01, 900), 0, 1), codes)
    limit = chi2.ppf(0.975, 2 * (3 + 1)) / 2
    assert found.mean - found.low == pytest.approx((limit - 3) / 60 * 0.75, rel=0.2)
    assert found.high - found.mean < 0.04


def test_few_classes_with_most_of_the_queries_are_rough() -> None:
    draw = np.random.default_rng(4)
    equal, unequal = np.repeat(np.arange(50), 20), np.repeat(np.arange(50), [500] * 4 + [2] * 46)
    assert one(draw.random(1000), equal).effective_classes == pytest.approx(50)
    found = one(draw.random(len(unequal)), unequal)
    assert found.effective_classes == pytest.approx(len(unequal) ** 2 / (4 * 500**2 + 46 * 4))
    assert found.is_rough
    assert found.classes == 50
