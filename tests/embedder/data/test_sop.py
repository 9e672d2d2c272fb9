import pytest

from embedder.data import sop
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from embedder.data.splits import part, split
from eval.errors import InputError

HEAD = "image_id class_id super_class_id path"


@pytest.fixture
def root(touch, monkeypatch):
    """Twelve products of two kinds for training and ten for the test, two photos each."""
    monkeypatch.setattr(sop, "PUBLISHED", Counts(photos=44, classes=22, training=24, test=20))
    monkeypatch.setattr(sop, "HELD_OUT", 3)
    paths = [
        f"{('bicycle', 'sofa')[number % 2]}_final/{number}_{photo}.JPG" for number in range(22) for photo in (0, 1)
    ]
    folder = touch(paths)
    for name, rows in (("train", range(24)), ("test", range(24, 44))):
        lines = [f"{row + 1} {row // 2 + 1} {row // 2 % 2 + 1} {paths[row]}" for row in rows]
        (folder / f"Ebay_{name}.txt").write_text("\n".join([HEAD, *lines]))
    return folder


def test_what_the_lists_say(root):
    catalog = read_catalog(f"sop:{root}")
    assert catalog.codes.tolist() == [row // 2 for row in range(44)]
    assert catalog.classes == [str(number) for number in range(1, 23)]
    assert catalog.table["split"].to_pylist() == ["train"] * 24 + ["test"] * 20
    assert catalog.table["kind"].to_pylist()[:4] == ["bicycle", "bicycle", "sofa", "sofa"]


def test_the_zero_shot_protocol(root):
    catalog = sop.read(root)
    assert part(catalog, "test").classes == [str(number) for number in range(13, 23)]
    parts = split(catalog)
    assert [len(one.classes) for one in (parts.training, parts.validation, parts.test)] == [9, 3, 10]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4 2 2", "Ebay_train.txt, line 5: expected 4 values and found '4 2 2'"),
        ("4 13 2 sofa_final/1_1.JPG", "product 13 is both in training and in the test"),
        ("4 2 2 sofa_final/none.JPG", "of which 1 does not exist"),
    ],
)
def test_lists_that_do_not_fit(root, line, message):
    lines = (root / "Ebay_train.txt").read_text().splitlines()
    (root / "Ebay_train.txt").write_text("\n".join([*lines[:4], line, *lines[5:]]))
    with pytest.raises(InputError, match=message):
        sop.read(root)


@pytest.mark.parametrize("content", ["", "1 1 1 sofa_final/1_0.JPG"])
def test_a_list_without_its_head(root, content):
    (root / "Ebay_test.txt").write_text(content)
    with pytest.raises(InputError, match=r"Ebay_test.txt: its first line is '.*'; it must be 'image_id class_id"):
        sop.read(root)


def test_the_list_that_names_a_missing_photo(root):
    (root / "sofa_final/21_1.JPG").unlink()
    with pytest.raises(InputError, match=r"Ebay_test.txt lists 20 photos, of which 1 does not exist"):
        sop.read(root)


def test_what_is_missing_and_other_counts(root, monkeypatch):
    monkeypatch.setattr(sop, "PUBLISHED", Counts(120_053, 22_634, 59_551, 60_502))
    with pytest.raises(InputError, match="it lists 44 photos where sop has 120053"):
        sop.read(root)
    with pytest.raises(InputError, match="one level too high for sop"):
        sop.read(root.parent)
    (root / "Ebay_test.txt").unlink()
    with pytest.raises(InputError, match=r"Ebay_test.txt is missing; .*Stanford_Online_Products.zip"):
        sop.read(root)
