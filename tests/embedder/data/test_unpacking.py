import os
import shutil

import pytest

from embedder.data import unpacking
from embedder.data.catalog import read_catalog
from embedder.data.unpacking import Packed, Source, safe_name, unpacked
from eval.errors import InputError


@pytest.fixture
def source(tmp_path, encoded):
    """A packed file whose photos are made up; ``opened`` counts how often it is read."""
    file = tmp_path / "set" / "a.bin"
    file.parent.mkdir()
    file.write_bytes(b"packed")
    opened = []

    def make(*names, stop=False, **columns):
        def photos(shard):
            opened.append(shard)
            for number, name in enumerate(names):
                values = {column: given[number] for column, given in columns.items()}
                yield Packed(name, encoded(number), values, f"row {number}")
            if stop:
                raise KeyboardInterrupt

        return Source("huggingface", file.parent, {"a": file}, photos)

    make.opened, make.file = opened, file
    return make


def test_photos_are_unpacked_once_and_anew_when_the_files_change(source, tmp_path):
    first = unpacked(source("1.png", "2.png", label=["x", "y"]))
    assert (first.root, first.paths, first.labels) == (tmp_path / "set-photos", ["a/1.png", "a/2.png"], ["x", "y"])
    assert unpacked(source("other")).table.equals(first.table)
    assert len(source.opened) == 1
    digest = first.digest()
    shutil.rmtree(tmp_path / "set-photos")
    assert unpacked(source("1.png", "2.png", label=["x", "y"])).digest() == digest
    os.utime(source.file, ns=(1, 1))
    assert unpacked(source("3.png", label=["z"])).paths == ["a/3.png"]
    assert not (tmp_path / "set-photos" / "a" / "1.png").exists()
    source.file.write_bytes(b"more")
    os.utime(source.file, ns=(1, 1))
    assert unpacked(source("4.png", label=["z"])).paths == ["a/4.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set-photos"]


def test_what_is_unpacked_is_a_source_of_its_own(source, tmp_path):
    first = unpacked(source("1.png", "2.png", label=["x", "y"], box=[[0, 0, 1, 1], None]))
    source.file.unlink()
    table = read_catalog(tmp_path / "set-photos" / "photos.parquet")
    assert table.table.equals(first.table)
    whole = read_catalog(tmp_path / "set-photos")
    assert (whole.name, whole.root) == ("table", table.root)
    assert whole.table.equals(first.table)


def test_an_unpacked_folder_without_its_table_says_what_to_do(source, tmp_path):
    unpacked(source("1.png"))
    (tmp_path / "set-photos" / "photos.parquet").unlink()
    with pytest.raises(
        InputError, match=r"set-photos lacks photos\.parquet, the table of its photos; unpack them anew"
    ):
        read_catalog(tmp_path / "set-photos")


def test_stopped_half_way_nothing_is_there(source, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        unpacked(source("1.png", stop=True))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    unpacked(source("1.png"))
    os.utime(source.file, ns=(1, 1))
    with pytest.raises(KeyboardInterrupt):
        unpacked(source("2.png", stop=True))
    assert (tmp_path / "set-photos" / "a" / "1.png").exists()
    assert not (tmp_path / "set-photos" / "a" / "2.png").exists()


def test_somebodys_own_folder_stays(source, tmp_path):
    mine = tmp_path / "set-photos" / "mine.txt"
    mine.parent.mkdir()
    mine.touch()
    with pytest.raises(InputError, match="set-photos exists and is not of the kind 'unpacked photos'"):
        unpacked(source("1.png"))
    (mine.parent / "manifest.json").write_text("[]")
    with pytest.raises(InputError, match="set-photos exists and is not of the kind 'unpacked photos'"):
        unpacked(source("1.png"))
    (mine.parent / "manifest.json").unlink()
    mine.unlink()
    unpacked(source("1.png"))
    mine.touch()
    os.utime(source.file, ns=(1, 1))
    with pytest.raises(InputError, match=r"would be made anew, and mine.txt in it would be lost; move it out"):
        unpacked(source("1.png"))
    assert mine.exists()


def test_the_cache_folder_serves_where_nobody_may_write(source, tmp_path, monkeypatch):
    monkeypatch.setenv("FIELDMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(
        InputError, match=r"neither beside them nor in the cache folder .*; name a folder in FIELDMARK_C"
    ):
        unpacked(source("1.png"))
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    catalog = unpacked(source("1.png"))
    assert catalog.root.parent == tmp_path / "cache"
    assert catalog.root.name.startswith("set-") and catalog.root.name.endswith("-photos")
    assert unpacked(source("1.png")).root == catalog.root
    assert len(source.opened) == 1


def test_a_full_disk_is_told_before(source, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 5))
    with pytest.raises(
        InputError, match=r"are unpacked once, into .*set-photos, which takes 0.0 GB, and 0.0 GB are free"
    ):
        unpacked(source("1.png"))
    assert source.opened == []


@pytest.mark.parametrize("names", [("1.png", "1.png"), ("1.png", "1.png/2.png")])
def test_two_photos_of_one_name(source, names):
    with pytest.raises(InputError, match=r"a.bin: row 1: another photo has the same name"):
        unpacked(source(*names))


def test_a_value_that_cannot_be_is_named_by_its_place(source, tmp_path):
    with pytest.raises(InputError, match=r"set, a: row 1: the box \[3, 0, 3, 1\] is not"):
        unpacked(source("1.png", "2.png", box=[None, [3, 0, 3, 1]]))
    assert not (tmp_path / "set-photos").exists()


def test_where_the_folder_lies(tmp_path):
    cases = (("set", "set-photos"), ("x/../set", "set-photos"), ("a-{0..1}.tar", "a-0..1.tar-photos"))
    for root, name in cases:
        assert unpacking._folders(tmp_path / root)[0] == tmp_path / name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", "a/b.png"), ("./a//b.png", "a/b.png"), ("a.b/.c", "a.b/.c"), ("..", None), ("a/../b", None),
        ("/a", None), ("C:a", None), ("c:\\a", None), ("\\\\x\\y\\z", None), ("a\0", None), ("", None), (".", None),
        ("a\udcff.png", None),
    ],
)  # fmt: skip
def test_safe_names(name, safe):
    assert safe_name(name) == safe
