import numpy as np
import pytest
from scipy.io import savemat

from embedder.data import cars196
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from eval.errors import InputError

MODELS = [f"Make Model {number} 2012" for number in range(1, 197)]
SIDES = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    monkeypatch.setattr(cars196, "PUBLISHED", Counts(photos=392, classes=196, training=196, test=196))


def save(file, annotations, path, **others):
    """Annotations as MATLAB's structs: of (path, class, left, top, right, bottom, test)."""
    names = [*SIDES, "class", path, "test"]
    rows = np.empty(len(annotations), [(name, object) for name in names])
    for row, (name, label, *box, test) in zip(rows, annotations, strict=True):
        for side, value in zip(SIDES, box, strict=True):
            row[side] = value
        row["class"], row[path], row["test"] = label, name, test
    file.parent.mkdir(exist_ok=True)
    savemat(file, {"annotations": rows, **others})


@pytest.fixture
def together(touch):
    """All photos in one folder, a training and a test photo of each model."""
    rows = [(f"car_ims/{row:06}.jpg", row // 2 + 1, 1 + row, 2, 30 + row, 40, row % 2) for row in range(392)]
    root = touch(row[0] for row in rows)
    save(root / "cars_annos.mat", rows, "relative_im_path", class_names=np.array(MODELS, object))
    return root


@pytest.fixture(params=["devkit", "."])
def apart(touch, request):
    """A folder for each split; the labels of the test lie where people have put them."""
    rows = {split: [(f"{row:05}.jpg", row + 1, 1, 2, 30, 40, 0) for row in range(196)] for split in ("train", "test")}
    root = touch(f"cars_{split}/{row[0]}" for split, found in rows.items() for row in found)
    save(root / "devkit/cars_train_annos.mat", rows["train"], "fname")
    save(root / request.param / "cars_test_annos_withlabels.mat", rows["test"], "fname")
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array(MODELS, object)})
    return root


def test_all_photos_in_one_folder(together):
    catalog = read_catalog(f"cars196:{together}")
    assert (catalog.name, catalog.classes) == ("cars196", MODELS)
    assert catalog.codes.tolist() == [row // 2 for row in range(392)]
    assert catalog.table["split"].to_pylist() == ["train", "test"] * 196
    assert catalog.table["subject_box"][7].as_py() == [8, 2, 37, 40]


def test_a_folder_for_each_split(apart):
    catalog = cars196.read(apart)
    assert catalog.paths[195:197] == ["cars_train/00195.jpg", "cars_test/00000.jpg"]
    assert catalog.codes.tolist() == [*range(196), *range(196)]
    assert catalog.table["split"].to_pylist() == ["train"] * 196 + ["test"] * 196


def test_zero_shot_models(together):
    parts = cars196.read(together).class_split
    assert [*parts.training, *parts.validation, *parts.test] == MODELS
    assert [len(parts.training), len(parts.validation), len(parts.test)] == [68, 30, 98]


def test_other_counts(together, monkeypatch):
    monkeypatch.setattr(cars196, "PUBLISHED", Counts(16_185, 196, 8_144, 8_041))
    with pytest.raises(InputError, match="it lists 392 photos where cars196 has 16185"):
        cars196.read(together)


def test_what_is_missing(together):
    with pytest.raises(InputError, match="one level too high for cars196"):
        cars196.read(together.parent)
    (together / "car_ims/000007.jpg").unlink()
    with pytest.raises(InputError, match=r"cars_annos.mat lists 392 photos, of which 1 does not exist"):
        cars196.read(together)
    (together / "cars_annos.mat").unlink()
    with pytest.raises(InputError, match=r"cars_annos.mat is missing; cars196 is laid out as"):
        cars196.read(together)


def test_test_labels_that_are_missing(apart):
    for place in (apart, apart / "devkit"):
        (place / "cars_test_annos_withlabels.mat").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"cars_test_annos_withlabels.mat is missing"):
        cars196.read(apart)


def test_a_missing_photo_of_the_test(apart):
    next((apart / "cars_test").glob("*.jpg")).unlink()
    with pytest.raises(InputError, match=r"cars_test_annos_withlabels.mat lists \d+ photos, of which 1 does not exist"):
        cars196.read(apart)


def test_a_missing_photo_to_train_on(apart):
    next((apart / "cars_train").glob("*.jpg")).unlink()
    with pytest.raises(InputError, match=r"cars_train_annos.mat lists \d+ photos, of which 1 does not exist"):
        cars196.read(apart)


def test_a_damaged_list(together):
    content = (together / "cars_annos.mat").read_bytes()
    for damaged in (b"no MATLAB", content[: len(content) // 2]):
        (together / "cars_annos.mat").write_bytes(damaged)
        with pytest.raises(InputError, match="is no MATLAB file, or damaged"):
            cars196.read(together)
    savemat(together / "cars_annos.mat", {"class_names": np.array(MODELS, object)})
    with pytest.raises(InputError, match="does not hold 'annotations'"):
        cars196.read(together)


def test_annotations_of_something_else(together):
    rows = [("car_ims/000000.jpg", 197, 1, 2, 30, 40, 0)] * 2
    save(together / "cars_annos.mat", rows, "relative_im_path", class_names=np.array(MODELS, object))
    with pytest.raises(InputError, match="names a class beyond the 196"):
        cars196.read(together)
    save(together / "cars_annos.mat", rows, "elsewhere", class_names=np.array(MODELS, object))
    with pytest.raises(InputError, match="its annotations have no 'relative_im_path'"):
        cars196.read(together)
