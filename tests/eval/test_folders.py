import hashlib
import math
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

from eval import folders
from eval.errors import InputError
from eval.folders import File, checksum, flat_header, map_table, map_vectors


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    index = faiss.IndexFlatIP(3)
    index.add(np.eye(3, dtype=np.float32))
    faiss.write_index(index, str(tmp_path / "flat.faiss"))
    return tmp_path / "flat.faiss"


def test_a_file_is_told_by_its_size_and_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    file = File.of(path)
    assert file == File(5, hashlib.sha256(b"whole").hexdigest())
    file.check(path)
    path.write_bytes(b"whoop")
    with pytest.raises(InputError, match="file is damaged: its checksum is wrong"):
        file.check(path)
    file.check(path, limit=4)
    with pytest.raises(InputError, match="its checksum is wrong"):
        file.check(path, limit=math.inf)
    path.write_bytes(b"who")
    with pytest.raises(InputError, match="it has 3 bytes instead of 5"):
        file.check(path, limit=2)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        file.check(path)


def test_the_checksum_is_that_of_the_values() -> None:
    assert checksum({"a": 1, "b": [2]}) == checksum({"b": [2], "a": 1}) != checksum({"a": 1, "b": [3]})


def test_vectors_that_faiss_wrote(flat: Path) -> None:
    assert flat.read_bytes().startswith(flat_header(3, 3))
    assert np.array_equal(map_vectors(flat, 3, 3), np.eye(3))


@pytest.mark.parametrize(("rows", "dimension"), [(2, 3), (3, 4)])
def test_vectors_of_another_shape_are_refused(flat: Path, rows: int, dimension: int) -> None:
    with pytest.raises(InputError, match=r"flat\.faiss is damaged: its header is wrong"):
        map_vectors(flat, rows, dimension)


@pytest.mark.parametrize("content", [lambda whole: whole[:-4], lambda whole: whole + b"more"])
def test_too_few_or_too_many_vectors_are_refused(flat: Path, content) -> None:
    flat.write_bytes(content(flat.read_bytes()))
    with pytest.raises(InputError, match="it does not hold 3 vectors of dimension 3"):
        map_vectors(flat, 3, 3)


def test_a_table_below_a_folder_called_as_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "~").mkdir()
    feather.write_feather(pa.table({"id": ["a"]}), tmp_path / "~" / "table.feather", compression="uncompressed")
    monkeypatch.chdir(tmp_path)
    assert map_table(Path("~/table.feather"), 1)["id"].to_pylist() == ["a"]
    with pytest.raises(InputError, match=r"table\.feather is damaged: it has 1 rows instead of 2"):
        map_table(Path("~/table.feather"), 2)


def test_a_file_that_stays_away_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"files": {"gone.bin": {"size": 1, "sha256": ""}}}
    monkeypatch.setattr(folders, "read_manifest", lambda *_: contents)
    with pytest.raises(InputError, match=r"lacks a file .*gone\.bin.*restore the index"):
        folders.read_index(tmp_path, dict)
