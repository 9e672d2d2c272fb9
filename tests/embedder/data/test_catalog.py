import os
import sys

import numpy as np
import pyarrow as pa
import pytest

from embedder.data import catalog as room
from embedder.data.catalog import TYPES, Catalog, has_area, label_column, read_catalog, read_named
from eval.errors import InputError

ROWS = [("a.jpg", "wren"), ("b.jpg", "auk"), ("c.jpg", None), ("d.jpg", "wren"), ("e.jpg", "tit")]


def box_column(*boxes):
    return pa.array(boxes, TYPES["box"])


def test_what_a_catalog_tells(make_catalog, tmp_path):
    boxes = box_column(None, [0, 1, 2, 3.5], None, None, None)
    catalog = make_catalog(ROWS, box=boxes)
    assert len(catalog) == 5
    assert catalog.classes == ["wren", "auk", "tit"]
    assert catalog.labels == ["wren", "auk", None, "wren", "tit"]
    assert catalog.codes.tolist() == [0, 1, -1, 0, 2]
    assert catalog.codes.dtype == np.int64
    assert catalog.box(0) is None
    assert catalog.box(1) == (0.0, 1.0, 2.0, 3.5)
    assert catalog.file(1) == tmp_path / "b.jpg"


def test_codes_of_a_selection_count_from_0_in_the_declared_order(make_catalog):
    chosen = make_catalog(ROWS).select([4, 1, 2])
    assert (chosen.paths, chosen.labels) == (["e.jpg", "b.jpg", "c.jpg"], ["tit", "auk", None])
    assert chosen.classes == ["auk", "tit"]
    assert chosen.codes.tolist() == [1, 0, -1]


def test_select_by_mask_and_nothing(make_catalog):
    catalog = make_catalog(ROWS)
    assert catalog.select(np.array([True, False, False, True, False])).paths == ["a.jpg", "d.jpg"]
    for nothing in ([], np.zeros(5, dtype=bool)):
        assert (len(catalog.select(nothing)), catalog.select(nothing).classes) == (0, [])


def test_labels_in_several_chunks_are_one_column(tmp_path):
    parts = [pa.table({"path": [name], "label": label_column([label])}) for name, label in (("a", "x"), ("b", "w"))]
    catalog = Catalog(pa.concat_tables(parts), tmp_path, "test")
    assert catalog.labels == ["x", "w"]
    assert [catalog.classes[code] for code in catalog.codes] == ["x", "w"]


def test_root_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pa.table({"path": ["a.jpg"], "label": label_column(["x"])})
    assert Catalog(table, room.Path("here"), "test").file(0) == tmp_path / "here" / "a.jpg"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": label_column(["x", "y"])}, "the column 'path' is missing"),
        ({"path": ["a", "b"]}, "the column 'label' is missing"),
        ({"path": ["a", "b"], "label": ["x", "y"]}, "the column 'label' is string; it must be dictionary"),
        (
            {"path": ["a", "b"], "label": label_column(["x", "y"]), "group": [1, 2]},
            "'group' is int64; it must be string",
        ),
        ({"path": ["a", None], "label": label_column(["x", "y"])}, "row 1 has no path"),
        ({"path": ["a", "b"], "label": label_column(["x", "y"]), "split": ["train", "dev"]}, "split 'dev' is neither"),
        ({"path": ["a", "a"], "label": label_column(["x", "y"])}, "a is listed twice"),
    ],
)
def test_what_is_refused(tmp_path, columns, message):
    with pytest.raises(InputError, match=message):
        Catalog(pa.table(columns), tmp_path, "test")


@pytest.mark.parametrize("box", [(3, 0, 3, 9), (0, 5, 9, 4), (0, 0, float("nan"), 9), (0, 0, float("inf"), 9)])
def test_boxes_without_area_are_refused(make_catalog, box):
    assert not has_area(box)
    with pytest.raises(InputError, match=r"the box .* of b\.jpg has no area"):
        make_catalog(ROWS[:2], box=box_column(None, box))


def test_two_boxes_of_one_photo_are_two_rows(make_catalog):
    boxes = box_column([0, 0, 5, 5], [5, 0, 9, 5])
    assert len(make_catalog([("a.jpg", "x"), ("a.jpg", "y")], box=boxes)) == 2


