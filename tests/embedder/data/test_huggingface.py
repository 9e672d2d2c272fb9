import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from embedder.data.catalog import read_catalog
from embedder.data.huggingface import read
from eval.errors import InputError

NAMES = ["auk", "wren"]
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FEATURES = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}


@pytest.fixture
def table(encoded):
    """A table as ``datasets`` makes it, of photos of the given shades."""

    def make(shades, labels, features=FEATURES, column="image", **columns):
        photos = pa.array([{"bytes": encoded(shade), "path": f"{shade}.png"} for shade in shades], IMAGE)
        made = pa.table({column: photos, "label": labels, **columns})
        return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})

    return make


def save_to_disk(folder, *tables):
    """What ``Dataset.save_to_disk`` writes."""
    folder.mkdir(parents=True)
    files = [f"data-{number:05}-of-{len(tables):05}.arrow" for number in range(len(tables))]
    for name, one in zip(files, tables, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, one.schema) as stream:
            stream.write_table(one, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in files]}))
    features = json.loads(tables[0].schema.metadata[b"huggingface"])["info"]["features"]
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def shade(file):
    return np.asarray(Image.open(file))[0, 0, 0]


@pytest.mark.parametrize("name", ["", "huggingface:"])
def test_what_save_to_disk_writes(tmp_path, table, name):
    save_to_disk(tmp_path / "set", table([5, 6, 7], [1, -1, None]), table([8], [1]))
    catalog = read_catalog(f"{name}{tmp_path / 'set'}")
    assert (catalog.name, catalog.root) == ("huggingface", tmp_path / "set-photos")
    assert catalog.labels == ["wren", None, None, "wren"]
    assert catalog.paths[2:] == ["data-00000-of-00002/000002.png", "data-00001-of-00002/000000.png"]
    assert [shade(catalog.file(row)) for row in range(4)] == [5, 6, 7, 8]
    assert catalog.table.column_names == ["path", "label"]


def test_several_splits(tmp_path, table):
    for split, shades in (("train", [1, 2]), ("validation", [3]), ("test", [4])):
        save_to_disk(tmp_path / "set" / split, table(shades, [1] * len(shades)))
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    catalog = read_catalog(tmp_path / "set")
    assert catalog.table["split"].to_pylist() == ["train", "train", "train", "test"]
    assert catalog.paths[3] == "test/data-00000-of-00001/000000.png"


def test_parquet_of_the_hub(tmp_path, table):
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    pq.write_table(table([1, 2], [1, 1], id=[7, 8], name=["a", None]), data / "train-00000-of-00002.parquet")
    pq.write_table(table([3], [0], id=[9], name=["c"]), data / "train-00001-of-00002.parquet")
    pq.write_table(table([4], [1], id=[9], name=["d"]), data / "test-00000-of-00001.parquet")
    catalog = read_catalog(tmp_path / "set")
    assert catalog.table["split"].to_pylist() == ["test", "train", "train", "train"]
    assert (catalog.classes, catalog.labels) == (NAMES, ["wren", "wren", "wren", "auk"])
    assert catalog.table["source_id"].to_pylist() == ["9", "7", "8", "9"]
    assert catalog.table["name"].to_pylist() == ["d", "a", None, "c"]
    assert [shade(catalog.file(row)) for row in range(4)] == [4, 1, 2, 3]
    assert read(data / "test-00000-of-00001.parquet").labels == ["wren"]
    assert len(read_catalog(tmp_path / "set")) == 4


def test_declared_classes_keep_their_order(tmp_path, table):
    features = FEATURES | {"label": {"names": ["wren", "10", "9"], "_type": "ClassLabel"}}
    save_to_disk(tmp_path / "set", table([1, 2, 3], [2, 0, 1], features))
    assert read(tmp_path / "set").classes == ["wren", "10", "9"]


def test_what_dataset_info_says_counts(tmp_path, table):
    save_to_disk(tmp_path / "set", table([1], [1]))
    renamed = FEATURES | {"label": {"names": ["tit", "emu"], "_type": "ClassLabel"}}
    (tmp_path / "set" / "dataset_info.json").write_text(json.dumps({"features": renamed}))
    assert read(tmp_path / "set").labels == ["emu"]


