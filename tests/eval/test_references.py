"""References searched for among each other, compared with plain loops."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from eval import references
from eval.references import References, split
from tests.conftest import unit


def made(count=40, classes=5, groups=None, ids=None, labels=None, hashes=None, seed=0, dimension=6):
    """References of random vectors, in clusters."""
    draw = np.random.default_rng(seed)
    labels = labels or [f"class-{number}" for number in draw.integers(0, classes, count)]
    centres = {label: draw.normal(size=dimension) for label in sorted({*labels})}
    vectors = unit([centres[label] + 0.8 * draw.normal(size=dimension) for label in labels])
    columns = {"id": [f"{number:032x}" for number in range(count)] if ids is None else ids}
    if groups is not None:
        columns["group"] = pa.array(groups, pa.string())
    if hashes is not None:
        columns["picture_hash"] = pa.array(hashes, pa.uint64())
    return References.made(np.arange(count), vectors, labels, pa.table(columns))


def hidden(known, one, other):
    """Whether two are the same photo or of one group."""
    return known.groups[one] == known.groups[other] or known.ids[one] == known.ids[other]


def naive(known, query, others):
    """Some others of a query, the most similar first."""
    cosines = known.vectors.astype(np.float64) @ known.vectors[query].astype(np.float64)
    return sorted(others, key=lambda other: (-cosines[other], other)), cosines


GROUPS = [None if number % 3 else f"bird-{number // 6}" for number in range(40)]
IDS = [f"{number - (number % 8 == 7):032x}" for number in range(40)]


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("columns", [{}, {"groups": GROUPS}, {"ids": IDS}, {"groups": GROUPS, "ids": IDS}])
def test_a_search_is_what_plain_loops_give(columns, itself):
    known = made(**columns)
    queries = np.arange(40) if itself else np.array([3, 6, 7, 18, 39])
    every, voters = known.search(queries, 4)
    for place, query in enumerate(queries):
        others, cosines = naive(known, query, [other for other in range(40) if other != query])
        assert every.rows[place].tolist() == others[:4]
        allowed = [other for other in others if not hidden(known, query, other)][:4]
        assert voters.rows[place].tolist() == allowed
        np.testing.assert_allclose(voters.similarities[place], cosines[allowed], atol=1e-6)


def test_a_photo_of_two_groups_does_not_vote_for_itself():
    known = made(ids=["a", "a", *map(str, range(38))], groups=["x", "y", *[None] * 38])
    _, voters = known.search(np.arange(40), 40)
    assert 1 not in voters.rows[0]
    assert 0 not in voters.rows[1]


def test_a_search_for_more_than_there_are():
    known = made(3, groups=["x", "x", None])
    every, voters = known.search(np.arange(3), 10)
    assert (every.rows >= 0).sum(axis=1).tolist() == [2, 2, 2]
    assert [{*rows} - {-1} for rows in voters.rows.tolist()] == [{2}, {2}, {0, 1}]
    assert (np.isinf(voters.similarities) == (voters.rows < 0)).all()


def test_blocks_are_put_together(monkeypatch):
    known = made(groups=GROUPS)
    whole = known.search(np.arange(40), 4)
    blocks = references.nearest_in_blocks
    monkeypatch.setattr(references, "nearest_in_blocks", lambda *given: blocks(*given, block=7))
    for one, other in zip(whole, known.search(np.arange(40), 4), strict=True):
        assert (one.rows == other.rows).all()
        assert (one.similarities == other.similarities).all()


@pytest.mark.parametrize("alike", [False, True])
def test_the_nearest_of_the_own_class_is_of_another_group(alike):
    """Also where the photos of a group are as near as can be."""
    known = made(groups=GROUPS)
    if alike:
        known = replace(known, vectors=known.vectors[known.groups])
    queries = np.flatnonzero(known.independent()[known.codes] > 1)
    found = known.nearest_of_own(queries)
    for place, query in enumerate(queries):
        own = [other for other in range(40) if known.codes[other] == known.codes[query]]
        others, cosines = naive(known, query, [other for other in own if not hidden(known, query, other)])
        assert found.rows[place, 0] == others[0]
        assert found.similarities[place, 0] == pytest.approx(cosines[others[0]], abs=1e-6)


def test_classes_are_drawn_whole():
    known = made(200, classes=20)
    sizes = np.bincount(known.codes)
    drawn = known.drawn(60, seed=0)
    assert 60 - sizes.max() < len(drawn) <= 60
    assert (
        np.bincount(known.codes[drawn], minlength=20)[np.unique(known.codes[drawn])]
        == sizes[np.unique(known.codes[drawn])]
    ).all()
    assert (drawn == known.drawn(60, seed=0)).all()
    assert not np.array_equal(drawn, known.drawn(60, seed=1))
    for everything in (0, 200, 1000):
        assert known.drawn(everything, seed=0).tolist() == [*range(200)]


def test_of_classes_that_are_all_too_large_the_smallest_is_drawn():
    known = made(12, labels=["a"] * 5 + ["b"] * 3 + ["c"] * 4)
    assert known.drawn(2, seed=0).tolist() == [5, 6, 7]


def test_values_by_number():
    assert [part.tolist() for part in split(np.arange(5), np.array([1, 0, 1, 3, 1]))] == [[1], [0, 2, 4], [], [3]]
    assert [*split(np.arange(0), np.arange(0))] == []
