"""The metrics beside those of other libraries, on sets with ties, copies, lone classes and a long tail.

Where definitions agree the numbers do, to 1e-6. Where they do not, a test says in what and why.
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.metrics import average_precision_score, normalized_mutual_info_score, roc_auc_score

from eval.clusters import cluster_scores, k_means
from eval.embeddings import EmbeddingSet
from eval.evaluation import Evaluation, evaluate
from eval.verification import verify
from tests.eval.test_neighbours import grid, unit

KINDS = ["distinct", "copies", "ties"]


def some(kind: str, rows: int = 240, seed: int = 0) -> EmbeddingSet:
    """Vectors with labels of a long tail, a few classes of them of one photo."""
    draw = np.random.default_rng(seed)
    labels = draw.geometric(0.12, rows)
    vectors = grid(rows, seed) if kind == "ties" else unit(rows, 16, seed)
    vectors = vectors.copy()
    if kind == "copies":
        vectors[draw.integers(0, rows, rows // 5)] = vectors[draw.integers(0, rows, rows // 5)]
    names = pa.array([f"kind {label}" for label in labels])
    return EmbeddingSet(vectors, pa.table({"id": [f"{seed}-{row}" for row in range(rows)], "label": names}), "f")


@pytest.fixture(params=KINDS)
def queries(request: pytest.FixtureRequest) -> EmbeddingSet:
    found = some(request.param)
    assert {1, 2} < set(Counter(found.labels).values())
    return found


def ranked(queries: EmbeddingSet, evaluation: Evaluation) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each query that is measured: its similarity to all others, and which of them are of its class."""
    codes, _ = queries.label_codes()
    found = []
    for row in evaluation.rows:
        others = np.arange(len(queries)) != row
        similarities = queries.vectors[others].astype(float) @ queries.vectors[row].astype(float)
        found.append((similarities, codes[others] == codes[row]))
    return found


PML_NAMES = {"recall@1": "precision_at_1", "r_precision": "r_precision", "map@r": "mean_average_precision_at_r"}


def test_pytorch_metric_learning(queries: EmbeddingSet) -> None:
    """It leaves out lone classes as well. Of equally near ones it takes any, so it is told to go by row."""

    def by_row(asked: torch.Tensor, k: int, references: torch.Tensor, *_: object) -> tuple:
        similarities = asked.double() @ references.double().T
        similarities.fill_diagonal_(-torch.inf)
        found = torch.sort(similarities.round(decimals=6), dim=1, descending=True, stable=True)
        return 1 - found.values[:, :k], found.indices[:, :k]

    codes, _ = queries.label_codes()
    calculator = AccuracyCalculator(k="max_bin_count", device=torch.device("cpu"), knn_func=by_row)
    scores = calculator.get_accuracy(queries.vectors, codes)
    means = evaluate(queries).means()
    for name, theirs in PML_NAMES.items():
        assert means[name] == pytest.approx(scores[theirs], abs=1e-6)


def test_pytorch_metric_learning_with_its_own_search() -> None:
    queries = some("distinct")
    codes, _ = queries.label_codes()
    scores = AccuracyCalculator(k="max_bin_count", device=torch.device("cpu")).get_accuracy(queries.vectors, codes)
    means = evaluate(queries).means()
    for name, theirs in PML_NAMES.items():
        assert means[name] == pytest.approx(scores[theirs], abs=1e-6)


def test_scikit_learn_s_average_precision_is_the_map_of_all_places() -> None:
    """With k = everything, mAP@k divides by R, as scikit-learn does; ties it takes together, so there are none here."""
    queries = some("distinct")
    evaluation = evaluate(queries, None, [len(queries)])
    expected = [average_precision_score(right, similarities) for similarities, right in ranked(queries, evaluation)]
    np.testing.assert_allclose(evaluation.per_query[f"map@{len(queries)}"], expected, atol=1e-6)


def test_scikit_learn_s_auroc(queries: EmbeddingSet) -> None:
    evaluation = evaluate(queries)
    known = evaluation.nearest.similarities[evaluation.rows, 0]
    scores = np.concatenate([known, evaluation.hidden_scores])
    expected = roc_auc_score([1] * len(known) + [0] * len(evaluation.hidden_scores), scores)
    assert evaluation.open_set()["auroc"] == pytest.approx(expected, abs=1e-6)


def test_scikit_learn_s_mutual_information() -> None:
    queries = some("distinct")
    codes, names = queries.label_codes()
    expected = normalized_mutual_info_score(codes, k_means(queries.vectors, len(names)))
    assert cluster_scores(queries)["nmi"] == pytest.approx(expected, abs=1e-6)