def test_other_names_of_columns(tmp_path, table):
    features = {"img": {"_type": "Image"}, "kind": {"names": NAMES, "_type": "ClassLabel"}}
    one = table([1, 2], [1, 0], features, "img", path=["x", "y"], score=[0.5, 1], box=[[0, 0, 1, 1], None])
    renamed = one.rename_columns({"label": "kind"}).replace_schema_metadata(one.schema.metadata)
    save_to_disk(tmp_path / "set", renamed)
    catalog = read(tmp_path / "set")
    assert catalog.labels == ["wren", "auk"]
    assert catalog.table["source_path"].to_pylist() == ["x", "y"]
    assert catalog.boxes == [(0, 0, 1, 1), None]
    assert catalog.table.column_names == ["path", "label", "box", "source_path"]


def test_parquet_that_says_nothing_of_its_columns(tmp_path, table):
    plain = table([1, 2], ["b", "a"]).replace_schema_metadata(None)
    (tmp_path / "set").mkdir()
    pq.write_table(plain, tmp_path / "set" / "birds.parquet")
    assert read(tmp_path / "set").labels == ["b", "a"]


@pytest.mark.parametrize(
    ("features", "names", "message"),
    [
        ({}, ["x", "label"], "has no column of photos; it has x, label"),
        (
            {"x": {"_type": "Image"}, "a": FEATURES["label"], "b": FEATURES["label"]},
            ["x", "a", "b"],
            "has labels in a, b; call the one that is meant 'label'",
        ),
        ({"x": {"_type": "Image"}, "y": {"_type": "Image"}}, ["x", "y"], r"several columns of photos \(x, y\)"),
    ],
)
def test_what_is_unclear(tmp_path, features, names, message):
    (tmp_path / "set").mkdir()
    pq.write_table(pa.table({name: pa.array([1]) for name in names}), tmp_path / "set" / "a.parquet")
    one = pq.read_table(tmp_path / "set" / "a.parquet")
    one = one.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(one, tmp_path / "set" / "a.parquet")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "set")


def test_rows_that_cannot_be_used_are_named(tmp_path, table):
    save_to_disk(tmp_path / "a", table([1, 2, 3], [0, 1, 2]))
    with pytest.raises(InputError, match=r"data-00000-of-00001.arrow, row 3: the class 2 has no name; there are 2"):
        read(tmp_path / "a")
    for name, photo, message in (
        ("b", {"bytes": None, "path": "/x/1.png"}, "row 2 holds only the path '/x/1.png'; embed the photos"),
        ("c", None, "row 2 holds no photo"),
        ("e", {"bytes": b"", "path": None}, "row 2 holds no photo"),
    ):
        one = table([1, 2], [0, 1])
        photos = pa.array([one["image"][0].as_py(), photo], IMAGE)
        save_to_disk(tmp_path / name, one.set_column(0, "image", photos))
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)
    save_to_disk(tmp_path / "d", table([1, 2], [0, 1], box=[[0, 0, 1, 1], [5, 0, 5, 9]]))
    with pytest.raises(InputError, match=r"d, data-00000-of-00001: row 2: the box \[5, 0, 5, 9\] is not"):
        read(tmp_path / "d")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "d", "e"]


def test_columns_that_are_not_what_is_said_of_them(tmp_path, table):
    """Names where numbers of classes should be are taken if they are names of classes."""
    for name, labels, message in (
        ("names", ["auk", "wren"], None),
        ("others", ["auk", "jay"], "row 2: the class 'jay' has no name; there are 2, from 0"),
        ("fractions", [0.0, 1.0], r"row 1: the class 0\.0 has no name"),
    ):
        one = table([1, 2], [0, 1])
        save_to_disk(tmp_path / name, one.set_column(1, "label", pa.array(labels)))
        if message:
            with pytest.raises(InputError, match=message):
                read(tmp_path / name)
        else:
            assert read(tmp_path / name).labels == labels
    for name, photos in (("paths", ["/x/1.png", "/x/2.png"]), ("lists", [["/x/1.png"], []]), ("numbers", [1, 2])):
        one = table([1, 2], [0, 1])
        save_to_disk(tmp_path / name, one.set_column(0, "image", pa.array(photos)))
        with pytest.raises(InputError, match=r"row 1 holds (only the path '/x/1.png'|no photo)"):
            read(tmp_path / name)


