import numpy as np
import pyarrow as pa
import pytest

from eval.calibration import expected_threshold, unknown_threshold
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate
from eval.open_set import auroc
from eval.separation import FALSE_ACCEPTS, nearest_of_own, open_set_curve, separation


def drawn(count: int, classes: int, seed: int, noise: float = 0.8) -> EmbeddingSet:
    random = np.random.default_rng(seed)
    codes = np.arange(count) % classes
    vectors = np.random.default_rng(5).standard_normal((classes, 12))[codes]
    vectors = vectors + noise * random.standard_normal((count, 12))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = [None if row == 7 else f"kind{code}" for row, code in enumerate(codes)]
    return EmbeddingSet(vectors, pa.table({"id": [f"{seed}-{row}" for row in range(count)], "label": labels}), "f")


@pytest.mark.parametrize("itself", [True, False])
def test_histograms_threshold_and_curve_are_those_of_all_pairs(itself: bool) -> None:
    queries, references = drawn(120, 30, 0), None if itself else drawn(90, 30, 1)
    targets = queries if references is None else references
    evaluation = evaluate(queries, references)
    found = separation(queries, references, evaluation)
    assert found is not None
    similarities = queries.vectors.astype(np.float64) @ targets.vectors.T.astype(np.float64)
    similarities[:, [label is None for label in targets.labels]] = -2
    if itself:
        np.fill_diagonal(similarities, -2)
    same, other, codes = [], [], []
    for row, label in enumerate(queries.labels):
        if label is None:
            continue
        mine = np.array([one == label for one in targets.labels])
        same.append(similarities[row, mine].max())
        other.append(similarities[row, ~mine].max())
        codes.append(int(label[4:]))
    edges = np.array(found.edges)
    assert edges[0] <= min(same + other) and edges[-1] >= max(same + other)
    for shares, scores in ((found.same, same), (found.other, other)):
        assert sum(shares) == pytest.approx(1)
        assert np.abs(np.histogram(scores, edges)[0] / len(scores) - shares).max() < 2 / len(scores)
    threshold = unknown_threshold(np.array(other), np.array(codes), FALSE_ACCEPTS)
    assert found.threshold == pytest.approx(threshold, abs=1e-6)
    assert (found.false_accepts, found.estimated) == (FALSE_ACCEPTS, False)
    known = similarities[[label is not None for label in queries.labels]].max(axis=1)
    assert found.known_accepted == pytest.approx((known > found.threshold + 1e-6).mean())
    assert found.unknown_accepted == pytest.approx((evaluation.hidden_scores > found.threshold).mean())
    unknown_share, known_share = np.array(found.curve).T
    assert np.trapezoid(known_share, unknown_share) == pytest.approx(auroc(known, np.array(other)), abs=0.01)


def test_too_few_classes_for_a_threshold() -> None:
    queries = drawn(40, 4, 0)
    found = separation(queries, None, evaluate(queries))
    assert found is not None
    assert (found.threshold, found.known_accepted, found.unknown_accepted) == (None, None, None)
    assert (found.false_accepts, found.estimated) == (None, False)


@pytest.mark.parametrize("classes", [5, 16, 18])
def test_few_classes_have_a_threshold_that_is_an_estimate(classes: int) -> None:
    """For the rate that so many classes can tell of."""
    queries = drawn(144, classes, 0)
    evaluation = evaluate(queries)
    found = separation(queries, None, evaluation)
    assert found is not None
    codes, _ = queries.label_codes()
    expected = expected_threshold(evaluation.hidden_scores, codes[codes >= 0], 1 / (classes + 1))
    assert (found.threshold, found.false_accepts, found.estimated) == (expected, 1 / (classes + 1), True)
    assert found.unknown_accepted is not None and found.unknown_accepted <= 1.5 / (classes + 1)


def test_one_class_has_nothing_to_be_separated_from() -> None:
    queries = drawn(6, 1, 0)
    assert separation(queries, None, evaluate(queries)) is None


def test_a_query_of_a_class_without_references_has_no_nearest_of_its_own() -> None:
    queries, references = drawn(4, 4, 0), drawn(4, 2, 1)
    codes = np.arange(4)
    scores = nearest_of_own(queries, references, codes, np.array([0, 1, 0, 1]))
    assert np.isinf(scores[2:]).all() and np.isfinite(scores[:2]).all()


def test_the_curve_goes_from_nobody_to_everybody() -> None:
    curve = open_set_curve(np.array([0.9, 0.8, 0.2]), np.array([0.5, 0.1]))
    assert curve[0] == (0.0, 0.0) and curve[-1] == (1.0, 1.0)
    assert (0.0, pytest.approx(2 / 3)) in curve and (0.5, pytest.approx(2 / 3)) in curve
    assert np.diff(np.array(curve), axis=0).min() >= 0
