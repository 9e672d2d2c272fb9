import pytest

from embedder.data.birds100 import LISTS, read
from eval.errors import InputError


@pytest.fixture
def root(touch):
    """The layout with three photos a species: one for training, two for the test."""
    species = [f"Bird_{99 - number:02}" for number in range(100)]
    photos = [f"{name}/{number:04}.jpg" for name in species for number in range(3)]
    folder = touch(f"images/{photo}" for photo in photos)
    lists = (species, photos, [row // 3 for row in range(300)], [int(row % 3 > 0) for row in range(300)])
    for name, values in zip(LISTS, lists, strict=True):
        (folder / name).write_text("".join(f"{index}, {value}\n" for index, value in enumerate(values)))
    return folder


def test_classes_count_from_0_in_the_order_of_the_list(root):
    catalog = read(root)
    assert len(catalog) == 300
    assert catalog.classes == [f"Bird_{99 - number:02}" for number in range(100)]
    assert catalog.codes.tolist() == [row // 3 for row in range(300)]
    assert all(path.split("/")[1] == label for path, label in zip(catalog.paths, catalog.labels, strict=True))


def test_both_protocols(root):
    catalog = read(root)
    parts = catalog.class_split
    assert [*parts.training, *parts.validation, *parts.test] == catalog.classes
    assert [len(parts.training), len(parts.validation), len(parts.test)] == [35, 15, 50]
    assert catalog.table["split"].to_pylist() == ["train", "test", "test"] * 100


def test_one_level_too_high_or_too_low(root):
    with pytest.raises(InputError, match=f"is one level too high for birds100; give birds100:{root}"):
        read(root.parent)
    with pytest.raises(InputError, match=f"is one level too low for birds100; give birds100:{root}"):
        read(root / "images")


@pytest.mark.parametrize("name", ["images", *LISTS])
def test_what_is_missing_is_named(root, name):
    (root / name).rename(root / "other")
    with pytest.raises(
        InputError, match=f"is not birds100: {name} is missing; birds100 is laid out as a folder images"
    ):
        read(root)


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("images.txt", "3, Bird_98/9999.jpg", r"lists 300 photos, of which 1 does not exist \(first: images/Bird_98/9"),
        ("image_class_labels.txt", "3, 100", "line 4: '100' is none of 0, 1"),
        ("train_test_split.txt", "3, 2", "line 4: '2' is none of 0, 1"),
        ("train_test_split.txt", "4, 1", "line 4: expected '3, VALUE' and found '4, 1'"),
        ("classes.txt", "3", "line 4: expected '3, VALUE' and found '3'"),
    ],
)
def test_lists_that_do_not_fit(root, name, line, message):
    lines = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join([*lines[:3], line, *lines[4:]]))
    with pytest.raises(InputError, match=message):
        read(root)


@pytest.mark.parametrize(
    ("name", "message"), [("images.txt", "have 299, 300 and 300 lines"), ("classes.txt", "lists 99 species")]
)
def test_lists_that_are_too_short(root, name, message):
    (root / name).write_text("\n".join((root / name).read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match=message):
        read(root)


def test_the_real_ones(shared_data):
    catalog = read(shared_data / "birds100")
    assert (len(catalog), len(catalog.classes)) == (5902, 100)
    splits = catalog.table["split"].to_pylist()
    assert (splits.count("train"), splits.count("test")) == (2999, 2903)
    assert catalog.classes[0] == "Black_footed_Albatross"