def test_an_archive_is_told_to_be_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.parquet", "x")
    with pytest.raises(InputError, match=r"set\.zip is an archive \(zip\); unpack it"):
        read(tmp_path / "set.zip")


@pytest.mark.parametrize("left", [100, -4, -8, -9])
def test_an_arrow_file_that_is_cut_short(tmp_path, table, left):
    save_to_disk(tmp_path / "set", table([1, 2, 3], [0, 1, 1]))
    file = tmp_path / "set" / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(InputError, match=r"data-00000-of-00001.arrow is .*cut short"):
        read(tmp_path / "set")


def test_a_parquet_file_that_is_cut_short_or_missing(tmp_path, table):
    root = tmp_path / "set"
    root.mkdir()
    for number in (0, 2):
        pq.write_table(table([number], [0]), root / f"train-0000{number}-of-00003.parquet")
    with pytest.raises(InputError, match=r"set/train-00001-of-00003.parquet is missing; load the data set anew"):
        read(root)
    pq.write_table(table([1], [0]), root / "train-00001-of-00003.parquet")
    file = root / "train-00002-of-00003.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"train-00002-of-00003.parquet is no Parquet file, cut short or damaged"):
        read(root)


def test_files_that_do_not_fit_together(tmp_path, table):
    root = tmp_path / "set"
    root.mkdir()
    pq.write_table(table([1], [0]), root / "train-00000-of-00001.parquet")
    other = FEATURES | {"label": {"names": ["wren", "auk"], "_type": "ClassLabel"}}
    pq.write_table(table([1], [0], other), root / "test-00000-of-00001.parquet")
    with pytest.raises(InputError, match="has other columns or classes than"):
        read(root)
    (root / "en").mkdir()
    (root / "test-00000-of-00001.parquet").rename(root / "en" / "test-00000-of-00001.parquet")
    with pytest.raises(InputError, match=r"holds several data sets \(.*set, .*en\); give one: huggingface:.*set"):
        read(root)


def test_lists_of_files_that_lead_elsewhere(tmp_path, table):
    save_to_disk(tmp_path / "set", table([1], [0]))
    for text in ('{"_data_files": [{"filename": "../x.arrow"}]}', '{"_data_files": [3]}', "[]"):
        (tmp_path / "set" / "state.json").write_text(text)
        with pytest.raises(InputError, match=r"state.json does not list names under '_data_files'"):
            read(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_text('{"_data_files": [{"filename": "x.arrow"}]}')
    with pytest.raises(InputError, match=r"x.arrow is missing"):
        read(tmp_path / "set")


@pytest.mark.parametrize("name", ["..", ".", "../there", "a/../..", "/tmp"])
def test_splits_that_lead_elsewhere(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    with pytest.raises(InputError, match="does not list names under 'splits'"):
        read(tmp_path / "in")


def test_photos_with_metadata(touch, capsys):
    root = touch(["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"])
    (root / "train" / "metadata.csv").write_text("file_name,licence\na/1.jpg,CC0\nb/2.jpg,\n")
    lines = [{"file_name": "a/3.jpg", "n": 7, "box": [0, 0, 2, 2], "objects": {"x": [1]}, "seen": 0.5}]
    (root / "test" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    catalog = read_catalog(root)
    assert (catalog.name, catalog.root) == ("huggingface", root)
    assert catalog.paths == ["test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg"]
    assert catalog.labels == ["a", "a", "b"]
    assert catalog.table["split"].to_pylist() == ["test", "train", "train"]
    assert catalog.boxes == [(0, 0, 2, 2), None, None]
    assert catalog.table["licence"].to_pylist() == [None, "CC0", None]
    assert catalog.table["n"].to_pylist() == ["7", None, None]
    assert capsys.readouterr().err == ("columns that are neither text nor whole numbers are left out: objects, seen\n")


def test_photos_that_no_list_names_are_told(touch, capsys):
    root = touch(["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg"])
    (root / "train" / "metadata.csv").write_text("file_name\na/1.jpg\nb/2.jpg\n")
    assert read_catalog(root).paths == ["train/a/1.jpg", "train/b/2.jpg"]
    assert capsys.readouterr().err == "photos that no list names are left out: 2 (test/a/3.jpg, test/b/4.jpg)\n"
    (root / "train" / "metadata.csv").write_text("file_name\n../train/a/1.jpg\nb/2.jpg\n../test/a/3.jpg\n")
    assert len(read_catalog(root)) == 3
    assert capsys.readouterr().err == "photos that no list names are left out: 1 (test/b/4.jpg)\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"filename,label\na/3.jpg,a\n", "metadata.csv: the column 'file_name' is missing; found: filename, label"),
        ("file_name,label\na/3.jpg,Mésange\n".encode("latin-1"), "metadata.csv is not in UTF-8"),
    ],
)
def test_a_faulty_list_beside_a_good_one_is_told(touch, content, message):
    root = touch(["train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg"])
    (root / "train" / "metadata.csv").write_text("file_name,label\na/1.jpg,a\nb/2.jpg,b\n")
    (root / "test" / "metadata.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_catalog(root)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.parquet"])
