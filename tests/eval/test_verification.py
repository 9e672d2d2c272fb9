import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_curve

from eval import verification
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.verification import Roc, verify
from tests.eval.test_evaluation import embeddings


def pairs(queries: EmbeddingSet, references: EmbeddingSet | None) -> tuple[list[float], list[bool]]:
    """Every pair by itself: its similarity and whether it is of one class."""
    targets, similarities, same = references or queries, [], []
    for row in range(len(queries)):
        for column in range(len(targets)) if references else range(row + 1, len(queries)):
            labels = queries.labels[row], targets.labels[column]
            if None in labels or queries.ids[row] == targets.ids[column]:
                continue
            similarities.append(float(queries.vectors[row].astype(float) @ targets.vectors[column].astype(float)))
            same.append(labels[0] == labels[1])
    return similarities, same


@pytest.fixture(params=[True, False], ids=["alone", "against references"])
def sets(request: pytest.FixtureRequest) -> tuple[EmbeddingSet, EmbeddingSet | None]:
    queries = embeddings([None, *"aabbbcccccdde", None])
    return queries, None if request.param else embeddings([*"abcde" * 5, None], seed=1)


def test_all_pairs_one_by_one(sets: tuple[EmbeddingSet, EmbeddingSet | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "BLOCK_VALUES", 40)
    roc, (similarities, same) = verify(*sets), pairs(*sets)
    assert (roc.pairs_of_one_class, roc.pairs_of_two_classes) == (sum(same), len(same) - sum(same))
    values, right = np.array(similarities), np.array(same)
    for threshold, true, false in zip(
        *(roc.thresholds, roc.true_positive_rates, roc.false_positive_rates), strict=True
    ):
        accepted = values >= threshold - 1.2e-6
        assert true == pytest.approx(accepted[right].mean())
        assert false == pytest.approx(accepted[~right].mean())


def test_it_agrees_with_scikit_learn(sets: tuple[EmbeddingSet, EmbeddingSet | None]) -> None:
    roc, (similarities, same) = verify(*sets), pairs(*sets)
    false, true, _ = roc_curve(same, similarities, drop_intermediate=False)
    for rate in (0.0, 0.01, 0.1, 0.37, 1.0):
        assert roc.true_positive_rate_at(rate) == pytest.approx(true[false <= rate].max())
    crossing = np.argmax(false >= 1 - true)
    assert false[crossing - 1] <= roc.equal_error_rate() <= false[crossing]


def test_equal_error_rates_that_are_known() -> None:
    perfect = Roc(np.array([0.9, 0.1]), np.array([1.0, 1.0]), np.array([0.0, 1.0]), 5, 5)
    assert perfect.equal_error_rate() == 0
    chance = Roc(np.array([0.5]), np.array([1.0]), np.array([1.0]), 5, 5)
    assert chance.equal_error_rate() == 0.5
    quarter = Roc(np.array([0.9, 0.5, 0.1]), np.array([0.5, 0.75, 1.0]), np.array([0.0, 0.25, 1.0]), 4, 4)
    assert quarter.equal_error_rate() == 0.25


def test_the_same_photo_is_not_compared() -> None:
    queries = embeddings([*"aabb"])
    table = queries.table.set_column(0, "id", pa.array([*"ppqr"]))
    assert verify(EmbeddingSet(queries.vectors, table, "f")).pairs_of_one_class == 1


def test_one_class_or_classes_of_one_cannot_be_verified() -> None:
    with pytest.raises(InputError, match="no pairs of two classes"):
        verify(embeddings([*"aaa"]))
    with pytest.raises(InputError, match="no pairs of one class"):
        verify(embeddings([*"abc"]))
    with pytest.raises(InputError, match="must be from 0 to 1"):
        verify(embeddings([*"aabb"])).true_positive_rate_at(1.5)
