import json
import shutil
from dataclasses import asdict, replace

import pyarrow as pa
import pytest

from embedder import embed as embed_room
from embedder.data import inshop
from embedder.data.cars98 import FIRST
from embedder.data.catalog import Catalog, ClassSplit, label_column
from embedder.data.layout import Counts
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.evaluation import evaluate
from index import benchmark
from index.benchmark import main
from index.published import Figure, published
from tests.index.conftest import write_photo


@pytest.fixture(scope="module")
def divided(tmp_path_factory):
    """Four classes with a test split of their own photos."""
    root = tmp_path_factory.mktemp("divided")
    for number in range(24):
        part = "test" if number % 6 >= 4 else "train"
        write_photo(root / part / f"class-{number % 4}" / f"{number:02}.png", number % 4, number)
    return root


def test_a_closed_set_searches_its_training_photos(tiny_embedder, divided, tmp_path, capsys):
    found = main(tiny_embedder, str(divided), out=tmp_path / "out")
    parts = [EmbeddingSet.load(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [len(one) for one in parts] == [8, 16]
    means = evaluate(*parts).means()
    assert (found.row.recall_at_1, found.row.map_at_r) == (means["recall@1"], means["map@r"])
    assert (found.row.protocol, found.row.dimension, found.row.pixels) == ("closed-set", 48, 32)
    told = capsys.readouterr().out
    assert "folder, closed-set: 8 queries, 0 left out" in told
    assert "no published figures are known" in told


def test_a_zero_shot_data_set_searches_itself(tiny_embedder, tmp_path, monkeypatch):
    root = tmp_path / "cars"
    names = [FIRST, *(f"{number:03}.Car_{number}" for number in range(2, 99))]
    for number, name in enumerate(names):
        for photo in range(2):
            write_photo(root / name / f"{photo}.jpg", number, 2 * number + photo)
    found = main(tiny_embedder, f"cars98:{root}", out=tmp_path / "out")
    (folder,) = (tmp_path / "out").iterdir()
    queries = EmbeddingSet.load(folder)
    assert set(queries.labels) == set(names[66:])
    assert found.row.protocol == "zero-shot"
    assert found.row.recall_at_1 == evaluate(queries).means()["recall@1"]


def test_queries_search_the_gallery_where_a_data_set_parts_them(tiny_embedder, tmp_path, monkeypatch):
    monkeypatch.setattr(inshop, "PUBLISHED", Counts(photos=30, classes=6, training=10, test=20))
    monkeypatch.setattr(inshop, "HELD_OUT", 1)
    lines = ["30", "image_name item_id evaluation_status"]
    for number in range(30):
        item, photo = divmod(number, 5)
        path = f"img/WOMEN/Tees/id_{item}/{photo}.jpg"
        write_photo(tmp_path / path, item, number)
        lines.append(f"{path} id_{item} {'train' if item < 2 else 'query' if photo < 2 else 'gallery'}")
    (tmp_path / "list_eval_partition.txt").write_text("\n".join(lines))
    found = main(tiny_embedder, f"inshop:{tmp_path}", out=tmp_path / "out")
    parts = [EmbeddingSet.load(next((tmp_path / "out").glob(f"*-{part}"))) for part in ("query", "gallery")]
    assert [len(one) for one in parts] == [8, 12]
    assert found.row.recall_at_1 == evaluate(*parts).means()["recall@1"]
    assert found.leaks.queries == 8


def test_the_row_stands_among_published_ones_of_its_own_kind(tiny_embedder, divided, tmp_path, monkeypatch, capsys):
    others = published("sop", "zero-shot", "whole")[:3]
    asked = []
    monkeypatch.setattr(benchmark, "published", lambda *of: asked.append(of) or others)
    found = main(tiny_embedder, str(divided), out=tmp_path / "out")
    assert asked == [("folder", "closed-set", "whole")]
    told = capsys.readouterr().out
    lines = told[told.index("method") :].splitlines()
    order = sorted([found.row, *others], key=lambda one: -one.recall_at_1)
    assert [line.split()[0] for line in lines[1:]] == [one.method.split()[0] for one in order]
    for line, one in zip(lines[1:], order, strict=True):
        assert all(str(value) in line for value in (one.backbone, one.pretraining, one.dimension, one.pixels))
        assert f"{one.recall_at_1:.3f}" in line


def test_json_holds_the_row_and_what_flatters_it(tiny_embedder, divided, tmp_path, capsys):
    found = main(tiny_embedder, str(divided), out=tmp_path / "out", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["row"] == asdict(found.row)
    assert Figure(**printed["row"]) == found.row
    assert printed["leaks"]["same_photo"] == 0
    again = main(tiny_embedder, str(divided), out=tmp_path / "out")
    assert again.row == found.row


def test_an_embedder_of_the_other_protocol_is_warned_of(tiny_embedder, divided, tmp_path):
    found = main(tiny_embedder, str(divided), out=tmp_path / "out")
    assert benchmark._warnings(found) == ["only 4 classes: take the intervals as hints"]
    trained = replace(found, row=replace(found.row, method="arcface"), leaks=replace(found.leaks, class_trained_on=0))
    assert benchmark._warnings(trained)[-1] == (
        "the data set's protocol is closed-set, and by the classes trained on this is zero-shot"
    )


def test_the_published_numbers_of_neighbours(tiny_embedder, divided, tmp_path, monkeypatch, capsys):
    usual = main(tiny_embedder, str(divided), out=tmp_path / "out")
    assert list(usual.intervals)[:4] == [f"recall@{k}" for k in (1, 2, 4, 8)]
    monkeypatch.setitem(benchmark.NEIGHBOURS, "folder", (1, 3, 5))
    found = main(tiny_embedder, str(divided), out=tmp_path / "out")
    told = capsys.readouterr().out.splitlines()
    for k in (1, 3, 5):
        interval = found.intervals[f"recall@{k}"]
        assert any(line.startswith(f"recall@{k} {interval.mean:.4f} [{interval.low:.4f}, ") for line in told)


def test_photos_without_a_protocol_are_refused(tiny_embedder, photos, tmp_path):
    with pytest.raises(InputError, match="declares no protocol"):
        main(tiny_embedder, str(photos), out=tmp_path / "out")


def test_photos_cut_to_their_box_are_called_so(tiny_embedder, divided, tmp_path):
    lines = ["path,label,split,box"]
    for photo in sorted(divided.rglob("*.png")):
        path = photo.relative_to(divided)
        lines.append(f"{divided / path},{path.parts[1]},{path.parts[0]},0 0 30 30")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    found = main(tiny_embedder, str(tmp_path / "table.csv"), out=tmp_path / "out")
    assert found.row.photos == "box"
    assert main(tiny_embedder, str(divided), out=tmp_path / "out").row.photos == "whole"


def test_photos_that_cannot_be_read_are_counted(tiny_embedder, divided, tmp_path, capsys):
    broken = shutil.copytree(divided, tmp_path / "broken")
    (broken / "test" / "class-0" / "bad.png").write_bytes(b"no photo")
    found = main(tiny_embedder, str(broken), out=tmp_path / "out")
    told = capsys.readouterr()
    assert found.unreadable == 1
    assert "8 queries, 0 left out, 1 unreadable" in told.out
    assert "1 photos could not be read, and are in no number" in told.err
    assert main(tiny_embedder, str(broken), out=tmp_path / "out").unreadable == 1


def test_either_protocol_of_a_data_set_that_has_both(tiny_embedder, tmp_path, monkeypatch):
    divided = tmp_path / "photos"
    for number in range(24):
        write_photo(divided / f"{number}.png", number % 4, number)
    table = {
        "path": pa.array([f"{number}.png" for number in range(24)]),
        "label": label_column([f"class-{number % 4}" for number in range(24)]),
        "split": pa.array(["train" if number < 16 else "test" for number in range(24)]),
    }
    names = tuple(f"class-{number}" for number in range(4))
    catalog = Catalog(pa.table(table), divided, "both", ClassSplit(names[:1], names[1:2], names[2:]))
    for room in (benchmark, embed_room):
        monkeypatch.setattr(room, "read_catalog", lambda _: catalog)
    rows = {
        protocol: main(tiny_embedder, "both:x", protocol=protocol, out=tmp_path / "out")
        for protocol in ("auto", "zero-shot", "closed-set")
    }
    assert rows["auto"].row == rows["zero-shot"].row
    assert [rows[name].leaks.queries for name in ("zero-shot", "closed-set")] == [12, 8]
    with pytest.raises(InputError, match="declares no classes for the zero-shot protocol"):
        monkeypatch.setattr(benchmark, "read_catalog", lambda _: replace(catalog, class_split=None))
        main(tiny_embedder, "both:x", protocol="zero-shot", out=tmp_path / "out")


def test_an_embedder_that_does_not_say_how_it_was_trained_is_not_called_frozen(tiny_embedder, divided, tmp_path):
    assert main(tiny_embedder, str(divided), out=tmp_path / "out").row.method == "unknown"


def test_vectors_that_are_made_anew(tiny_embedder, divided, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(divided)
    main(tiny_embedder, str(divided), out=tmp_path / "out")
    with pytest.raises(InputError, match="--overwrite to make it anew"):
        main(tiny_embedder, str(link), out=tmp_path / "out")
    main(tiny_embedder, str(link), out=tmp_path / "out", overwrite=True)