def test_a_list_of_something_else_beside_shards_says_nothing(tmp_path, table, name):
    data = tmp_path / "set" / "data"
    data.mkdir(parents=True)
    pq.write_table(table([1, 2], [1, 0]), data / "train-00000-of-00001.parquet")
    if name.endswith(".csv"):
        (data.parent / name).write_text("seen,by\n1,me\n")
    else:
        pq.write_table(pa.table({"seen": [1]}), data.parent / name)
    assert read_catalog(data.parent).labels == ["wren", "auk"]


def test_a_column_counts_before_a_folder(touch):
    root = touch(["train/a/1.jpg", "test/b/2.jpg"])
    table = pa.table({"file_name": ["train/a/1.jpg", "test/b/2.jpg"], "label": ["x", "y"], "split": ["test", "train"]})
    pq.write_table(table, root / "metadata.parquet")
    catalog = read_catalog(root)
    assert catalog.labels == ["x", "y"]
    assert catalog.table["split"].to_pylist() == ["test", "train"]


def test_one_folder_of_photos_is_no_class(touch):
    root = touch(["images/1.jpg", "images/2.jpg"])
    (root / "metadata.csv").write_text("file_name\nimages/1.jpg\nimages/2.jpg\n")
    assert read(root).labels == [None, None]
    assert "split" not in read(root).table.column_names


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "file_name,box\n1.jpg,\n2.jpg,3 3 3 3\n", r"metadata.csv, line 3: the box '3 3 3 3'"),
        ("metadata.csv", "file_name\n1.jpg\n''\n", "lists 2 photos, of which 1 does not exist"),
        ("metadata.csv", "file_name,x\n,1\n", r"metadata.csv, line 2: the file_name is empty"),
        ("metadata.csv", "file,x\n,1\n", r"metadata.csv: the column 'file_name' is missing; found: file, x"),
        (
            "metadata.jsonl",
            '{"file_name": "1.jpg"}\n\n{"file',
            r"metadata.jsonl, line 3: .*; it must be one JSON object",
        ),
        ("metadata.jsonl", '{"file_name": "1.jpg"}\n[1]\n', r"metadata.jsonl, line 2: \[1\] is not of the form"),
        ("metadata.jsonl", '{"file_name": "1.jpg", "label": 0.5}\n', "the column 'label' is double"),
        ("metadata.jsonl", '{"file_name": "1.jpg", "box": 7}\n', "line 1: the box '7'"),
        (
            "metadata.jsonl",
            '{"file_name": "1.jpg", "label": [1]}\n{"file_name": "2.jpg", "label": "a"}\n',
            "mixes values",
        ),
    ],
)
def test_metadata_that_is_wrong(touch, name, text, message):
    root = touch(["1.jpg", "2.jpg"])
    (root / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read(root)


def test_a_folder_of_classes_is_one_too(touch):
    assert read(touch(["auk/1.jpg", "wren/1.jpg"])).classes == ["auk", "wren"]
    with pytest.raises(InputError, match="does not exist; huggingface is laid out as folders of photos with"):
        read(touch([]) / "gone")