def test_check_labelled_counts(make_catalog):
    make_catalog(ROWS[:2]).check_labelled("training")
    with pytest.raises(InputError, match=r"training needs a label for every photo, and 1 of 5 .*first: c\.jpg"):
        make_catalog(ROWS).check_labelled("training")


def test_the_digest_changes_with_everything_that_matters(make_catalog, tmp_path):
    for name, _ in ROWS:
        (tmp_path / name).write_bytes(b"photo")
        os.utime(tmp_path / name, ns=(0, 0))
    split = pa.array(["train"] * 4 + ["test"])
    before = make_catalog(ROWS, split=split).digest()
    assert make_catalog(ROWS, split=split).digest() == before
    others = [
        make_catalog(ROWS).digest(),
        make_catalog(ROWS, split=pa.array(["test"] * 5)).digest(),
        make_catalog([*ROWS[:4], ("e.jpg", "tern")], split=split).digest(),
        make_catalog(ROWS, split=split, box=box_column(*[[0, 0, 1, 1]] * 5)).digest(),
        make_catalog(ROWS, split=split, box=box_column(*[[0, 0, 1, 2]] * 5)).digest(),
    ]
    os.utime(tmp_path / "a.jpg", ns=(0, 1))
    others.append(make_catalog(ROWS, split=split).digest())
    (tmp_path / "a.jpg").write_bytes(b"photos")
    os.utime(tmp_path / "a.jpg", ns=(0, 0))
    others.append(make_catalog(ROWS, split=split).digest())
    (tmp_path / "a.jpg").unlink()
    others.append(make_catalog(ROWS, split=split).digest())
    assert len({before, *others}) == 9


def test_a_folder_and_a_table_need_no_name(touch):
    root = touch(["wren/1.jpg", "auk/1.jpg"])
    (root / "list.csv").write_text("path\nwren/1.jpg\n")
    assert read_catalog(root).name == read_catalog(f"folder:{root}").name == "folder"
    assert read_catalog(str(root / "list.csv")).name == read_catalog(f"table:{root / 'list.csv'}").name == "table"


def test_home_is_expanded(touch, monkeypatch):
    root = touch(["home/birds/wren/1.jpg"])
    monkeypatch.setenv("HOME", str(root / "home"))
    monkeypatch.setenv("USERPROFILE", str(root / "home"))
    assert read_catalog("~/birds").root == read_catalog("folder:~/birds").root == root / "home" / "birds"


def test_only_known_names_count(touch, monkeypatch):
    root = touch(["C:/photos/wren/1.jpg", "cub:here/wren/1.jpg"])
    monkeypatch.chdir(root)
    assert read_catalog("C:/photos").labels == read_catalog("cub:here").labels == ["wren"]


@pytest.mark.parametrize("spec", ["drawn_birds", "drawn-birds", "drawn_birds:", "drawn-birds:/some/where"])
def test_drawn_birds_need_no_root(spec, monkeypatch):
    class Reader:
        @staticmethod
        def read(root):
            return root

    monkeypatch.setitem(sys.modules, "embedder.data.drawn_birds", Reader)
    assert read_catalog(spec) == (room.Path("/some/where") if "/" in spec else None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("birds10:/nowhere", "unknown data set 'birds10'; did you mean 'birds100'"),
        ("C:/nowhere", "C:/nowhere does not exist; give a folder of photos"),
        (
            "nowhere",
            "nowhere does not exist; give a folder of photos.* NAME:ROOT .* cub200, .*nabirds, sop, webdataset$",
        ),
        ("xyz:/nowhere", "unknown data set 'xyz'; known: aircraft, .*drawn_birds, .*, sop, webdataset$"),
        ("cars98", "cars98 needs the place where it lies: cars98:ROOT"),
        ("cars98:", "cars98 needs the place where it lies: cars98:ROOT"),
        ("cars98:/nowhere", "/nowhere does not exist; cars98 is laid out as"),
        ("folder:/nowhere", "/nowhere does not exist"),
    ],
)
def test_what_is_not_there(spec, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        read_catalog(spec)


def test_an_unknown_reader_is_named():
    with pytest.raises(InputError, match="unknown data set 'cifar'; did you mean 'cifar10'"):
        read_named("cifar", None)


def test_a_single_photo_is_no_catalog(touch):
    with pytest.raises(InputError, match=r"a\.jpg is neither a folder nor a \.csv or \.parquet table"):
        read_catalog(touch(["a.jpg"]) / "a.jpg")
