import pytest

from embedder.data import aircraft
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from eval.errors import InputError

VARIANTS = [f"7{number:02}-100 ER" for number in range(100)]


@pytest.fixture
def root(touch, monkeypatch):
    """Three photos a variant, the last of them for the test."""
    monkeypatch.setattr(aircraft, "PUBLISHED", Counts(photos=300, classes=100, training=200, test=100))
    folder = touch(f"data/images/{row:07}.jpg" for row in range(300)) / "data"
    values = {
        "variant": lambda row: VARIANTS[row // 3],
        "family": lambda row: f"Family {row // 30}",
        "manufacturer": lambda row: f"Maker {row // 150}",
    }
    for level, value in values.items():
        for split, rows in (("trainval", [row for row in range(300) if row % 3 < 2]), ("test", range(2, 300, 3))):
            lines = [f"{row:07} {value(row)}\n" for row in rows]
            (folder / f"images_{level}_{split}.txt").write_text("".join(lines))
    (folder / "variants.txt").write_text("\n".join(VARIANTS))
    (folder / "images_box.txt").write_text("".join(f"{row:07} 1 2 {row + 10} 30\n" for row in range(300)))
    return folder


def test_what_the_lists_say(root):
    catalog = read_catalog(f"aircraft:{root}")
    assert (catalog.name, catalog.classes) == ("aircraft", VARIANTS)
    assert catalog.paths[1:3] == ["images/0000001.jpg", "images/0000003.jpg"]
    assert catalog.codes.tolist() == [*(row // 2 for row in range(200)), *range(100)]
    assert catalog.table["split"].to_pylist() == ["train"] * 200 + ["test"] * 100
    assert catalog.table["subject_box"][1].as_py() == [0, 1, 11, 30]
    assert catalog.table["family"][21].as_py() == "Family 1"
    assert catalog.table["manufacturer"].to_pylist()[-1] == "Maker 1"


def test_the_archive_s_own_folder_will_do(root):
    assert aircraft.read(root.parent).root == root


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("images_box.txt", "0000003 1 2 x 30", "the box of 0000003 is '1 2 x 30'; it must be four whole numbers"),
        ("images_box.txt", "0000003 9 2 3 30", "the box of 0000003 has no area"),
        ("images_box.txt", "0000002 1 2 3 30", "line 4: '0000002' is listed twice"),
        ("images_box.txt", "9999999 1 2 3 30", "says nothing of 0000003"),
        ("images_family_trainval.txt", "0000004", "line 4: expected 'KEY VALUE'"),
        ("images_family_trainval.txt", "9999999 F", "says nothing of 0000004"),
        ("images_variant_trainval.txt", "0000002 700-100 ER", "is listed both for training and for the test"),
        (
            "images_variant_trainval.txt",
            "9999999 700-100 ER",
            "variant_trainval.txt lists .* of which 1 does not exist",
        ),
        ("images_variant_test.txt", "9999999 700-100 ER", "variant_test.txt lists .* of which 1 does not exist"),
        ("images_variant_trainval.txt", "0000004 Zeppelin", "variants.txt does not list 'Zeppelin'"),
    ],
)
def test_lists_that_do_not_fit(root, name, line, message):
    lines = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join([*lines[:3], line, *lines[4:]]))
    with pytest.raises(InputError, match=message):
        aircraft.read(root)


def test_what_is_missing_and_other_counts(root, monkeypatch):
    monkeypatch.setattr(aircraft, "PUBLISHED", Counts(10_000, 100, 6_667, 3_333))
    with pytest.raises(InputError, match="it lists 300 photos where aircraft has 10000"):
        aircraft.read(root)
    (root / "images_box.txt").unlink()
    with pytest.raises(InputError, match=r"images_box.txt is missing; .*fgvc-aircraft-2013b.tar.gz"):
        aircraft.read(root)
