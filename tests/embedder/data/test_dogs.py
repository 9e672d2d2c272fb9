import shutil

import numpy as np
import pytest
from scipy.io import savemat

from embedder.data import dogs
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from eval.errors import InputError

BREEDS = [f"n{number:08}-breed_{number}" for number in range(120)]
BOX = "<annotation><object><bndbox>{}</bndbox></object><object><bndbox><xmin>9</xmin></bndbox></object></annotation>"


@pytest.fixture(params=["lists", "."])
def root(touch, monkeypatch, request):
    """Two photos a breed, the second of them for the test; the lists in a folder of their own, or not."""
    monkeypatch.setattr(dogs, "PUBLISHED", Counts(photos=240, classes=120, training=120, test=120))
    files = [f"{breed}/{breed.partition('-')[0]}_{number}.jpg" for breed in BREEDS for number in (7, 8)]
    folder = touch(f"Images/{file}" for file in files)
    for row, file in enumerate(files):
        annotation = (folder / "Annotation" / file).with_suffix("")
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(BOX.format(box(row, 2, row + 10, 30)))
    (folder / request.param).mkdir(exist_ok=True)
    for name, some in (("train", files[::2]), ("test", files[1::2])):
        savemat(folder / request.param / f"{name}_list.mat", {"file_list": np.array(some, object)[:, None]})
    return folder


def box(*sides):
    return "".join(f"<{name}>{side}</{name}>\n" for name, side in zip(dogs.SIDES, sides, strict=True))


def test_what_the_lists_say(root):
    catalog = read_catalog(f"dogs:{root}")
    assert (catalog.name, len(catalog.classes)) == ("dogs", 120)
    assert catalog.labels == [f"breed_{number}" for number in range(120)] * 2
    assert catalog.table["split"].to_pylist() == ["train"] * 120 + ["test"] * 120
    assert catalog.table["subject_box"][121].as_py() == [3, 2, 13, 30]


@pytest.mark.parametrize("content", ["", BOX.format(box(5, 2, 5, 30)), BOX.format("<xmin>1</xmin>"), "\x00\xff"])
def test_an_annotation_without_a_box(root, content):
    annotation = root / "Annotation" / BREEDS[3] / "n00000003_8"
    annotation.write_text(content)
    with pytest.raises(InputError, match="n00000003_8 holds no box with an area; unpack Annotation anew"):
        dogs.read(root)
    annotation.unlink()
    with pytest.raises(InputError, match="n00000003_8 does not exist; every photo has an annotation"):
        dogs.read(root)


def test_the_list_that_names_a_missing_photo(root):
    (root / "Images" / BREEDS[3] / "n00000003_8.jpg").unlink()
    with pytest.raises(InputError, match=r"test_list.mat lists 120 photos, of which 1 does not exist"):
        dogs.read(root)


def test_what_is_missing_and_other_counts(root, monkeypatch):
    monkeypatch.setattr(dogs, "PUBLISHED", Counts(20_580, 120, 12_000, 8_580))
    with pytest.raises(InputError, match="it lists 240 photos where dogs has 20580"):
        dogs.read(root)
    (root / "Images" / BREEDS[3] / "n00000003_7.jpg").unlink()
    with pytest.raises(InputError, match=r"train_list.mat lists 120 photos, of which 1 does not exist"):
        dogs.read(root)
    shutil.rmtree(root / "Annotation")
    with pytest.raises(InputError, match=r"is not dogs: Annotation is missing; .*ImageNetDogs"):
        dogs.read(root)
