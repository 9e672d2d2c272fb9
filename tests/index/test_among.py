"""Answers by the references of some labels alone."""

import numpy as np
import pytest

from eval.errors import InputError
from index import Index, among
from index.among import judge_among, rows_with
from index.relabel import main as relabel
from index.remove import main as remove
from tests.conftest import unit
from tests.index.conftest import made, under_another_label


@pytest.mark.parametrize("at_once", [7, 1 << 16])
def test_the_nearest_of_some_labels_are_found_exactly(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(among, "AT_ONCE", at_once)
    index = Index.open(made(tmp_path / "a.index"))
    labels = ["class-03", "class-11", "class-20"]
    rows = [row for row, label in enumerate(index.labels) if label in labels]
    vectors = index.vectors(np.array(rows)).astype(np.float64)
    for query in unit(np.random.default_rng(1).normal(size=(10, 16))):
        similarities = vectors @ query
        order = sorted(range(len(rows)), key=lambda place: (-similarities[place], rows[place]))[:8]
        answer = judge_among(index, query, labels, k=8)
        assert [one.row for one in answer.neighbours] == [rows[place] for place in order]
        assert [one.similarity for one in answer.neighbours] == pytest.approx(similarities[order].tolist(), abs=1e-6)
        assert answer.label == answer.candidates[0].label
        assert (answer.known, answer.probability, answer.label_set) == (None, None, None)


def test_more_are_asked_for_than_there_are(tmp_path):
    index = Index.open(made(tmp_path / "a.index"))
    query = index.vectors(np.array([0]))[0]
    assert len(judge_among(index, query, ["class-05"], k=1000).neighbours) == 12


def test_the_photo_itself_has_no_vote(tmp_path):
    folder = made(tmp_path / "a.index")
    index = under_another_label(folder, [0])
    own = index.table["id"][0].as_py()
    answer = judge_among(index, index.vectors(np.array([0]))[0], ["class-00", "other"], k=2, own_ids={own})
    assert [one.same_photo for one in answer.neighbours] == [True, True]
    assert "other" not in {one.label for one in answer.candidates}


def test_of_a_mean_similarities_are_means(tmp_path):
    index = Index.open(made(tmp_path / "a.index"))
    mean = index.vectors(np.array([0, 50])).mean(axis=0)
    (nearest,) = judge_among(index, mean, ["class-00"], k=1).neighbours
    assert nearest.similarity == pytest.approx(float(index.vectors(np.array([nearest.row]))[0] @ mean), abs=1e-6)


def test_deleted_rows_and_new_labels_count(tmp_path):
    folder = made(tmp_path / "a.index")
    names = Index.open(folder).table["id"].to_pylist()
    remove(folder, id=names[12])
    relabel(folder, id=names[30], to="class-01")
    assert rows_with(Index.open(folder), ["class-01"]).tolist() == [*range(13, 24), 30]


def test_a_label_is_named_however_it_is_spelt(tmp_path):
    folder = made(tmp_path / "a.index")
    relabel(folder, label="class-03", to="cafe\u0301")
    index = Index.open(folder)
    assert rows_with(index, ["caf\u00e9"]).tolist() == np.flatnonzero(index.labels == "cafe\u0301").tolist() != []


def test_what_cannot_be_asked_is_told(tmp_path):
    index = Index.open(made(tmp_path / "a.index"))
    query = index.vectors(np.array([0]))[0]
    with pytest.raises(InputError, match=r"unknown label 'class-99'"):
        judge_among(index, query, ["class-99"])
    with pytest.raises(InputError, match=r"k is 0"):
        judge_among(index, query, ["class-01"], k=0)
    with pytest.raises(InputError, match=r"cancel each other out"):
        judge_among(index, query * 0, ["class-01"])
    with pytest.raises(InputError, match=r"not finite"):
        judge_among(index, query * np.nan, ["class-01"])
