import numpy as np
import pytest
from scipy.io import savemat

from embedder.data import flowers102
from embedder.data.catalog import read_catalog
from embedder.data.flowers102 import FLOWERS
from embedder.data.layout import Counts
from eval.errors import InputError

PHOTOS = 408


@pytest.fixture
def root(touch, monkeypatch):
    """Four photos of each kind in a row: for training, for validation, and two for the test."""
    monkeypatch.setattr(flowers102, "PUBLISHED", Counts(photos=PHOTOS, classes=102, training=204, test=204))
    folder = touch(f"jpg/image_{number:05}.jpg" for number in range(1, PHOTOS + 1))
    write(folder)
    return folder


def write(folder, labels=None, **changed):
    numbers = np.arange(1, PHOTOS + 1)
    sets = {"trnid": numbers[::4], "valid": numbers[1::4], "tstid": np.sort([*numbers[2::4], *numbers[3::4]])}
    savemat(folder / "imagelabels.mat", {"labels": (numbers - 1) // 4 + 1 if labels is None else labels})
    savemat(folder / "setid.mat", sets | changed)


def test_what_the_lists_say(root):
    catalog = read_catalog(f"flowers102:{root}")
    assert (catalog.name, catalog.classes, len(FLOWERS)) == ("flowers102", FLOWERS, 102)
    assert catalog.codes.tolist() == [row // 4 for row in range(PHOTOS)]
    assert catalog.table["split"].to_pylist() == ["train", "train", "test", "test"] * 102
    assert catalog.labels[0] == "pink primrose"
    assert catalog.class_split is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trnid": np.arange(1, PHOTOS, 2)}, "does not put each of the 408 photos of imagelabels.mat into one set"),
        ({"trnid": np.arange(1, 5)}, "does not put each of the 408 photos"),
        ({"labels": np.full(PHOTOS, 103)}, "labels that are not from 1 to 102"),
    ],
)
def test_lists_that_do_not_fit(root, changed, message):
    write(root, **changed)
    with pytest.raises(InputError, match=message):
        flowers102.read(root)


def test_what_is_missing(root):
    with pytest.raises(InputError, match="one level too low for flowers102"):
        flowers102.read(root / "jpg")
    (root / "jpg/image_00003.jpg").unlink()
    with pytest.raises(InputError, match=r"of which 1 does not exist \(first: jpg/image_00003.jpg\)"):
        flowers102.read(root)
    (root / "setid.mat").unlink()
    with pytest.raises(InputError, match=r"setid.mat is missing; .*embedder.data.download flowers102"):
        flowers102.read(root)


def test_other_counts(root, monkeypatch):
    monkeypatch.setattr(flowers102, "PUBLISHED", Counts(8_189, 102, 2_040, 6_149))
    with pytest.raises(InputError, match="it lists 408 photos where flowers102 has 8189"):
        flowers102.read(root)
