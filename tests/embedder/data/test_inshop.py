import pytest

from embedder.data import inshop
from embedder.data.catalog import read_catalog
from embedder.data.layout import Counts
from embedder.data.splits import part, split
from eval.errors import InputError


@pytest.fixture(params=[("Img/img", "Eval"), ("img", "Eval"), ("img", ".")])
def root(touch, monkeypatch, request):
    """Six items for training, and four whose photos are two queries and a gallery of one each."""
    monkeypatch.setattr(inshop, "PUBLISHED", Counts(photos=30, classes=10, training=18, test=12))
    monkeypatch.setattr(inshop, "HELD_OUT", 2)
    photos, listing = request.param
    rows = []
    for item in range(10):
        for photo, status in enumerate(["train"] * 3 if item < 6 else ["query", "query", "gallery"]):
            rows.append((f"img/WOMEN/Dresses/id_{item:08}/0{photo}_front.jpg", f"id_{item:08}", status))
    folder = touch(path.replace("img", photos, 1) for path, _, _ in rows)
    (folder / listing).mkdir(exist_ok=True)
    lines = [
        "30",
        "image_name item_id evaluation_status",
        *(f"{path}    {item}  {status}" for path, item, status in rows),
    ]
    (folder / listing / inshop.LISTING).write_text("\n".join(lines))
    return folder


def test_what_the_list_says(root):
    catalog = read_catalog(f"inshop:{root}")
    assert catalog.codes.tolist() == [row // 3 for row in range(30)]
    assert catalog.table["split"].to_pylist() == ["train"] * 18 + ["test"] * 12
    assert all(catalog.file(row).is_file() for row in range(30))


def test_queries_and_gallery(root):
    catalog = inshop.read(root)
    assert [len(part(catalog, which)) for which in ("query", "gallery", "test")] == [8, 4, 12]
    assert part(catalog, "query").classes == part(catalog, "gallery").classes == catalog.classes[6:]
    parts = split(catalog)
    assert [len(one.classes) for one in (parts.training, parts.validation, parts.test)] == [4, 2, 4]


def test_other_data_sets_have_no_queries(make_catalog):
    catalog = make_catalog([("a.jpg", "a"), ("b.jpg", "b")])
    with pytest.raises(InputError, match=r"has no gallery photos: .* \(--split test\); a table tells them apart by"):
        part(catalog, "gallery")


@pytest.mark.parametrize(
    ("place", "line", "message"),
    [
        (0, "31", "says that it lists 31 photos and lists 30"),
        (0, "many", "its first lines must be a number and"),
        (1, "image item status", "its first lines must be a number and"),
        (5, "img/a.jpg id_1", "line 6: expected PHOTO ITEM train|query|gallery and found 'img/a.jpg id_1'"),
        (5, "img/a.jpg id_1 val", "line 6: expected PHOTO ITEM"),
        (5, "img/a.jpg id_00000001 train", "of which 1 does not exist"),
        (5, "img/WOMEN/Dresses/id_00000001/00_front.jpg id_00000009 train", "id_00000009 is both in training and in"),
    ],
)
def test_lists_that_do_not_fit(root, place, line, message):
    (file,) = root.rglob(inshop.LISTING)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:place], line, *lines[place + 1 :]]))
    with pytest.raises(InputError, match=message):
        inshop.read(root)


@pytest.mark.parametrize("content", ["", "30"])
def test_an_empty_list(root, content):
    (file,) = root.rglob(inshop.LISTING)
    file.write_text(content)
    with pytest.raises(InputError, match="its first lines must be a number and"):
        inshop.read(root)


def test_what_is_missing_and_other_counts(root, monkeypatch):
    monkeypatch.setattr(inshop, "PUBLISHED", Counts(52_712, 7_982, 25_882, 26_830))
    with pytest.raises(InputError, match="it lists 30 photos where inshop has 52712"):
        inshop.read(root)
    next(root.rglob(inshop.LISTING)).unlink()
    with pytest.raises(InputError, match=r"list_eval_partition.txt is missing; .*DeepFashion.html"):
        inshop.read(root)
