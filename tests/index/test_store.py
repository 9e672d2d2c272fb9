import os

import numpy as np
import pytest

from eval import folders
from eval.errors import InputError
from eval.folders import File
from index.manifest import Manifest
from index.store import Store, current


@pytest.fixture
def folder(tmp_path, add_vectors, random_vectors):
    return add_vectors(tmp_path / "a.index", random_vectors(5, seed=1))


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    for place in (tmp_path, tmp_path / "holiday.jpg"):
        with pytest.raises(InputError, match="exists and is not an index; choose another name"):
            current(place)


def files(folder):
    kinds = ("embedder", "vectors", "references", "thumbnails")
    return {kind: folder / name for kind, name in zip(kinds, Manifest.read(folder).names(), strict=True)}


@pytest.mark.parametrize("kind", ["embedder", "vectors", "references", "thumbnails"])
def test_a_missing_file_is_named(folder, kind):
    files(folder)[kind].unlink()
    with pytest.raises(
        InputError, match=rf"a.index lacks a file .*{kind}-\w+\.\w+'\); restore the index, or remove it"
    ):
        Store.open(folder)


@pytest.mark.parametrize("kind", ["embedder", "vectors", "references", "thumbnails"])
def test_a_truncated_file_is_named(folder, kind):
    path = files(folder)[kind]
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(
        InputError, match=rf"{path.name} is damaged: it has {size - 1} bytes instead of {size}; restore"
    ):
        Store.open(folder)


@pytest.mark.parametrize("kind", ["embedder", "vectors", "references", "thumbnails"])
def test_a_flipped_bit_in_a_small_file_is_found(folder, kind):
    path = files(folder)[kind]
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 20).astype(int):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(InputError, match=rf"{path.name} is damaged: its checksum is wrong; restore the folder"):
            Store.open(folder)
    path.write_bytes(whole)
    Store.open(folder)


def test_checksums_are_verified_of_the_smallest_files_up_to_a_sum(folder, add_vectors, random_vectors, monkeypatch):
    add_vectors(folder, random_vectors(50, seed=2))
    sizes = {file: Store.open(folder).manifest.files[file].size for file in Store.open(folder).manifest.files}
    monkeypatch.setattr(folders, "SMALL", sum(sizes.values()) - 1)
    *others, largest = sorted(sizes, key=sizes.get)
    for name in (*others, largest):
        whole = (folder / name).read_bytes()
        middle = len(whole) // 2
        (folder / name).write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        if name == largest:
            Store.open(folder)
        else:
            with pytest.raises(InputError, match=f"{name} is damaged"):
                Store.open(folder)
        (folder / name).write_bytes(whole)


@pytest.mark.parametrize("kind", ["vectors", "references"])
def test_damage_at_the_start_of_a_big_file_is_found(folder, kind, monkeypatch):
    monkeypatch.setattr(File, "check", lambda *_: None)
    path = files(folder)[kind]
    path.write_bytes(b"\0" * 60 + path.read_bytes()[60:])
    with pytest.raises(InputError, match=f"{path.name} is damaged"):
        Store.open(folder)
