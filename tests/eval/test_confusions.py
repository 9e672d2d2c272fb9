from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from eval.confusions import confusions
from eval.embeddings import EmbeddingSet, common_codes
from eval.evaluation import evaluate


def noisy(count: int, classes: int, seed: int) -> EmbeddingSet:
    random = np.random.default_rng(seed)
    codes = np.arange(count) % classes
    vectors = np.random.default_rng(99).standard_normal((classes, 6))[codes] + 1.2 * random.standard_normal((count, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    labels = [None if row == 3 else f"kind{code}" for row, code in enumerate(codes)]
    return EmbeddingSet(vectors, pa.table({"id": [f"{seed}-{row}" for row in range(count)], "label": labels}), "f")


@pytest.mark.parametrize("itself", [True, False])
def test_pairs_are_counted_as_one_by_one(itself: bool) -> None:
    queries, references = noisy(90, 6, 0), None if itself else noisy(80, 6, 1)
    targets = queries if references is None else references
    evaluation = evaluate(queries, references)
    found = confusions(evaluation, common_codes(queries, targets)[0][1])
    similarities = queries.vectors @ targets.vectors.T
    similarities[:, [label is None for label in targets.labels]] = -2
    if itself:
        np.fill_diagonal(similarities, -2)
    forth, sizes, closest = Counter(), Counter(label for label in queries.labels if label), {}
    for row, label in enumerate(queries.labels):
        other = targets.labels[similarities[row].argmax()]
        if label is not None and other != label:
            forth[label, other] += 1
            pair = frozenset((label, other))
            closest.setdefault(pair, []).append((-similarities[row].max(), row, int(similarities[row].argmax())))
    pairs = {frozenset(pair) for pair in forth}
    assert {frozenset((one.first, one.second)) for one in found} == pairs and len(found) == len(pairs)
    for one in found:
        assert (one.forth, one.back) == (forth[one.first, one.second], forth[one.second, one.first])
        assert one.forth >= one.back
        assert one.queries == sizes[one.first] + sizes[one.second]
        assert one.share == pytest.approx((one.forth + one.back) / one.queries)
        expected = [(row, reference) for _, row, reference in sorted(closest[frozenset((one.first, one.second))])]
        assert [(mistake.query, mistake.reference) for mistake in one.mistakes] == expected
    counts = [one.forth + one.back for one in found]
    assert counts == sorted(counts, reverse=True)
    assert confusions(evaluation, common_codes(queries, targets)[0][1], 2) == found[:2]


def test_nothing_is_confused_where_all_is_right() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    one = EmbeddingSet(vectors, pa.table({"id": list("abcd"), "label": list("xxyy")}), "f")
    assert confusions(evaluate(one), one.label_codes()[0]) == []
