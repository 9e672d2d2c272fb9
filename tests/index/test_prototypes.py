"""Prototypes, compared with means of what is left."""

import numpy as np
import pytest

from eval.neighbours import Neighbours
from index import prototypes
from index.prototypes import Lacking, Prototypes, replaced
from tests.index.conftest import unit


@pytest.fixture(scope="module")
def some():
    """60 vectors of 7 classes of 1 to 14 references, six rows that are none, and their prototypes."""
    draw = np.random.default_rng(0)
    vectors = unit(draw.normal(size=(60, 8)))
    codes = np.concatenate([draw.permutation(np.repeat(np.arange(7), [1, 2, 5, 9, 11, 12, 14])), np.full(6, -1)])
    codes = draw.permutation(codes)
    return vectors, codes, Prototypes.of(codes, lambda rows: vectors[rows])


def mean(vectors, rows):
    return unit(vectors[rows].astype(np.float64).sum(axis=0)[None])[0]


def test_a_prototype_is_the_direction_of_the_mean(some):
    vectors, codes, found = some
    assert found.vectors.dtype == np.float32
    for code in range(7):
        rows = np.flatnonzero(codes == code)
        np.testing.assert_allclose(found.vectors[code], mean(vectors, rows), atol=1e-7)
        assert found.lengths[code] == pytest.approx(np.linalg.norm(vectors[rows].astype(np.float64).sum(axis=0)))
        assert found.counts[code] == len(rows)


def test_vectors_are_read_in_blocks_of_ascending_rows(some, monkeypatch):
    vectors, codes, expected = some
    monkeypatch.setattr(prototypes, "VALUES_AT_ONCE", 8 * 7)
    asked = []

    def read(rows):
        asked.append(rows)
        return vectors[rows]

    found = Prototypes.of(codes, read)
    np.testing.assert_allclose(found.vectors, expected.vectors, atol=1e-7)
    assert max(map(len, asked)) == 7
    assert all((np.diff(rows) > 0).all() for rows in asked)


def test_what_is_left_out_is_as_if_it_had_never_been_there(some):
    vectors, codes, found = some
    draw = np.random.default_rng(1)
    cases = {case: draw.choice(np.flatnonzero(codes >= 0), size, replace=False) for case, size in enumerate((1, 9, 54))}
    rows = np.concatenate([*cases.values()])
    keys = np.repeat([*cases], [*map(len, cases.values())])
    shuffled = draw.permutation(len(rows))
    lacking = found.without(rows[shuffled], keys[shuffled])
    expected = sorted({(key, codes[row]) for key, row in zip(keys, rows, strict=True)})
    assert list(zip(lacking.keys.tolist(), lacking.codes.tolist(), strict=True)) == expected
    assert lacking.most == 7
    query = unit(draw.normal(size=(1, 8)))[0]
    for place, (key, code) in enumerate(expected):
        left = [row for row in np.flatnonzero(codes == code) if row not in cases[key]]
        assert lacking.empty[place] == (not left)
        similarity = mean(vectors, left) @ query if left else -np.inf
        assert lacking.similarities(query)[place] == pytest.approx(similarity, abs=1e-6)


def test_nothing_can_be_left_out(some):
    _, _, found = some
    lacking = found.without(np.empty(0, np.int64), np.empty(0, np.int64))
    assert (lacking.most, len(lacking.codes), len(lacking.similarities(np.ones(8, np.float32)))) == (0, 0, 0)
    assert len(lacking.of_cases(np.arange(4)).keys) == 0


def test_vectors_that_cancel_each_other_out_have_no_direction():
    vectors = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    found = Prototypes.of(np.array([0, 0, 0]), lambda rows: vectors[rows])
    np.testing.assert_array_equal(found.vectors, [[0, 1]])
    lacking = found.without(np.array([2, 0]), np.array([0, 1]))
    np.testing.assert_allclose(lacking.vectors, [[0, 0], [-np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-7)
    assert lacking.similarities(np.array([1, 0], np.float32)).tolist() == pytest.approx([0, -np.sqrt(0.5)])
    fifths = unit([[np.cos(angle), np.sin(angle)] for angle in 0.1 + np.linspace(0, 2 * np.pi, 6)[:5]])
    assert 0 < np.linalg.norm(fifths.astype(np.float64).sum(axis=0)) < 1e-6  # rounding is no direction
    assert (Prototypes.of(np.zeros(5, np.int64), lambda rows: fifths[rows]).vectors == 0).all()


def test_cases_become_queries():
    lacking = Lacking(
        np.array([3, 5, 5, 9]), np.array([1, 0, 2, 1]), np.eye(4, dtype=np.float32), np.array([0, 0, 1, 0]) > 0
    )
    found = lacking.of_cases(np.array([5, 4, 3, 5]))
    assert found.keys.tolist() == [0, 0, 2, 3, 3]
    assert found.codes.tolist() == [0, 2, 1, 0, 2]
    assert found.empty.tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(found.vectors, np.eye(4)[[1, 2, 0, 1, 2]])


@pytest.mark.parametrize("k", [1, 4, 12, 30])
def test_others_in_the_place_of_some_are_found_as_by_sorting_all(k):
    draw = np.random.default_rng(k)
    for _ in range(50):
        table = draw.normal(size=(6, 12)).astype(np.float32)
        pairs = np.argwhere(draw.random((6, 12)) < 0.2)
        instead = np.where(draw.random(len(pairs)) < 0.3, -np.inf, draw.normal(size=len(pairs))).astype(np.float32)
        lacking = Lacking(pairs[:, 0], pairs[:, 1], np.zeros((len(pairs), 2), np.float32), np.isinf(instead))
        wanted = min(k + lacking.most, 12)
        order = np.argsort(-table, axis=1)[:, :wanted]
        found = replaced(Neighbours(order, np.take_along_axis(table, order, axis=1)), k, lacking, instead)
        table[pairs[:, 0], pairs[:, 1]] = instead
        for query, row in enumerate(table):
            expected = [code for code in np.argsort(-row)[:k] if np.isfinite(row[code])]
            got = found.rows[query][: len(expected)]
            assert got.tolist() == expected
            np.testing.assert_array_equal(found.similarities[query][: len(expected)], row[expected])
            assert (found.rows[query][len(expected) :] == -1).all()
            assert np.isneginf(found.similarities[query][len(expected) :]).all()
