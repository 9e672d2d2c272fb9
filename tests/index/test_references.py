import numpy as np
import pytest

from eval.errors import InputError
from index import Index
from index.references import references_of
from index.relabel import main as relabel
from index.remove import main as remove
from tests.index.conftest import commit_vectors, unit


def test_those_of_an_index_are_as_they_have_become(tmp_path):
    vectors = unit(np.random.default_rng(0).normal(size=(9, 8)))
    folder = commit_vectors(tmp_path / "a.index", vectors[:5])
    commit_vectors(folder, vectors[5:])
    remove(folder, id=f"{1:032x}")
    relabel(folder, id=f"{6:032x}", to="other")
    known = references_of(Index.open(folder))
    assert known.rows.tolist() == [0, 2, 3, 4, 5, 6, 7, 8]
    assert [known.names[code] for code in known.codes] == [
        "label-0",
        "label-2",
        "label-0",
        "label-1",
        "label-2",
        "other",
        "label-1",
        "label-2",
    ]
    np.testing.assert_array_equal(known.vectors, vectors[known.rows])
    assert not known.pictured.any()


def test_an_index_without_references_is_refused(tmp_path):
    folder = commit_vectors(tmp_path / "a.index", unit(np.eye(3)), ["a"] * 3)
    remove(folder, label="a")
    with pytest.raises(InputError, match=r"a\.index holds no references; add some with index\.add"):
        references_of(Index.open(folder))
