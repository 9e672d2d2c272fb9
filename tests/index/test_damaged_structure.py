"""Search files and vectors that are not what they were."""

import pytest

from eval.errors import InputError
from eval.folders import File
from index import Index
from index.manifest import Manifest
from tests.index.conftest import commit_vectors, make_searchable
from tests.index.test_structure import QUERIES, VECTORS, grow


@pytest.mark.parametrize("place", [0, 10, 40, -1])
def test_a_damaged_search_file(place, tmp_path):
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    path = folder / make_searchable(folder, "hnsw").file
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place:][1:])
    with pytest.raises(InputError, match=rf"{path.name} is damaged"):
        Index.open(folder)
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=rf"{path.name} is damaged"):
        Index.open(folder)
    path.unlink()
    with pytest.raises(InputError, match=rf"lacks a file .*{path.name}"):
        Index.open(folder)


def test_damage_at_the_start_of_a_big_search_file(tmp_path, monkeypatch):
    """Whose checksum is not looked at when the index is opened."""
    folder = commit_vectors(tmp_path / "a.index", VECTORS)
    path = folder / make_searchable(folder, "hnsw").file
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    whole = path.read_bytes()
    for damaged in (b"nonsense" + whole[8:], (folder / "vectors-000001.faiss").read_bytes().ljust(len(whole), b"x")):
        path.write_bytes(damaged[: len(whole)])
        with pytest.raises(InputError, match=rf"{path.name} is damaged"):
            Index.open(folder)


def test_a_damaged_search_file_is_not_built_upon(tmp_path, monkeypatch):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    path = folder / make_searchable(folder, "sq").file
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    with pytest.raises(InputError, match=rf"{path.name} is damaged: its checksum is wrong"):
        grow(folder, VECTORS[1000:1500])
    assert Manifest.read(folder).generation == 2


@pytest.mark.parametrize("row", [9_999, -7])
def test_a_search_file_that_names_rows_that_are_not_there(row, tmp_path, monkeypatch):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    make_searchable(folder, "ivf")
    index = Index.open(folder)
    proposals = index._searcher._proposals
    search = proposals._numpy_search

    def damaged(*given, **more):
        cosines, rows = search(*given, **more)
        rows[0, 0] = row
        return cosines, rows

    monkeypatch.setattr(proposals, "_numpy_search", damaged)
    with pytest.raises(InputError, match="faiss is damaged: it names rows that are not there"):
        index.search(QUERIES)


def test_nothing_is_made_of_damaged_vectors(tmp_path, monkeypatch):
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:1000])
    path = folder / "vectors-000001.faiss"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x80  # the sign of a number, so that the length of the vector stays what it is
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"vectors-000001\.faiss is damaged"):
        make_searchable(folder, "ivf")
    assert Index.open(folder).generation == 1
