import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from eval import neighbours
from eval.errors import InputError
from eval.neighbours import nearest, nearest_in_blocks


def unit(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def grid(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors whose similarities are exact in any arithmetic and often tie: four entries of +-1/2."""
    draw = np.random.default_rng(seed)
    vectors = np.zeros((count, 6), np.float32)
    for vector in vectors:
        vector[draw.permutation(6)[:4]] = draw.choice([-0.5, 0.5], 4)
    return vectors


def naive(queries: np.ndarray, references: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort all references of each query by similarity, then by row, in plain Python."""
    rows, similarities = [], []
    for own, query in enumerate(queries):
        found = [
            (-np.float32(float(np.dot(query.astype(np.float64), reference.astype(np.float64)))), row)
            for row, reference in enumerate(queries if references is None else references)
            if references is not None or row != own
        ]
        best = sorted(found)[:k] + [(np.float32(np.inf), -1)] * (k - len(found))
        rows.append([row for _, row in best])
        similarities.append([-similarity for similarity, _ in best])
    return np.array(rows), np.array(similarities, np.float32)


@pytest.mark.parametrize("k", [1, 3, 10, 59, 60, 61, 100])
@pytest.mark.parametrize("alone", [True, False])
def test_ties_are_broken_by_row(k: int, alone: bool) -> None:
    queries = grid(60)
    references = None if alone else grid(60, seed=1)
    found = nearest(queries, references, k)
    rows, similarities = naive(queries, references, k)
    assert np.array_equal(found.rows, rows)
    assert np.array_equal(found.similarities, similarities)
    assert (found.rows.dtype, found.similarities.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("dimension", [3, 64, 257])
def test_any_vectors(dimension: int) -> None:
    queries, references = unit(40, dimension), unit(90, dimension, seed=1)
    found = nearest(queries, references, 7)
    rows, similarities = naive(queries, references, 7)
    assert np.array_equal(found.rows, rows)
    assert np.abs(found.similarities - similarities).max() < 1e-6


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("dimension", [3, 100, 512])
def test_copies_of_one_vector_tie_wherever_they_stand(count: int, dimension: int) -> None:
    references = unit(1003, dimension)
    copies = np.sort(np.random.default_rng(1).permutation(1003)[:50])
    references[copies] = references[500]
    queries = unit(count, dimension, seed=2)
    queries[0] = references[500]
    found = nearest(queries, references, 1003)
    for rows, similarities in zip(found.rows, found.similarities, strict=True):
        places = np.flatnonzero(np.isin(rows, copies))
        assert len(set(similarities[places].tolist())) == 1
        assert np.array_equal(rows[places], copies)


def test_the_boundary_of_the_k_nearest_is_exact() -> None:
    references = np.repeat(unit(3, 100), 40, axis=0)[np.random.default_rng(0).permutation(120)]
    whole = nearest(unit(9, 100, seed=1), references, 120)
    for k in (1, 17, 39, 40, 41, 100):
        assert np.array_equal(nearest(unit(9, 100, seed=1), references, k).rows, whole.rows[:, :k])


def test_rounding_of_the_matrix_product_loses_no_neighbour() -> None:
    queries, references = unit(20, 64), np.repeat(unit(30, 64, seed=1), 4, axis=0)
    noise = 3 * np.random.default_rng(2).uniform(-(2**-20), 2**-20, (20, 120))
    rough = (queries @ references.T + noise).astype(np.float32)
    exact = nearest(queries, references, 10)
    assert np.array_equal(neighbours._k_best(rough, queries, references, 10).rows, exact.rows)


def test_the_order_of_the_dimensions_does_not_matter() -> None:
    query, reference = np.zeros((2, 1, 64 * 300), np.float32)
    query[0, 0], reference[0, 0] = 1, 0.5
    query[0, 64], reference[0, 64] = 2**-12, 2**-13  # with the first, half-way between two float32 numbers
    query[0, 128::64], reference[0, 128::64] = 2**-30, 2**-30  # in float64 lost one by one, but not all together
    reference[0, 1] = 0.75**0.5
    forth = nearest(query, reference, 1)
    back = nearest(query[:, ::-1].copy(), reference[:, ::-1].copy(), 1)
    assert forth.similarities == back.similarities


def test_similarities_are_the_exact_sums_rounded_once() -> None:
    queries, references = unit(5, 77), unit(6, 77, seed=1)
    found = nearest(queries, references, 6)
    for query, rows, similarities in zip(queries, found.rows, found.similarities, strict=True):
        for row, similarity in zip(rows, similarities, strict=True):
            exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(query, references[row], strict=True))
            assert abs(Fraction(float(similarity)) - exact) < Fraction(1, 2**24)


def test_the_pairs_and_the_whole_matrix_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, references = unit(50, 96), unit(700, 96, seed=1)
    few, many = nearest(queries, references, 5), nearest(queries, references, 700)
    assert np.array_equal(few.rows, many.rows[:, :5])
    assert np.array_equal(few.similarities, many.similarities[:, :5])
    monkeypatch.setattr(neighbours, "_PAIRS_AT_ONCE", 3)
    monkeypatch.setattr(neighbours, "_ROWS_AT_ONCE", 100)
    for before in (few, many):
        again = nearest(queries, references, before.rows.shape[1])
        assert np.array_equal(again.rows, before.rows)
        assert np.array_equal(again.similarities, before.similarities)


@pytest.mark.parametrize("block", [1, 2, 7, 29, 30, 31])
@pytest.mark.parametrize("alone", [True, False])
def test_blocks_do_not_change_the_result(block: int, alone: bool) -> None:
    queries = unit(30, 40)
    queries[10:20] = queries[0]
    references = None if alone else queries[5:]
    whole, parts = nearest(queries, references, 6), nearest(queries, references, 6, block=block)
    assert np.array_equal(whole.rows, parts.rows)
    assert np.array_equal(whole.similarities, parts.similarities)


def test_blocks_keep_to_their_size_and_to_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(part.rows) for part in nearest_in_blocks(unit(10, 4), None, 3, block=4)] == [4, 4, 2]
    monkeypatch.setattr(neighbours, "BLOCK_VALUES", 60)
    assert [len(part.rows) for part in nearest_in_blocks(unit(10, 4), unit(20, 4), 3)] == [3, 3, 3, 1]


def test_a_row_never_finds_itself_but_its_copies() -> None:
    vectors = unit(8, 5)
    vectors[6] = vectors[2]
    found = nearest(vectors, None, 7)
    assert all(row not in rows for row, rows in enumerate(found.rows))
    assert (found.rows[2, 0], found.rows[6, 0]) == (6, 2)


def test_the_row_itself_is_masked_by_row_and_not_by_place() -> None:
    vectors = np.repeat(unit(1, 5), 4, axis=0)  # all alike: whatever stands first need not be the row itself
    assert nearest(vectors, None, 3).rows.tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_same_vectors_as_references_do_find_themselves() -> None:
    vectors = unit(8, 5)
    assert nearest(vectors, vectors.copy(), 1).rows[:, 0].tolist() == list(range(8))


def test_missing_neighbours_are_marked() -> None:
    found = nearest(unit(2, 3), unit(1, 3), 3)
    assert found.rows.tolist() == [[0, -1, -1]] * 2
    assert np.isneginf(found.similarities[:, 1:]).all()
    assert nearest(unit(1, 3), None, 2).rows.tolist() == [[-1, -1]]


def test_empty_sets() -> None:
    assert nearest(unit(0, 3), unit(4, 3), 2).rows.shape == (0, 2)
    assert nearest(unit(0, 3), None, 2).rows.shape == (0, 2)
    assert nearest(unit(2, 3), unit(0, 3), 2).rows.tolist() == [[-1, -1], [-1, -1]]


def test_similarities_never_leave_their_range() -> None:
    vectors = np.repeat(unit(50, 33), 2, axis=0) * np.float32(1.0000005)
    vectors = np.concatenate([vectors, -vectors])
    similarities = nearest(vectors, None, 199).similarities
    assert (similarities.max(), similarities.min()) == (1, -1)


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(InputError, match="k is 0"):
        nearest(unit(2, 3), None, 0)
    with pytest.raises(InputError, match="queries have dimension 3 and references 4"):
        nearest(unit(2, 3), unit(2, 4), 1)


@pytest.mark.parametrize("alone", [True, False])
def test_each_query_has_its_own_k(alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = grid(60)
    references = None if alone else grid(50, seed=1)
    k = np.random.default_rng(2).integers(1, 40, 60)
    rows, similarities = naive(queries, references, 39)
    for large in (neighbours.LARGE, 0):
        monkeypatch.setattr(neighbours, "LARGE", large)
        monkeypatch.setattr(neighbours, "BLOCK_VALUES", 500)
        start = 0
        for part in nearest_in_blocks(queries, references, k):
            for row in range(len(part.rows)):
                query, width = start + row, part.rows.shape[1]
                found = [*rows[query][: k[query]], *[-1] * (width - k[query])]
                assert part.rows[row].tolist() == found
                assert np.array_equal(part.similarities[row][: k[query]], similarities[query][: k[query]])
            assert width == k[start : start + len(part.rows)].max()
            start += len(part.rows)
        assert start == 60


def test_pairs_of_vectors_are_held_a_few_at_once() -> None:
    queries, references = unit(512, 1024), unit(512, 1024, seed=1)
    tracemalloc.start()
    nearest(queries, references, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # all 2,560 pairs: 2 x 21 MB; all products before they are summed: 1 GB
