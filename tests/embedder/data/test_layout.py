import zipfile
from pathlib import Path

import pytest

from embedder.data.layout import cache_folder, check_layout, check_listed, official_splits
from eval.errors import InputError


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (set(), {}),
        ({"train", "Test"}, {"train": "train", "Test": "test"}),
        ({"train", "val"}, {"train": "train", "val": "test"}),
        ({"training", "validation", "testing"}, {"training": "train", "validation": "train", "testing": "test"}),
    ],
)
def test_official_splits(names, expected):
    assert official_splits(names) == expected


def test_a_complete_layout_passes(touch):
    check_layout(touch(["a.txt", "b/c.jpg"]), "this", ["a.txt", "b"], "words")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("set/gone", "gone does not exist; this is laid out as words"),
        ("set/a.txt", "a.txt is not a folder; this is laid out as words"),
        ("", "one level too high for this; give this:.*set$"),
        ("set/b", "one level too low for this; give this:.*set$"),
        ("other", "other is not this: b is missing; this is laid out as words"),
    ],
)
def test_what_is_wrong_with_a_layout(touch, place, message):
    root = touch(["set/a.txt", "set/b/c.jpg", "other/a.txt"])
    with pytest.raises(InputError, match=message):
        check_layout(root / place, "this", ["a.txt", "b"], "words")


def test_a_relative_root_knows_its_parent(touch, monkeypatch):
    monkeypatch.chdir(touch(["a.txt", "b/c.jpg"]) / "b")
    with pytest.raises(InputError, match="is one level too low"):
        check_layout(Path(), "this", ["a.txt", "b"], "words")


def test_listed_photos_that_are_missing(touch):
    root = touch(["a.jpg", "folder.jpg/b.jpg"])
    check_listed(root, ["a.jpg"], root / "list.txt")
    with pytest.raises(InputError, match=r"lists 3 photos, of which 2 do not exist \(first: folder.jpg\)"):
        check_listed(root, ["a.jpg", "folder.jpg", "c.jpg"], root / "list.txt")


def test_where_the_cache_lies(tmp_path, monkeypatch):
    monkeypatch.delenv("FIELDMARK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder("birds") == tmp_path / ".cache" / "fieldmark" / "birds"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("birds") == tmp_path / "xdg" / "fieldmark" / "birds"
    monkeypatch.setenv("FIELDMARK_CACHE", str(tmp_path / "mine"))
    assert cache_folder("birds") == tmp_path / "mine" / "birds"


def test_an_archive_in_the_place_of_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(
        InputError, match=r"set\.zip is an archive \(zip\); unpack it, and give the folder; this is laid out"
    ):
        check_layout(tmp_path / "set.zip", "this", ["a.txt"], "words")
