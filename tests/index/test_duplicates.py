import os

import pyarrow as pa
import pytest

from embedder.data.catalog import Catalog, label_column, read_catalog
from eval.errors import InputError
from eval.images import photo_id
from index.duplicates import distinct
from index.source import Place, catalog_source


@pytest.fixture
def catalog(tmp_path, photos):
    """Photo 0 under three labels, photo 1 twice under one; an empty file under two labels; a missing one twice."""
    content = [(photos / "class-0" / f"{name}.png").read_bytes() for name in ("00", "04", "08")]
    rows = [
        ("a.png", "x", content[0]),
        ("b.png", "x", content[1]),
        ("c.png", "y", content[0]),
        ("d.png", "x", content[1]),
        ("e.png", "x", content[0]),
        ("f.png", "z", content[0]),
        ("g.png", "x", b""),
        ("h.png", "y", b""),
        ("i.png", "y", content[2]),
        ("j.png", "y", None),
        ("k.png", "x", None),
    ]
    for name, _, bytes_ in rows:
        if bytes_ is not None:
            (tmp_path / name).write_bytes(bytes_)
    table = pa.table({"path": [name for name, _, _ in rows], "label": label_column([label for _, label, _ in rows])})
    return Catalog(table, tmp_path, "folder")


@pytest.mark.parametrize(("on_conflict", "kept"), [("first", "abghijk"), ("skip", "bghijk"), ("both", "abcfghijk")])
def test_what_is_kept(catalog, on_conflict, kept):
    found = distinct(catalog, on_conflict)
    assert "".join(catalog.paths[row][0] for row in found.rows) == kept
    assert (found.copies, found.conflicts) == (2, 1)


def test_two_labels_are_an_error_that_names_both(catalog):
    message = (
        "the same photo stands under two labels: a.png as 'x' and c.png as 'y'; .* --on-conflict first, skip or both"
    )
    with pytest.raises(InputError, match=message):
        distinct(catalog)


def test_skipping_everything_is_an_error(catalog):
    with pytest.raises(InputError, match=r"all 1 photos stand under several labels, and --on-conflict skip leaves"):
        distinct(catalog.select([0, 2]), "skip")


def test_the_same_photo_with_another_box_is_another_subject(tmp_path, photos):
    content = (photos / "class-0" / "00.png").read_bytes()
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(content)
    boxes = pa.array([[0, 0, 10, 10], [5, 5, 20, 20], [0, 0, 10, 10]], pa.list_(pa.float32(), 4))
    table = pa.table({"path": ["a.png", "b.png", "c.png"], "label": label_column(["x", "y", "x"]), "box": boxes})
    found = distinct(Catalog(table, tmp_path, "table"))
    assert found.rows == [0, 1]
    assert (found.copies, found.conflicts) == (1, 0)


def test_the_nine_photos_of_cars98_under_two_labels(shared_data):
    catalog = read_catalog(f"cars98:{shared_data / 'cars98'}")
    found = distinct(catalog, "skip")
    assert (found.copies, found.conflicts, len(catalog) - len(found.rows)) == (0, 9, 18)


def test_ids_stay_with_their_photos_where_copies_are_left_out(catalog):
    source = catalog_source(
        Place("tiny", 4, catalog.root), lambda: None, catalog.select([0, 4, 1, 8]), "error", "error"
    )
    assert source.paths.to_pylist() == ["a.png", "b.png", "i.png"]
    assert source.ids.to_pylist() == [photo_id((catalog.root / name).read_bytes()) for name in source.paths.to_pylist()]
    assert source.copies == 1


def test_what_is_no_file_is_not_waited_for(catalog):
    (catalog.root / "j.png").unlink(missing_ok=True)
    os.mkfifo(catalog.root / "j.png")
    assert distinct(catalog, "first").ids[catalog.paths.index("j.png")].as_py() is None
