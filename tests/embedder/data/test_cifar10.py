import shutil

import pytest

from embedder.data.cifar10 import CLASSES, read
from eval.errors import InputError


@pytest.fixture
def root(touch):
    return touch(f"{split}/{name}/0000.jpg" for split in ("train", "test") for name in CLASSES)


def test_the_official_split(root):
    catalog = read(root)
    assert (catalog.name, catalog.classes, catalog.class_split) == ("cifar10", CLASSES, None)
    assert catalog.table["split"].to_pylist() == ["test"] * 10 + ["train"] * 10
    assert catalog.codes.tolist() == [*range(10), *range(10)]


def test_an_archive_is_to_be_unpacked(touch):
    archive = touch(["cifar10.tar.xz"]) / "cifar10.tar.xz"
    archive.write_bytes(b"\xfd7zXZ\x00, and so on, YZ")
    with pytest.raises(InputError, match=r"cifar10.tar.xz is an archive \(xz\); unpack it"):
        read(archive)


def test_a_missing_class(root):
    shutil.rmtree(root / "test" / "dog")
    with pytest.raises(InputError, match="is not cifar10: test/dog is missing"):
        read(root)


def test_other_classes(root, touch):
    touch(["train/wren/1.jpg"])
    with pytest.raises(InputError, match=r"is not cifar10: it has photos of .*'wren'"):
        read(root)


def test_one_level_too_high_or_too_low(root):
    with pytest.raises(InputError, match=f"is one level too high for cifar10; give cifar10:{root}"):
        read(root.parent)
    with pytest.raises(InputError, match=f"is one level too low for cifar10; give cifar10:{root}"):
        read(root / "train")
