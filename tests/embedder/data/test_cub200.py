import shutil

import numpy as np
import pytest

from embedder.data import cub200
from embedder.data.catalog import read_catalog
from embedder.data.cub200 import LISTS, PARTS, read
from embedder.data.layout import Counts
from eval.errors import InputError

COUNTS = Counts(photos=600, classes=200, training=200, test=400)


@pytest.fixture
def root(touch, monkeypatch):
    """The layout with three photos a species, the first of them for training."""
    monkeypatch.setattr(cub200, "PUBLISHED", COUNTS)
    species = [f"{number:03}.Bird_{number}" for number in range(1, 201)]
    photos = [f"{name}/Bird_{number:04}.jpg" for name in species for number in range(3)]
    folder = touch(f"images/{photo}" for photo in photos)
    (folder / "parts").mkdir()
    rows = range(600)
    lists = {
        "classes.txt": species,
        "images.txt": photos,
        "image_class_labels.txt": [row // 3 + 1 for row in rows],
        "train_test_split.txt": [int(row % 3 == 0) for row in rows],
        "bounding_boxes.txt": [f"{row}.0 2.0 10.0 {row + 1}.0" for row in rows],
        "parts/parts.txt": [f"part {number}" for number in range(PARTS)],
    }
    for name, values in lists.items():
        (folder / name).write_text("".join(f"{index} {value}\n" for index, value in enumerate(values, 1)))
    lines = [f"{row + 1} {part} {row}.5 {part}.0 {part % 2}\n" for row in rows for part in range(1, PARTS + 1)]
    (folder / "parts/part_locs.txt").write_text("".join(lines))
    return folder


def test_what_the_lists_say(root):
    catalog = read_catalog(f"cub200:{root}")
    assert catalog.name == "cub200"
    assert catalog.codes.tolist() == [row // 3 for row in range(600)]
    assert all(path.split("/")[1] == label for path, label in zip(catalog.paths, catalog.labels, strict=True))
    assert catalog.table["split"].to_pylist() == ["train", "test", "test"] * 200
    assert catalog.table["subject_box"][7].as_py() == [7, 2, 17, 10]
    assert catalog.table["keypoints"][7].as_py() == [[7.5, part, part % 2] for part in range(1, PARTS + 1)]
    assert catalog.keypoint_names == tuple(f"part {number}" for number in range(PARTS))
    assert catalog.boxes == [None] * 600  # whole photos


def test_zero_shot_species(root):
    catalog = read(root)
    parts = catalog.class_split
    assert [*parts.training, *parts.validation, *parts.test] == catalog.classes
    assert [len(parts.training), len(parts.validation), len(parts.test)] == [70, 30, 100]


def test_one_level_too_high_or_too_low(root):
    with pytest.raises(InputError, match=f"is one level too high for cub200; give cub200:{root}"):
        read(root.parent)
    with pytest.raises(InputError, match=f"is one level too low for cub200; give cub200:{root}"):
        read(root / "images")


@pytest.mark.parametrize("name", ["images", *LISTS])
def test_what_is_missing_is_named_and_where_to_get_it(root, name):
    (root / name).rename(root / "other")
    with pytest.raises(InputError, match=f"is not cub200: {name} is missing; .*https://data.caltech.edu/records"):
        read(root)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("images.txt", "4 none.jpg", r"lists 600 photos, of which 1 does not exist \(first: images/none.jpg\)"),
        ("images.txt", "5 none.jpg", "line 4: expected '4 VALUE' and found '5 none.jpg'"),
        ("classes.txt", "4 001.Bird_1", "lists a species twice"),
        ("classes.txt", "4", "line 4: expected '4 VALUE' and found '4'"),
        ("image_class_labels.txt", "4 0", "line 4: '0' is none of 1, 2, 3"),
        ("train_test_split.txt", "4 2", "line 4: '2' is none of 1, 0"),
        ("bounding_boxes.txt", "4 1.0 2.0 0.0 5.0", "line 4: the box has no area"),
        ("bounding_boxes.txt", "5 1.0 2.0 3.0 5.0", "line 4: expected the number 4 and found 5"),
        ("bounding_boxes.txt", "4 1.0 2.0 3.0 nan", "600 lines of 5 numbers are due"),
        ("bounding_boxes.txt", "4 1.0 2.0 3.0", "bounding_boxes.txt is damaged "),
        ("bounding_boxes.txt", "4 1.0 2.0 3.0 wide", "bounding_boxes.txt is damaged .could not convert"),
        ("parts/part_locs.txt", "1 5 1.0 2.0 1", "line 4: expected the number 4 and found 5"),
        ("parts/part_locs.txt", "2 4 1.0 2.0 1", "line 4: expected the number 1 and found 2"),
    ],
)
def test_lists_that_do_not_fit(root, name, line, message):
    lines = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join([*lines[:3], line, *lines[4:]]))
    with pytest.raises(InputError, match=message):
        read(root)


def test_a_list_that_is_no_text(root):
    (root / "classes.txt").write_bytes(b"1 \xff\xfe\n")
    with pytest.raises(InputError, match=r"classes.txt is damaged: .*; unpack"):
        read(root)


@pytest.mark.parametrize("name", ["image_class_labels.txt", "bounding_boxes.txt", "parts/part_locs.txt"])
def test_lists_that_are_too_short(root, name):
    (root / name).write_text("\n".join((root / name).read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match=f"{name} has (599|8999) lines"):
        read(root)


def test_other_counts_than_the_published_ones(root, monkeypatch):
    monkeypatch.setattr(cub200, "PUBLISHED", Counts(11_788, 200, 5_994, 5_794))
    with pytest.raises(InputError, match="it lists 600 photos where cub200 has 11788; unpack it anew"):
        read(root)
    monkeypatch.setattr(cub200, "PUBLISHED", Counts(600, 200, 201, 399))
    with pytest.raises(InputError, match="it lists 200 training where cub200 has 201"):
        read(root)


def test_the_published_lists(touch, shared_data, monkeypatch):
    """The real annotations; the photos' names and the split are not at hand, and are made up."""
    real = shared_data / "cub200_annotations"
    labels = np.loadtxt(real / "image_class_labels.txt", dtype=int)[:, 1]
    root = touch(f"images/{row}.jpg" for row in range(len(labels)))
    (root / "images.txt").write_text("".join(f"{row + 1} {row}.jpg\n" for row in range(len(labels))))
    (root / "train_test_split.txt").write_text("".join(f"{row + 1} {row % 2}\n" for row in range(len(labels))))
    for name in ("classes.txt", "image_class_labels.txt", "bounding_boxes.txt", "parts"):
        copy = shutil.copytree if (real / name).is_dir() else shutil.copy
        copy(real / name, root / name)
    monkeypatch.setattr(cub200, "PUBLISHED", Counts(11_788, 200, 5_894, 5_894))
    catalog = read(root)
    test = set(catalog.class_split.test)
    assert sum(label in test for label in catalog.labels) == 5_924  # the published zero-shot test
    assert catalog.classes[0] == "001.Black_footed_Albatross"
    keypoints = np.array(catalog.table["keypoints"].to_pylist())
    assert keypoints.shape == (11_788, PARTS, 3)
    assert set(np.unique(keypoints[..., 2])) == {0, 1}
