import pytest

from embedder.data import nabirds
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from embedder.data.nabirds import LISTS, PARTS
from eval.errors import InputError

ORDERS, FAMILIES, SPECIES, KINDS = (1, 2), (3, 4, 5), (6, 7, 8), range(9, 564)


@pytest.fixture
def root(touch, monkeypatch):
    """555 kinds of three species, but for the last, which is a species itself; two photos each."""
    monkeypatch.setattr(nabirds, "PUBLISHED", Counts(photos=1110, classes=555, training=555, test=555))
    photos = [f"{row:08}-21dc" for row in range(1110)]
    kinds = [KINDS[row // 2] for row in range(1110)]
    files = [f"{kind:04}/{photo.replace('-', '')}.jpg" for kind, photo in zip(kinds, photos, strict=True)]
    folder = touch(f"images/{file}" for file in files)
    (folder / "parts").mkdir()
    parents = {1: 0, 2: 0, 3: 1, 4: 1, 5: 2, 6: 3, 7: 4, 8: 5}
    parents |= {kind: SPECIES[kind % 3] for kind in KINDS} | {563: 5}
    names = {0: "Birds", **{number: f"Name {number}" for number in range(1, 9)}}
    names |= {kind: f"Kind {kind} (Adult male)" for kind in KINDS}
    write(folder / "classes.txt", names.items())
    write(folder / "hierarchy.txt", parents.items())
    write(folder / "images.txt", zip(photos, files, strict=True))
    write(folder / "image_class_labels.txt", zip(photos, kinds, strict=True))
    write(folder / "train_test_split.txt", [(photo, (row + 1) % 2) for row, photo in enumerate(photos)])
    write(folder / "bounding_boxes.txt", [(photo, row, 2, 10, 20) for row, photo in enumerate(photos)])
    places = [(photo, part, row, part + 1, part % 2) for row, photo in enumerate(photos) for part in range(PARTS)]
    write(folder / "parts/part_locs.txt", places)
    return folder


def write(file, rows):
    file.write_text("".join(f"{' '.join(map(str, row))}\n" for row in rows))


def test_what_the_lists_say(root):
    catalog = read_catalog(f"nabirds:{root}")
    assert catalog.codes.tolist() == [row // 2 for row in range(1110)]
    assert catalog.labels[2] == "0010.Kind 10 (Adult male)"
    assert catalog.table["split"].to_pylist() == ["train", "test"] * 555
    assert catalog.table["subject_box"][7].as_py() == [7, 2, 17, 22]
    assert catalog.table["keypoints"][7].as_py() == [[7, part + 1, part % 2] for part in range(PARTS)]
    assert catalog.keypoint_names == ()


def test_the_names_of_the_keypoints_where_they_are_listed(root):
    write(root / "parts/parts.txt", [(part, f"left part {part}") for part in range(PARTS)])
    assert read_catalog(f"nabirds:{root}").keypoint_names[:2] == ("left part 0", "left part 1")


def test_the_hierarchy(root):
    table = read_catalog(f"nabirds:{root}").table
    levels = [table[level].to_pylist() for level in nabirds.LEVELS]
    assert [level[0] for level in levels] == ["Name 1", "Name 3", "Name 6"]
    assert [level[4] for level in levels] == ["Name 2", "Name 5", "Name 8"]
    assert [level[-1] for level in levels] == ["Name 2", "Name 5", "Kind 563 (Adult male)"]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("classes.txt", "3", r"line 4: expected 'KEY VALUE' and found '3'"),
        ("classes.txt", "1000 Name", r"kind \d+ does not hang below all birds"),
        ("hierarchy.txt", "4 7", r"kind \d+ does not hang below all birds"),
        ("images.txt", "00000003-21dc none.jpg", r"of which 1 does not exist"),
        ("image_class_labels.txt", "00000003-21dc 1000", r"kind 1000 does not hang below all birds"),
        ("image_class_labels.txt", "00000009-21dd 9", r"says nothing of 00000003-21dc"),
        ("train_test_split.txt", "00000003-21dc 2", r"'2' is none of 1, 0"),
        ("bounding_boxes.txt", "00000003-21dc 1 2 0 5", r"line 4: the box has no area"),
        ("bounding_boxes.txt", "00000003-21dc 1 2 wide 5", r"'1 2 wide 5' is to be 4 numbers"),
        ("parts/part_locs.txt", "00000000-21dc 2 1 2 1", r"line 4: .* is of no photo or part that there is, or there"),
        ("parts/part_locs.txt", "00000000-21dc 11 1 2 1", r"line 4: .* is of no photo or part"),
        ("parts/part_locs.txt", "none 3 1 2 1", r"line 4: .* is of no photo or part"),
        ("parts/part_locs.txt", "00000000-21dc 3 1 2", r"'3 1 2' is to be 4 numbers"),
    ],
)
def test_lists_that_do_not_fit(root, name, line, message):
    lines = (root / name).read_text().splitlines()
    (root / name).write_text("\n".join([*lines[:3], line, *lines[4:]]))
    with pytest.raises(InputError, match=message):
        nabirds.read(root)


def test_a_photo_that_lacks_a_part(root):
    file = root / "parts/part_locs.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match="has 10 of the 11 parts of 00001109-21dc"):
        nabirds.read(root)


@pytest.mark.parametrize("name", ["images", *LISTS])
def test_what_is_missing(root, name):
    (root / name).rename(root / "other")
    with pytest.raises(InputError, match=f"is not nabirds: {name} is missing; .*nabirds.tar"):
        nabirds.read(root)


def test_other_counts(root, monkeypatch):
    monkeypatch.setattr(nabirds, "PUBLISHED", Counts(48_562, 555, 23_929, 24_633))
    with pytest.raises(InputError, match="it lists 1110 photos where nabirds has 48562"):
        nabirds.read(root)
