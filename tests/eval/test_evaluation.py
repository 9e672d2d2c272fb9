import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

from eval import neighbours
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.leaks import find_leaks
from eval.rerank import AlphaQE, KReciprocal, Rerank, expanded, k_reciprocal_distances
from eval.vote import vote
from tests.eval.test_metrics import naive_average_precision


def embeddings(labels: list, vectors: np.ndarray | None = None, ids: str | None = None, seed: int = 0) -> EmbeddingSet:
    """Vectors that lie near one another where labels are equal."""
    if vectors is None:
        draw = np.random.default_rng(seed)
        kinds = sorted({str(label) for label in labels})
        centres = np.random.default_rng(99).standard_normal((len(kinds), 8))
        vectors = centres[[kinds.index(str(label)) for label in labels]] + 1.2 * draw.standard_normal((len(labels), 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    names = list(ids) if ids else [f"{seed}-{row}" for row in range(len(labels))]
    return EmbeddingSet(vectors, pa.table({"id": names, "label": labels}), "f")


def naive_means(queries: EmbeddingSet, references: EmbeddingSet | None, ks: list[int]) -> dict[str, float]:
    """Rank every query by itself, in float64."""
    rows: dict[str, list[float]] = {}
    targets = references or queries
    for own, (query, label) in enumerate(zip(queries.vectors, queries.labels, strict=True)):
        order = np.argsort(-(targets.vectors.astype(float) @ query.astype(float)), kind="stable")
        order = [row for row in order if targets.labels[row] is not None and (references is not None or row != own)]
        relevant = np.array([targets.labels[row] == label and label is not None for row in order], bool)
        total = int(relevant.sum())
        if total == 0:
            continue
        scores = {f"recall@{k}": float(any(relevant[:k])) for k in ks}
        scores["r_precision"] = sum(relevant[:total]) / total
        scores["map@r"] = naive_average_precision(relevant, total, total)
        scores[f"map@{max(ks)}"] = naive_average_precision(relevant, min(max(ks), len(order)), min(total, max(ks)))
        few = order[: max(ks)]
        scores[f"precision@{max(ks)}"] = sum(relevant[: max(ks)]) / max(ks)
        scores[f"mrr@{max(ks)}"] = next((1 / place for place, hit in enumerate(relevant[: max(ks)], 1) if hit), 0.0)
        elects = vote(targets.vectors[few] @ query, [targets.labels[row] for row in few])
        scores[f"knn@{max(ks)}"] = float(bool(elects) and elects[0].label == label)
        for name, score in scores.items():
            rows.setdefault(name, []).append(score)
    return {name: float(np.mean(values)) for name, values in rows.items()}


LABELS = [None, *"aaaabbbbbbbbccccccccccccdde"[::-1], None, "a"]  # a is last, where -1 would point


@pytest.mark.parametrize("ks", [[1], [1, 2, 4, 8], [3, 40]])
def test_a_set_that_searches_itself(ks: list[int]) -> None:
    queries = embeddings(LABELS)
    evaluation = evaluate(queries, None, ks)
    assert evaluation.means() == pytest.approx(naive_means(queries, None, ks))
    assert (evaluation.queries, evaluation.left_out) == (27, 3)  # e is alone in its class, two have no label
    assert evaluation.rows.tolist() == [*range(2, 28), 29]
    assert all(len(values) == 27 for values in evaluation.per_query.values())


@pytest.mark.parametrize("ks", [[1], [1, 2, 4, 8], [50]])
def test_two_sets(ks: list[int]) -> None:
    queries, references = embeddings([*LABELS, "x"]), embeddings([None, *"abcde" * 7], seed=1)
    evaluation = evaluate(queries, references, ks)
    assert evaluation.means() == pytest.approx(naive_means(queries, references, ks))
    assert (evaluation.queries, evaluation.left_out) == (28, 3)


def test_references_without_a_label_are_no_wrong_answers() -> None:
    """Taking half of the labels away leaves fewer references, and nothing that looks like a mistake."""
    vectors = np.repeat(np.eye(4), 10, axis=0) + 0.05 * np.random.default_rng(0).standard_normal((40, 4))
    labels = [None if row % 2 else "abcd"[row // 10] for row in range(40)]
    alone, against = embeddings(labels, vectors), embeddings([*"abcd"], np.eye(4), seed=1)
    assert evaluate(alone).means()["recall@1"] == evaluate(alone).means()["map@r"] == 1
    assert (evaluate(alone).left_out, evaluate(alone).unlabelled_references) == (20, 20)
    found = evaluate(against, alone)
    assert found.means()["recall@1"] == 1
    assert (found.left_out, found.unlabelled_references) == (0, 20)
    assert {alone.labels[row] for row in found.nearest.rows.ravel() if row >= 0} == {*"abcd"}


def test_more_neighbours_than_references_take_no_memory() -> None:
    queries, references = embeddings(LABELS), embeddings([*"abcde" * 7], seed=1)
    for targets in (None, references):
        many, all_ = evaluate(queries, targets, [1, 10**12]).means(), evaluate(queries, targets, [1, 35]).means()
        largest = [f"{name}@{10**12}" for name in ("map", "precision", "mrr", "knn")]
        assert [*many] == ["recall@1", f"recall@{10**12}", "r_precision", "map@r", *largest]
        assert many.pop(f"precision@{10**12}") == pytest.approx(all_.pop("precision@35") * 35 / 10**12)
        assert [*many.values()] == [*all_.values()]


def test_many_blocks_give_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = embeddings(LABELS)
    whole = evaluate(queries).per_query
    monkeypatch.setattr(neighbours, "BLOCK_VALUES", 60)
    for name, values in evaluate(queries).per_query.items():
        assert np.array_equal(values, whole[name])


def test_it_agrees_with_pytorch_metric_learning() -> None:
    queries, references = embeddings([*"abcd" * 9]), embeddings([*"abcd" * 14], seed=1)
    theirs = AccuracyCalculator(k=14).get_accuracy(
        queries.vectors, queries.label_codes()[0], references.vectors, references.label_codes()[0]
    )
    ours = evaluate(queries, references).means()
    assert ours["recall@1"] == pytest.approx(theirs["precision_at_1"])
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"])
    assert ours["map@r"] == pytest.approx(theirs["mean_average_precision_at_r"])


def test_no_row_retrieves_itself_even_among_copies() -> None:
    vectors = np.repeat(np.eye(4), 2, axis=0)
    evaluation = evaluate(embeddings([*"abababab"], vectors))  # each copy has the other label
    assert evaluation.means()["recall@1"] == 0


def test_labels_are_not_numbers() -> None:
    vectors = np.eye(4)[[0, 0, 1, 1]]
    large = [2**24, 2**24 + 1, 2**53, 2**53 + 1]  # the same in float32, or in float64
    with pytest.raises(InputError, match="none of the 4 queries has a reference of its class"):
        evaluate(embeddings(large, vectors))
    assert evaluate(embeddings(["1", "1.0", "1", "01"], vectors)).queries == 2


@pytest.mark.parametrize("alone", [True, False])
def test_unknown_classes_are_those_whose_references_are_hidden(alone: bool) -> None:
    queries = embeddings([*LABELS, "only here"])
    references = None if alone else embeddings([None, *"abcde" * 7], seed=1)
    targets, evaluation = references or queries, evaluate(queries, references)
    similarities = queries.vectors.astype(float) @ targets.vectors.T.astype(float)
    if alone:
        np.fill_diagonal(similarities, -np.inf)
    similarities[:, [label is None for label in targets.labels]] = -np.inf
    known = [similarities[row].max() for row in evaluation.rows]
    unknown = [
        max(value for value, other in zip(similarities[row], targets.labels, strict=True) if other not in (label, None))
        for row, label in enumerate(queries.labels)
        if label is not None
    ]
    np.testing.assert_allclose(evaluation.hidden_scores, unknown, atol=1e-6)
    right = [np.sign(one - other) / 2 + 0.5 for one in known for other in unknown]
    assert evaluation.open_set()["auroc"] == pytest.approx(np.mean(right), abs=1e-6)
    accepted = np.sort(known)[len(known) - int(np.ceil(0.95 * len(known)))]
    assert evaluation.open_set()["fpr@95"] == pytest.approx(np.mean(np.array(unknown) >= accepted - 1e-6))


def test_the_nearest_of_another_class_is_found_behind_all_of_its_own() -> None:
    vectors = np.repeat(np.eye(3), [12, 13, 2], axis=0) + np.arange(27)[:, None] % 5 / 50
    evaluation = evaluate(embeddings([*"a" * 12, *"b" * 13, *"cc"], vectors), None, [1])
    assert len(evaluation.hidden_scores) == 27


def test_one_class_has_no_unknown_ones() -> None:
    evaluation = evaluate(embeddings([*"aaaa"]))
    assert evaluation.open_set() == {}
    assert evaluation.means()["recall@1"] == 1


def test_per_class_and_over_classes() -> None:
    evaluation = evaluate(embeddings(LABELS))
    classes, labels = evaluation.per_class(), np.array(LABELS, object)[evaluation.rows]
    assert {name: one["queries"] for name, one in classes.items()} == {"a": 5, "b": 8, "c": 12, "d": 2}
    for metric, values in evaluation.per_query.items():
        means = {name: values[labels == name].mean() for name in "abcd"}
        assert {name: one[metric] for name, one in classes.items()} == pytest.approx(means)
        assert evaluation.macro_means()[metric] == pytest.approx(np.mean(list(means.values())))


def test_queries_that_are_all_among_the_references_are_an_error() -> None:
    queries = embeddings([*"aabb"])
    backwards = EmbeddingSet(queries.vectors[::-1].copy(), queries.table.take([3, 2, 1, 0]), "f")
    more = EmbeddingSet(
        np.eye(8, dtype=np.float32), pa.table({"id": [*queries.ids, *"wxyz"], "label": [*"aabbaabb"]}), "f"
    )
    for references in (queries, backwards, more):
        with pytest.raises(InputError, match="give the set once"):
            evaluate(queries, references)


def test_sets_that_cannot_be_compared_are_refused() -> None:
    queries = embeddings([*"aabb"])
    other = EmbeddingSet(queries.vectors, queries.table, "g")
    with pytest.raises(InputError, match="queries were embedded by f and references by g"):
        evaluate(queries, other)
    with pytest.raises(InputError, match="queries have dimension 8 and references 4"):
        evaluate(queries, embeddings([*"aabb"], np.eye(4), ids="wxyz"))


def test_sets_without_labels_are_refused() -> None:
    with pytest.raises(InputError, match="the queries have no labels"):
        evaluate(embeddings([None, None]))
    with pytest.raises(InputError, match="the references have no labels"):
        evaluate(embeddings([*"aabb"]), embeddings([None, None], seed=1))
    with pytest.raises(InputError, match="none of the 3 queries"):
        evaluate(embeddings([*"abc"]))


@pytest.mark.parametrize("ks", [[], [0, 1], [-1]])
def test_wrong_numbers_of_neighbours_are_refused(ks: list[int]) -> None:
    with pytest.raises(InputError, match="give numbers of neighbours"):
        evaluate(embeddings([*"aabb"]), None, ks)


def test_the_neighbours_of_all_queries_are_never_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = embeddings([*"ab" * 1000], np.random.default_rng(0).standard_normal((2000, 8)))
    monkeypatch.setattr(neighbours, "BLOCK_VALUES", 20_000)
    tracemalloc.start()
    evaluate(queries)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6  # their rows alone: 2,000 x 999 x 8 bytes = 16 MB


def test_a_million_classes() -> None:
    """Each with one reference; the queries lie where theirs do."""
    vectors = np.random.default_rng(0).standard_normal((1_000_000, 6), dtype=np.float32)
    wanted = np.arange(7, 1_000_000, 50_000)
    references = embeddings([f"{row:07}" for row in range(1_000_000)], vectors)
    queries = embeddings([f"{row:07}" for row in wanted], vectors[wanted], seed=1)
    evaluation = evaluate(queries, references)
    assert evaluation.means()["recall@1"] == 1
    assert len(evaluation.per_class()) == 20


def test_labels_of_any_script_and_length() -> None:
    names = ["Ťuhýk šedý", "大苇莺", "عصفور", "🐦", "x" * 100_000, "Ťuhýk", "a\tb\nc", ""]
    queries = embeddings([*names, *names], np.random.default_rng(0).standard_normal((8, 8))[[*range(8), *range(8)]])
    evaluation = evaluate(queries)
    assert set(evaluation.per_class()) == set(names)
    assert evaluation.means()["recall@1"] == 1


def test_a_reference_that_shows_the_querys_own_photo_has_no_vote_where_another_has() -> None:
    """As in ``Index.query``."""
    references = embeddings(["x", "y", "y"], [[1, 0], [0.8, 0.6], [0.6, 0.8]])
    own = EmbeddingSet(np.array([[1, 0]], np.float32), references.table.slice(0, 1), "f")
    other = EmbeddingSet(own.vectors, pa.table({"id": ["new"], "label": ["x"], "path": ["new"]}), "f")
    both = EmbeddingSet(
        np.concatenate([own.vectors, other.vectors]),
        pa.table({"id": [*own.ids, "new"], "label": ["x", "x"], "path": ["a", "b"]}),
        references.fingerprint,
    )
    found = evaluate(both, references, [2])
    assert found.per_query["knn@2"].tolist() == [0, 1]
    assert found.shares[0] == 1
    assert evaluate(both, references, [1]).per_query["knn@1"].tolist() == [1, 1]


def test_queries_of_which_those_with_references_are_all_among_them_are_refused() -> None:
    references = embeddings(["x", "x", "y", "y"], [[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]])
    stranger = pa.table({"id": ["new"], "label": ["z"]})
    table = pa.concat_tables([references.table.select(["id", "label"]), stranger])
    queries = EmbeddingSet(np.concatenate([references.vectors, [[0, 1]]]).astype(np.float32), table, "f")
    with pytest.raises(InputError, match="every query is itself among the references"):
        evaluate(queries, references, [1])


def test_references_without_a_label_are_no_copies() -> None:
    """They are not searched, so nobody finds itself among them."""
    queries = embeddings([*"abab"], seed=0)
    references = embeddings(["a", "b", None, None, None, None], seed=1)
    ids = [*references.ids[:2], *queries.ids]
    table = references.table.set_column(references.table.column_names.index("id"), "id", pa.array(ids))
    references = EmbeddingSet(references.vectors, table, references.fingerprint)
    found = evaluate(queries, references, [1])
    assert found.queries == 4
    assert find_leaks(queries, references, found.rows, found.nearest).same_photo == 0


def naive_order(query: np.ndarray, targets: np.ndarray, there: list[int], by: Rerank) -> list[int]:
    """The rows ``there`` in their new order."""
    order = sorted(there, key=lambda row: (-float(targets[row].astype(float) @ query.astype(float)), row))
    if isinstance(by, AlphaQE):
        near = targets[order[: by.n]]
        moved = expanded(query, near, near @ query, by.alpha).astype(float)
        return sorted(there, key=lambda row: (-float(targets[row].astype(float) @ moved), row))
    first = order[: by.candidates]
    distances = k_reciprocal_distances(query, targets[first], by.k1, by.k2, by.weight)
    return [first[place] for place in np.argsort(distances.round(9), kind="stable")] + order[by.candidates :]


@pytest.mark.parametrize("by", [AlphaQE(n=4), AlphaQE(n=100), KReciprocal(k1=6, k2=3, candidates=15), KReciprocal()])
@pytest.mark.parametrize("itself", [True, False])
def test_metrics_are_those_of_the_new_order(by: Rerank, itself: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In which, as in the old one, no row of a set that searches itself finds itself."""
    queries, references = embeddings(LABELS), None if itself else embeddings([None, *"abcde" * 7], seed=1)
    plain, targets = evaluate(queries, references, (1, 5)), references or queries
    for block in (None, 8 * len(targets)):  # all queries at once, or eight of them
        if block:
            monkeypatch.setattr(neighbours, "BLOCK_VALUES", block)
        found = evaluate(queries, references, (1, 5), rerank=by)
        for place, row in enumerate(found.rows):
            label, query = queries.labels[row], queries.vectors[row]
            labelled = [other for other, label in enumerate(targets.labels) if label is not None]
            there = [other for other in labelled if not itself or other != row]
            order = naive_order(query, targets.vectors, there, by)
            relevant = np.array([targets.labels[other] == label for other in order])
            total = int(relevant.sum())
            scores = {name: float(values[place]) for name, values in found.per_query.items()}
            assert scores["recall@1"] == float(relevant[0])
            assert scores["precision@5"] == pytest.approx(relevant[:5].mean())
            assert scores["r_precision"] == pytest.approx(relevant[:total].mean())
            assert scores["map@r"] == pytest.approx(naive_average_precision(relevant, total, total))
    assert found.means()["map@r"] != plain.means()["map@r"]
    for one, other in ((found.shares, plain.shares), (found.hidden_scores, plain.hidden_scores)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.per_query["knn@5"], plain.per_query["knn@5"])
    np.testing.assert_array_equal(found.nearest.rows, plain.nearest.rows)
    assert found.open_set() == plain.open_set()
