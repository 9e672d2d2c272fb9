"""The references in the plane: made, carried along, dropped."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.errors import InputError
from index import Index
from index.add import main as add
from index.check import main as check
from index.map import main, read_map
from index.rebuild import main as rebuild
from index.remove import main as remove
from index.undo import main as undo
from tests.index.conftest import write_photo


@pytest.fixture
def own(built, tmp_path, monkeypatch):
    """An index to change; what projects is the first two numbers of each vector, moved by the seed."""
    monkeypatch.setattr("index.map.project", lambda vectors, seed, progress: vectors[:, :2] + seed)
    return Path(shutil.copytree(built, tmp_path / "own.index"))


def test_a_map_is_committed_with_the_index(own):
    assert read_map(Index.open(own)) is None
    main(own, seed=3)
    index = Index.open(own)
    assert (index.generation, index.manifest.map) == (2, "map-000002.npy")
    assert np.array_equal(read_map(index), index.vectors(np.arange(20))[:, :2] + 3)
    check(own)


def test_the_plane_of_the_command_itself(built, tmp_path):
    """Classes of one colour lie together."""
    own = Path(shutil.copytree(built, tmp_path / "own.index"))
    main(own)
    index = Index.open(own)
    places, labels = read_map(index), index.labels
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(apart, np.inf)
    assert np.mean(labels[apart.argmin(axis=1)] == labels) > 0.9


def test_deleted_rows_and_newer_ones_have_no_place(own, tmp_path):
    remove(own, label="class-2")
    main(own)
    write_photo(tmp_path / "more" / "class-9" / "1.png", 9, 99)
    add(own, str(tmp_path / "more"))
    remove(own, label="class-3")
    index = Index.open(own)
    places = read_map(index)
    assert len(places) == 21
    assert np.isfinite(places).all(axis=1).tolist() == [True] * 10 + [False] * 5 + [True] * 5 + [False]
    check(own)


def test_rows_that_are_numbered_anew_drop_it_and_others_keep_it(own):
    main(own)
    rebuild(own)
    assert Index.open(own).manifest.map == "map-000002.npy"
    remove(own, label="class-2")
    rebuild(own)
    index = Index.open(own)
    assert (index.manifest.map, read_map(index)) == (None, None)


def test_it_can_be_taken_back_and_its_file_goes(own):
    main(own)
    undo(own)
    assert read_map(Index.open(own)) is None
    remove(own, label="class-1")
    remove(own, label="class-2")
    assert not list(own.glob("map-*"))


def test_an_index_that_was_built_anew_meanwhile_is_left_alone(own, monkeypatch):
    def slow(vectors, seed, progress):
        remove(own, label="class-0")
        rebuild(own)
        return vectors[:, :2]

    monkeypatch.setattr("index.map.project", slow)
    with pytest.raises(InputError, match=r"built anew meanwhile"):
        main(own)
    assert Index.open(own).manifest.map is None


def test_what_cannot_be_done_is_told(own):
    with pytest.raises(InputError, match=r"seed is -1"):
        main(own, seed=-1)
    for label in range(4):
        remove(own, label=f"class-{label}")
    with pytest.raises(InputError, match=r"holds 0 references; a map needs 3"):
        main(own)


def test_a_damaged_map_is_told(own):
    main(own)
    path = own / "map-000002.npy"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(InputError, match=r"map-000002.npy"):
        read_map(Index.open(own))
