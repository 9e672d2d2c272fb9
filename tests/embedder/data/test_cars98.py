import shutil

import pytest

from embedder.data.cars98 import FIRST, read
from eval.errors import InputError


@pytest.fixture
def root(touch):
    names = [FIRST, *(f"{number:03}.Car_{number}" for number in range(2, 99))]
    return touch(f"{name}/00001.jpg" for name in names)


def test_the_zero_shot_protocol(root):
    catalog = read(root)
    assert (catalog.name, len(catalog), catalog.codes.tolist()) == ("cars98", 98, list(range(98)))
    assert "split" not in catalog.table.column_names
    parts = catalog.class_split
    numbers = [[int(name[:3]) for name in names] for names in (parts.training, parts.validation, parts.test)]
    assert numbers == [list(range(1, 45)), list(range(45, 67)), list(range(67, 99))]


def test_missing_and_other_models(root):
    shutil.rmtree(root / "098.Car_98")
    (root / "007.Car_7" / "00001.jpg").unlink()
    with pytest.raises(InputError, match="is not cars98: no photos of 007, 098; it is laid out as 98 folders"):
        read(root)


def test_models_that_are_not_its_own(root, touch):
    touch(["099.Tractor/1.jpg"])
    with pytest.raises(InputError, match="is not cars98: it holds 99 classes"):
        read(root)


def test_one_level_too_high_or_too_low(root):
    with pytest.raises(InputError, match=f"is one level too high for cars98; give cars98:{root}"):
        read(root.parent)
    with pytest.raises(InputError, match=f"is one level too low for cars98; give cars98:{root}"):
        read(root / FIRST)


def test_the_real_ones(shared_data):
    catalog = read(shared_data / "cars98")
    assert (len(catalog), len(catalog.classes)) == (4052, 98)
    assert catalog.class_split.test[-1].startswith("098.")
