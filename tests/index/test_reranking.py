import json
from dataclasses import replace

import numpy as np
import pytest

from eval.errors import InputError
from eval.neighbours import nearest
from eval.rerank import AlphaQE, KReciprocal, expanded, k_reciprocal_distances, to_json
from index import Index
from index.query import main
from index.reranking import RerankedIndex

BOTH = [AlphaQE(n=5), KReciprocal(k1=6, k2=3, candidates=20)]


@pytest.fixture(scope="module")
def vectors(random_vectors):
    """Sixty vectors in which four are the same."""
    vectors = random_vectors(60)
    vectors[[7, 31, 44]] = vectors[3]
    return vectors


@pytest.fixture(scope="module")
def folder(tmp_path_factory, vectors, add_vectors):
    """Three segments, of which the rows 50 and 3 have been deleted."""
    folder = tmp_path_factory.mktemp("reranking") / "a.index"
    for part, deleted in zip(np.split(vectors, [25, 26]), ([], [], [3, 50]), strict=True):
        add_vectors(folder, part, deleted=deleted)
    return folder


def naive(query, vectors, there, by, k):
    """The first rows of the new order, by the pure functions."""
    near = there[nearest(query[None], vectors[there], len(there)).rows[0]]
    if isinstance(by, AlphaQE):
        moved = expanded(query, vectors[near[: by.n]], vectors[near[: by.n]] @ query, by.alpha)
        return there[nearest(moved[None], vectors[there], len(there)).rows[0]][:k].tolist()
    first = near[: by.candidates]
    distances = k_reciprocal_distances(query, vectors[first], by.k1, by.k2, by.weight)
    return [*first[np.argsort(distances.round(9), kind="stable")], *near[by.candidates :]][:k]


@pytest.mark.parametrize("by", BOTH)
@pytest.mark.parametrize("k", [1, 7, 25, 100])
def test_the_evidence_is_in_the_new_order_and_the_answer_stays(folder, vectors, random_vectors, by, k):
    plain, index = Index.open(folder), RerankedIndex.open(folder, by)
    there = np.delete(np.arange(60), [3, 50])
    changed = False
    for query in random_vectors(20, seed=4):
        before, after = plain.judge(query, k), index.judge(query, k)
        assert replace(after, neighbours=before.neighbours, rerank=None) == before
        rows = [one.row for one in after.neighbours]
        assert rows == naive(query, vectors, there, by, k)
        assert [one.rank for one in after.neighbours] == list(range(1, min(k, 58) + 1))
        np.testing.assert_allclose([one.similarity for one in after.neighbours], vectors[rows] @ query, atol=1e-6)
        changed |= rows != [one.row for one in before.neighbours]
    assert changed


@pytest.mark.parametrize("by", BOTH)
def test_the_photo_itself_takes_no_part_and_stays_first(folder, vectors, by):
    index = RerankedIndex.open(folder, by)
    for row in (7, 20, 59):
        there = np.delete(np.arange(60), sorted({3, 50, row}))
        found = index.judge(vectors[row], 6, own_ids={f"{row:032x}"}).neighbours
        assert [one.same_photo for one in found] == [True] + 5 * [False]
        assert [one.row for one in found] == [row, *naive(vectors[row], vectors, there, by, 5)]


@pytest.mark.parametrize("by", BOTH)
def test_own_photos_are_made_up_for(folder, vectors, random_vectors, by):
    index, query = RerankedIndex.open(folder, by), random_vectors(1, seed=11)[0]
    own = set(np.argsort(-(vectors @ query))[[2, 5, 9, 10, 14]]) - {3, 50}
    found = index.judge(query, 6, own_ids={f"{row:032x}" for row in own}).neighbours
    there = np.delete(np.arange(60), sorted({3, 50} | own))
    assert len(found) == 6
    others = [one.row for one in found if not one.same_photo]
    assert others == naive(query, vectors, there, by, 6)[: len(others)]


@pytest.mark.parametrize("by", BOTH)
def test_an_index_of_nothing_but_the_photo_itself(tmp_path, vectors, add_vectors, by):
    folder = add_vectors(tmp_path / "a.index", vectors[:1])
    answer = RerankedIndex.open(folder, by).judge(vectors[0], 5, own_ids={"0" * 32})
    assert [one.row for one in answer.neighbours] == [0]
    assert answer.label == "label-0"


@pytest.mark.parametrize("by", BOTH)
def test_several_photos_of_one_subject(folder, vectors, random_vectors, by):
    photos = random_vectors(2, seed=9)
    mean = photos.mean(axis=0)
    found = RerankedIndex.open(folder, by).judge(mean, 8)
    unit = (mean / np.linalg.norm(mean)).astype(np.float32)
    assert [one.row for one in found.neighbours] == naive(unit, vectors, np.delete(np.arange(60), [3, 50]), by, 8)
    means = (vectors @ photos.T).mean(axis=1)
    rows = [one.row for one in found.neighbours]
    np.testing.assert_allclose([one.similarity for one in found.neighbours], means[rows], atol=1e-6)


@pytest.mark.parametrize("by", BOTH)
def test_mistakes_are_those_of_any_index(folder, by):
    index = RerankedIndex.open(folder, by)
    with pytest.raises(InputError, match="k is 0; it must be at least 1"):
        index.judge(np.eye(8)[0], 0)
    with pytest.raises(InputError, match="cancel each other out"):
        index.judge(np.zeros(8))


def test_the_command_says_how_the_evidence_was_ranked(built, photos, capsys):
    photo = photos / "class-1" / "05.png"
    (plain,) = main(built, photo, k=20)
    assert "re-ranked" not in capsys.readouterr().out
    (found,) = main(built, photo, k=20, rerank="alpha-qe")
    told = capsys.readouterr().out.splitlines()[1]
    assert told == "re-ranked with the reference set by alpha-qe (n 10, alpha 3); answers are by similarity"
    assert (found.label, found.candidates) == (plain.label, plain.candidates)
    assert [one.row for one in found.neighbours] != [one.row for one in plain.neighbours]
    assert sorted(one.row for one in found.neighbours) == sorted(one.row for one in plain.neighbours)
    said = {"none": None, "alpha-qe": to_json(AlphaQE()), "k-reciprocal": to_json(KReciprocal())}
    for rerank, expected in said.items():
        main(built, photo, rerank=rerank, json=True)
        (printed,) = json.loads(capsys.readouterr().out)
        assert printed["rerank"] == expected
