import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.leaks import Leaks, find_leaks


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def embedded(ids: str, labels: str, seed: int = 0, **columns: list) -> EmbeddingSet:
    vectors = unit(np.random.default_rng(seed).standard_normal((len(ids), 32)))
    paths = [f"{name}.jpg" for name in ids]
    return EmbeddingSet(vectors, pa.table({"id": list(ids), "label": list(labels), "path": paths, **columns}), "f")


def leaks(queries: EmbeddingSet, references: EmbeddingSet | None = None) -> Leaks:
    evaluation = evaluate(queries, references)
    return find_leaks(queries, references, evaluation.rows, evaluation.nearest)


def test_clean_sets_are_clean() -> None:
    for references in (None, embedded("stuvwxyz", "aabbccdd", 1)):
        found = leaks(embedded("abcdefgh", "aabbccdd"), references)
        assert (found.same_photo, found.similar_vector, found.repeated_rows, found.pairs) == (0, 0, 0, [])
        assert found.copies_among_references == 0
        assert (found.similar_picture, found.trained_on, found.class_trained_on) == (None, None, None)
        assert found.warnings() == []
        assert found.protocol == "unknown"


def test_the_same_photo() -> None:
    found = leaks(embedded("abca", "aabb"))
    assert found.same_photo == 2
    found = leaks(embedded("abcd", "aabb"), embedded("xbyz", "aabb", 1))
    assert found.same_photo == 1
    assert found.warnings()[0].startswith("1 of 4 queries are themselves among the references")


def test_near_copies_by_vector_are_named() -> None:
    queries = embedded("abcd", "aabb")
    queries.vectors[3] = unit(queries.vectors[:1] + 0.005 * queries.vectors[1:2])[0]
    found = leaks(queries)
    assert found.similar_vector == 2
    assert found.pairs == [("a.jpg", "d.jpg")]
    assert found.warnings()[-1] == "such as a.jpg and d.jpg"
    references = embedded("wxyz", "aabb", 1)
    references.vectors[2] = queries.vectors[0]
    found = leaks(queries, references)
    assert (found.similar_vector, found.pairs) == (2, [("a.jpg", "y.jpg"), ("d.jpg", "y.jpg")])


@pytest.mark.parametrize(("differing", "copies"), [(0, 2), (3, 2), (4, 0)])
def test_near_copies_by_picture(differing: int, copies: int) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 4, np.uint64)
    hashes[1] = hashes[0] ^ np.uint64(2**63 * (differing > 0) + 2**20 * (differing > 1) + sum([2, 1][: differing - 2]))
    queries = embedded("abcd", "aabb", picture_hash=pa.array(hashes))
    assert leaks(queries).similar_picture == copies
    unknown = embedded("abcd", "aabb", picture_hash=pa.array([None, *hashes[1:].tolist()], pa.uint64()))
    assert leaks(unknown).similar_picture == 0


def test_the_photo_itself_is_no_near_copy() -> None:
    hashes = pa.array(np.arange(4, dtype=np.uint64) << np.uint64(40))
    queries = embedded("abcd", "aabb", picture_hash=hashes)
    references = EmbeddingSet(queries.vectors, queries.table.set_column(0, "id", [list("abcx")]), "f")
    found = leaks(queries, references)
    assert (found.same_photo, found.similar_vector) == (3, 1)


def test_rows_that_padding_repeats() -> None:
    queries = embedded("abcdab", "aabbaa")
    assert leaks(queries).repeated_rows == 2
    assert "2 rows are there twice" in " ".join(leaks(queries).warnings())
    moved = EmbeddingSet(queries.vectors, queries.table.set_column(2, "path", [list("123456")]), "f")
    assert leaks(moved).repeated_rows == 0  # the same photo in two places is no padding
    assert leaks(embedded("mnop", "aabb", 1), moved).repeated_rows == 0
    assert leaks(embedded("mnop", "aabb", 1), queries).repeated_rows == 2


@pytest.mark.parametrize(
    ("seen", "count", "protocol"),
    [("....", 0, "zero-shot"), ("xxxx", 4, "closed-set"), ("xx..", 2, "neither"), ("x?..", None, "unknown")],
)
def test_classes_on_both_sides(seen: str, count: int | None, protocol: str) -> None:
    column = pa.array([{".": False, "x": True, "?": None}[one] for one in seen])
    found = leaks(embedded("abcd", "aabb", class_trained_on=column))
    assert (found.class_trained_on, found.protocol) == (count, protocol)
    assert ("neither zero-shot" in " ".join(found.warnings())) == (protocol == "neither")


def test_rows_without_an_id_are_refused() -> None:
    with pytest.raises(InputError, match="1 rows have no id"):
        EmbeddingSet(unit(np.ones((2, 3))), pa.table({"id": ["a", None], "label": [*"aa"]}), "f")


def test_photos_that_were_trained_on() -> None:
    found = leaks(embedded("abcde", "aabbc", trained_on=pa.array([True, False, True, False, True])))
    assert found.trained_on == 2  # the lone one is no query
    assert "2 of 4 queries are photos that the embedder was trained on: too easy for it" in found.warnings()


def test_copies_among_references(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = embedded("abcd", "aabb"), embedded("stsuvwxy", "aaabbbcc", 1)
    assert leaks(queries, references).copies_among_references == 2  # the photo s, twice
    references.vectors[7] = references.vectors[5]
    found = leaks(queries, references)
    assert found.copies_among_references == 4
    assert found.same_photo == found.similar_vector == 0
    assert "4 references have a copy among the others: each counts twice" in found.warnings()
    monkeypatch.setattr("eval.leaks.MOST_COMPARED", 7)
    assert leaks(queries, references).copies_among_references is None


def test_pictures_are_compared_whatever_the_vectors_say() -> None:
    """Thirty pairs that look the same, which the embedder puts anywhere: all are found."""
    draw = np.random.default_rng(0)
    hashes = np.repeat(draw.integers(0, 2**64 - 1, 30, np.uint64, endpoint=True), 2)
    labels = [chr(65 + number // 4) for number in range(60)]
    vectors = unit(draw.standard_normal((60, 32)))
    columns = {"id": [f"{row}" for row in range(60)], "label": labels, "picture_hash": pa.array(hashes)}
    queries = EmbeddingSet(vectors, pa.table(columns), "f")
    evaluation = evaluate(queries, None, [1])
    assert find_leaks(queries, None, evaluation.rows, evaluation.nearest).similar_picture == 60


def test_the_same_picture_many_times_is_quick() -> None:
    count = 3000
    columns = {"id": [f"{row}" for row in range(count)], "label": ["a", "b"] * (count // 2)}
    columns["picture_hash"] = pa.array(np.zeros(count, np.uint64))
    queries = EmbeddingSet(unit(np.random.default_rng(0).standard_normal((count, 8))), pa.table(columns), "f")
    evaluation = evaluate(queries)
    assert find_leaks(queries, None, evaluation.rows, evaluation.nearest).similar_picture == count


def test_references_without_a_label_are_no_copies() -> None:
    """They are not searched in, so nothing is counted twice by them."""
    both = embedded("abcdabcd", [*"xyxy", *[None] * 4])
    both.vectors[4:] = both.vectors[:4]
    queries = embedded("stuv", "xyxy", 1)
    for found in (leaks(queries, both), leaks(both)):
        assert found.copies_among_references == 0
