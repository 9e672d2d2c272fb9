import os

import pytest

from embedder.data.folder import empty_folders, read
from eval.errors import InputError
from eval.images import BadImage, open_image


def test_a_folder_a_class(touch):
    root = touch(["wren/b.jpg", "wren/a.jpg", "Auk/1.JPG", "Auk/2.Png", "zebra finch/x.webp"])
    catalog = read(root)
    assert catalog.paths == ["Auk/1.JPG", "Auk/2.Png", "wren/a.jpg", "wren/b.jpg", "zebra finch/x.webp"]
    assert catalog.labels == ["Auk", "Auk", "wren", "wren", "zebra finch"]
    assert catalog.classes == ["Auk", "wren", "zebra finch"]
    assert catalog.table.column_names == ["path", "label"]
    assert catalog.file(0).is_file()


def test_other_files_and_hidden_ones_are_ignored(touch):
    paths = ["wren/a.jpg", "wren/notes.txt", "wren/._a.jpg", ".cache/a.jpg", "README.md", "empty.d/x.txt", "wren/a.eps"]
    assert read(touch(paths)).paths == ["wren/a.jpg"]


def test_a_text_file_called_jpg_is_listed(touch):
    root = touch(["wren/a.jpg"])
    (root / "wren" / "b.jpg").write_text("not a photo")
    assert len(read(root)) == 2


def test_photos_anywhere_below_a_class_belong_to_it(touch):
    catalog = read(touch(["wren/2023/may/a.jpg", "wren/b.jpg", "auk/c.jpg"]))
    assert list(zip(catalog.paths, catalog.labels, strict=True)) == [
        ("auk/c.jpg", "auk"),
        ("wren/2023/may/a.jpg", "wren"),
        ("wren/b.jpg", "wren"),
    ]


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["train", "test"], {"train": "train", "test": "test"}),
        (["Training", "TEST"], {"Training": "train", "TEST": "test"}),
        (["train", "val"], {"train": "train", "val": "test"}),
        (["train", "valid", "test"], {"train": "train", "valid": "train", "test": "test"}),
        (["train"], {"train": "train"}),
    ],
)
def test_official_splits(touch, folders, splits):
    catalog = read(touch(f"{folder}/{label}/1.jpg" for folder in folders for label in ("wren", "auk")))
    assert catalog.classes == ["auk", "wren"]
    found = zip(catalog.paths, catalog.labels, catalog.table["split"].to_pylist(), strict=True)
    assert set(found) == {
        (f"{folder}/{label}/1.jpg", label, splits[folder]) for folder in folders for label in ("wren", "auk")
    }


def test_a_class_may_be_called_train(touch):
    catalog = read(touch(["train/1.jpg", "bus/1.jpg"]))
    assert catalog.classes == ["bus", "train"]
    assert "split" not in catalog.table.column_names


def test_photos_alone_have_no_label(touch):
    catalog = read(touch(["a.jpg", "b.jpg"]))
    assert (catalog.labels, catalog.classes) == ([None, None], [])


def test_links_are_followed_but_not_in_circles(touch):
    root = touch(["birds/wren/a.jpg", "birds/auk/b.jpg", "elsewhere/tit/c.jpg"])
    (root / "birds" / "wren" / "round").symlink_to(root / "birds")
    (root / "birds" / "tit").symlink_to(root / "elsewhere" / "tit")
    assert read(root / "birds").paths == ["auk/b.jpg", "tit/c.jpg", "wren/a.jpg"]


def test_a_broken_link_is_listed_to_be_reported_as_unreadable(touch):
    root = touch(["wren/a.jpg"])
    (root / "wren" / "b.jpg").symlink_to(root / "gone.jpg")
    assert read(root).paths == ["wren/a.jpg", "wren/b.jpg"]


def test_a_link_to_itself_is_like_a_broken_one(touch):
    root = touch(["wren/a.jpg", "auk/b.jpg"])
    for name in ("round", "wren/round", "wren/c.jpg"):
        (root / name).symlink_to(root / name)
    (root / "auk" / "there").symlink_to(root / "auk" / "back")
    (root / "auk" / "back").symlink_to(root / "auk" / "there")
    assert read(root).paths == ["auk/b.jpg", "wren/a.jpg", "wren/c.jpg"]
    with pytest.raises(BadImage, match=r"c\.jpg: does not exist"):
        open_image(root / "wren" / "c.jpg")


