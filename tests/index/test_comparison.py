from dataclasses import replace

import numpy as np

from index import Index
from index.comparison import compare_answers
from tests.index.conftest import commit_vectors, unit


def test_answers_are_counted(tmp_path):
    """Four photos beside references of labels a and b; the second generation has two of them changed over."""
    corners = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    first = Index.open(commit_vectors(tmp_path / "1.index", corners, labels=["a", "b", "a", "b"]))
    second = Index.open(commit_vectors(tmp_path / "2.index", corners, labels=["b", "a", "a", "c"]))
    queries = unit(corners + 0.01)
    found = compare_answers((first, queries), (second, queries), ["a", "a", "a", "a"], ["x"] * 4)
    assert (found.photos, found.right_before, found.right_after) == (4, 0.5, 0.5)
    assert (found.mended, found.broken, found.changed) == (1, 1, 3)
    assert (found.known_before, found.known_after) == (None, None)
    assert "right 50.0% before, 50.0% after; 3 have another label" in str(found)
    assert str(found).endswith("1 of them are right now and 1 no longer")
    assert str(replace(found, known_after=0.5)).endswith("; known uncalibrated before, 50.0% after")


def test_a_photo_has_no_vote_for_itself(tmp_path):
    vectors = unit([[1, 0.0], [1, 0.1], [0, 1]])
    index = Index.open(commit_vectors(tmp_path / "a.index", vectors, labels=["wrong", "right", "other"]))
    found = compare_answers((index, vectors[:1]), (index, vectors[:1]), ["right"], [f"{0:032x}"])
    assert found.right_before == 1


def test_no_photos(tmp_path, random_vectors):
    index = Index.open(commit_vectors(tmp_path / "a.index", random_vectors(3)))
    nothing = np.empty((0, 8), np.float32)
    found = compare_answers((index, nothing), (index, nothing), [], [])
    assert (found.photos, found.changed) == (0, 0)
    assert np.isnan(found.right_before)