def test_torchmetrics(queries: EmbeddingSet) -> None:
    """Its functions rank scores without a rule for ties, so they get ours: the place in our order."""
    functional = pytest.importorskip("torchmetrics.functional.retrieval", reason="torchmetrics is not installed")
    evaluation = evaluate(queries, None, [1, 8])
    theirs: dict[str, list[float]] = {}
    for similarities, right in ranked(queries, evaluation):
        order = np.argsort(-similarities.astype(np.float32), kind="stable")
        scores, hits = torch.arange(len(order), 0, -1).float(), torch.from_numpy(right[order])
        for name, found in {
            "recall@8": functional.retrieval_hit_rate(scores, hits, 8),
            "r_precision": functional.retrieval_r_precision(scores, hits),
            "precision@8": functional.retrieval_precision(scores, hits, 8),
            "mrr@8": functional.retrieval_reciprocal_rank(scores, hits, 8),
        }.items():
            theirs.setdefault(name, []).append(float(found))
    for name, values in theirs.items():
        np.testing.assert_allclose(evaluation.per_query[name], values, atol=1e-6)


def test_torchmetrics_divides_map_at_k_by_what_was_found() -> None:
    """Two of class among four, one of them in the first two places: the best order would reach 1, and ours is 1 / 2.

    torchmetrics divides by the one that was found, which rewards finding little.
    """
    functional = pytest.importorskip("torchmetrics.functional.retrieval", reason="torchmetrics is not installed")
    angles = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    table = pa.table({"id": [*"vwxyz"], "label": [*"aabab"]})
    ours = evaluate(EmbeddingSet(vectors, table, "f"), None, [2]).per_query["map@2"][0]
    theirs = functional.retrieval_average_precision(torch.tensor([4.0, 3, 2, 1]), torch.tensor([1, 0, 1, 0]) > 0, 2)
    assert (ours, float(theirs)) == (0.5, 1.0)


def test_ranx(queries: EmbeddingSet) -> None:
    """Its recall is the share of all R that is found, its hit rate is our recall; and its mAP@k divides by R."""
    ranx = pytest.importorskip("ranx", reason="ranx is not installed")
    evaluation = evaluate(queries, None, [1, 8])
    relevant, run = {}, {}
    for number, (similarities, right) in enumerate(ranked(queries, evaluation)):
        order = np.argsort(-similarities.astype(np.float32), kind="stable")
        relevant[f"q{number}"] = {f"d{row}": 1 for row in np.flatnonzero(right)}
        run[f"q{number}"] = {f"d{row}": float(len(order) - place) for place, row in enumerate(order)}
    names = {"recall@8": "hit_rate@8", "precision@8": "precision@8", "mrr@8": "mrr@8", "r_precision": "r-precision"}
    theirs = ranx.evaluate(ranx.Qrels(relevant), ranx.Run(run), [*names.values(), "recall@8", "map@8"])
    for ours, name in names.items():
        assert evaluation.means()[ours] == pytest.approx(theirs[name], abs=1e-6)
    assert theirs["recall@8"] < evaluation.means()["recall@8"]
    assert theirs["map@8"] < evaluation.means()["map@8"]  # R is above 8 for the large classes


def test_open_metric_learning(queries: EmbeddingSet) -> None:
    """Of queries that have something to find; its precision@k divides by min(k, R), its mAP@k by what was found."""
    metrics = pytest.importorskip("oml.functional.metrics", reason="open-metric-learning is not installed")
    evaluation = evaluate(queries, None, [1, 4])
    hits, counts = [], []
    for similarities, right in ranked(queries, evaluation):
        order = np.argsort(-similarities.astype(np.float32), kind="stable")
        hits.append(torch.from_numpy(right[order]))
        counts.append(int(right.sum()))
    for k, theirs in zip((1, 4), metrics.calc_cmc(hits, counts, (1, 4)), strict=True):
        np.testing.assert_allclose(evaluation.per_query[f"recall@{k}"], theirs.numpy(), atol=1e-6)
    (precision,) = metrics.calc_precision(hits, counts, (4,))
    adjusted = evaluation.per_query["precision@4"] * 4 / np.minimum(4, counts)
    np.testing.assert_allclose(adjusted, precision.numpy(), atol=1e-6)
    (mean_precision,) = metrics.calc_map(hits, counts, (4,))
    found = np.array([hit[:4].sum() for hit in hits])
    adjusted = evaluation.per_query["map@4"] * np.minimum(4, counts) / np.maximum(found, 1)
    np.testing.assert_allclose(adjusted, mean_precision.numpy(), atol=1e-6)


def test_open_metric_learning_counts_queries_that_have_nothing_to_find() -> None:
    """As 0, or as 1 where nothing was retrieved; we leave them out and say how many."""
    metrics = pytest.importorskip("oml.functional.metrics", reason="open-metric-learning is not installed")
    (theirs,) = metrics.calc_cmc([torch.tensor([False, False]), torch.tensor([], dtype=torch.bool)], [0, 0], (1,))
    assert theirs.tolist() == [0.0, 1.0]
    assert evaluate(some("distinct")).left_out > 0


def test_verification_is_a_roc_of_all_pairs() -> None:
    queries = some("distinct", 120)
    codes, _ = queries.label_codes()
    above = np.triu_indices(120, 1)
    similarities = (queries.vectors.astype(float) @ queries.vectors.T.astype(float))[above]
    same = (codes[:, None] == codes)[above]
    roc = verify(queries)
    area = np.trapezoid([0, *roc.true_positive_rates], [0, *roc.false_positive_rates])
    assert area == pytest.approx(roc_auc_score(same, similarities), abs=1e-5)