def test_links_to_folders_above_end(touch):
    root = touch(["birds/wren/a.jpg", "birds/auk/b.jpg"])
    (root / "birds" / "wren" / "up").symlink_to(root)
    (root / "birds" / "auk" / "here").symlink_to(".")
    assert read(root / "birds").paths == ["auk/b.jpg", "wren/a.jpg"]


def test_the_order_is_that_of_code_points_whatever_the_file_system_says(touch, monkeypatch):
    root = touch(f"{label}/{photo}.jpg" for label in ("b", "Z", "é", "a") for photo in ("10", "9"))
    expected = ["Z/10.jpg", "Z/9.jpg", "a/10.jpg", "a/9.jpg", "b/10.jpg", "b/9.jpg", "é/10.jpg", "é/9.jpg"]
    scandir = os.scandir
    assert read(root).paths == expected
    for order in (1, -1):
        monkeypatch.setattr(os, "scandir", lambda folder, o=order: sorted(scandir(folder), key=lambda e: e.name)[::o])
        assert read(root).paths == expected


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "is empty; give a folder of photos"),
        (["notes.txt", "wren/notes.txt"], "holds no photos"),
        (["a.jpg", "b.jpg", "wren/c.jpg"], r"holds 2 photos beside its class folders \(first: a.jpg\)"),
        (["train/a.jpg", "test/wren/b.jpg"], r"train holds photos outside class folders \(first: a.jpg\)"),
        (["birds/wren/a.jpg", "birds/auk/b.jpg"], "is one level too high: its only folder birds .* give .*/birds$"),
        (["train/wren/a.jpg", "test/wren/b.jpg", "new/c.jpg"], "holds test, with folders of classes in it, beside new"),
        (["cifar/train/wren/a.jpg", "cifar/train/auk/a.jpg"], "is one level too high: .* give .*/cifar$"),
    ],
)
def test_what_is_refused(touch, paths, message):
    with pytest.raises(InputError, match=message):
        read(touch(paths))


def test_one_class_with_folders_of_its_own_is_fine(touch):
    assert read(touch(["wren/may/a.jpg", "wren/b.jpg"])).classes == ["wren"]


def test_a_name_that_is_not_utf8(touch):
    root = touch(["wren/a.jpg"])
    try:
        (root / "wren" / os.fsdecode(b"\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    with pytest.raises(InputError, match="holds a name that is not UTF-8"):
        read(root)


def test_folders_without_photos_are_named(touch, capsys):
    root = touch(["wren/a.jpg", "auk/b.jpg", "robin/notes.txt", ".cache/a.txt"])
    assert read(root).classes == ["auk", "wren"]
    assert capsys.readouterr().err == "folders without photos, which are no classes: 1 (robin)\n"
    read(touch(["wren/c.jpg"]) / "wren")
    assert capsys.readouterr().err == ""


def test_folders_without_photos_beside_classes_of_both_sides(touch, capsys):
    root = touch(["train/wren/a.jpg", "train/robin/notes.txt", "test/wren/b.jpg", "test/.cache/a.txt"])
    (root / "test" / "auk").mkdir()
    assert read(root).classes == ["wren"]
    assert empty_folders(root) == ["test/auk", "train/robin"]
    assert "folders without photos, which are no classes: 2 (test/auk, train/robin)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "paths",
    [
        ["images_train/a/1.jpg", "images_train/b/1.jpg", "images_test/a/2.jpg", "images_test/b/2.jpg"],
        ["images/a/1.jpg", "images/b/1.jpg", "images/c/1.jpg", "masks/a/1.png", "masks/b/1.png", "masks/c/1.png"],
    ],
)
def test_folders_that_hold_the_same_classes_are_no_classes(touch, paths):
    with pytest.raises(InputError, match=r"holds images.* with folders of the same names in each \(a, b.*no|not like"):
        read(touch(paths))


def test_classes_with_the_same_few_folders_in_each_are_fine(touch):
    root = touch([f"{kind}/{view}/1.jpg" for kind in ("auk", "jay", "wren") for view in ("left", "right")])
    assert read(root).classes == ["auk", "jay", "wren"]
    assert read(touch(["auk/left/1.jpg", "jay/right/1.jpg"], "others")).classes == ["auk", "jay"]
