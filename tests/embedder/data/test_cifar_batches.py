import hashlib
import pickle
import struct

import numpy as np
import pytest
from PIL import Image

from embedder.data.catalog import read_catalog
from embedder.data.cifar10 import CLASSES, PHOTOS, read
from embedder.data.cifar_batches import BATCHES, FOLDER
from eval.errors import InputError


class Shell:
    """A pickle of it makes a file when it is opened."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


class Old(pickle._Pickler):
    """Writes as Python 2 did: bytes as its strings, and the names of NumPy's parts of then."""

    def save_global(self, obj, name=None):
        if getattr(obj, "__module__", "").startswith("numpy._core"):
            self.write(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n")
            self.memoize(obj)
            return
        super().save_global(obj, name)

    def save_bytes(self, obj):
        self.write(pickle.BINSTRING + struct.pack("<i", len(obj)) + obj)
        self.memoize(obj)

    dispatch = pickle._Pickler.dispatch | {type(np.array): save_global, bytes: save_bytes}


def pixels(number):
    return np.random.default_rng(number).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Batches of ten photos, one of each class in another order."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        labels = [(row + number) % 10 for row in range(10)]
        with (folder / name).open("wb") as file:
            Old(file, 2).dump({"data": pixels(number).reshape(10, -1), "labels": labels, "batch_label": name})
        publish(monkeypatch, folder / name)
    return tmp_path


def publish(monkeypatch, file):
    monkeypatch.setitem(BATCHES, file.name, hashlib.md5(file.read_bytes()).hexdigest())


@pytest.mark.parametrize("place", [".", FOLDER])
def test_photos_are_unpacked_once(root, place):
    catalog = read_catalog(f"cifar10:{root / place}")
    assert (catalog.name, catalog.classes, catalog.root) == ("cifar10", CLASSES, root / PHOTOS)
    assert catalog.table["split"].to_pylist().count("train") == 50
    photo = np.asarray(Image.open(root / PHOTOS / "train/cat/00012.png"))  # the third of the second batch: 2 + 1
    assert np.array_equal(photo, pixels(1)[2].transpose(1, 2, 0))
    assert (root / PHOTOS / "test/automobile/00056.png").exists()  # the seventh of the sixth: 6 + 5
    for name in BATCHES:
        (root / FOLDER / name).unlink()
    assert len(read(root / place)) == 60


def test_a_batch_that_is_not_the_published_one_is_not_opened(root, tmp_path):
    (root / FOLDER / "data_batch_3").write_bytes(pickle.dumps(Shell(tmp_path / "made")))
    with pytest.raises(InputError, match=r"data_batch_3 is not the published one \(its MD5 is .*, so it is not opened"):
        read(root)
    assert not (tmp_path / "made").exists()
    assert not (root / PHOTOS).exists()


def test_even_then_nothing_but_arrays_is_made(root, tmp_path, monkeypatch):
    file = root / FOLDER / "data_batch_3"
    file.write_bytes(pickle.dumps(Shell(tmp_path / "made")))
    publish(monkeypatch, file)
    with pytest.raises(InputError, match=r"data_batch_3 is no batch of CIFAR-10 \(it names io\.open, which no array"):
        read(root)
    assert not (tmp_path / "made").exists()
    assert sorted(path.name for path in root.iterdir()) == [FOLDER]


@pytest.mark.parametrize("contents", [{}, {"data": [1, 2], "labels": [0]}, [1], {"data": None, "labels": [0]}])
def test_pickles_of_something_else(root, monkeypatch, contents):
    file = root / FOLDER / "test_batch"
    file.write_bytes(pickle.dumps(contents, protocol=2))
    publish(monkeypatch, file)
    with pytest.raises(InputError, match="test_batch is no batch of CIFAR-10"):
        read(root)


def test_a_batch_that_is_missing(root):
    (root / FOLDER / "test_batch").unlink()
    with pytest.raises(InputError, match=r"test_batch is missing; unpack cifar-10-python.tar.gz anew"):
        read(root)
