import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from embedder.data.catalog import read_catalog
from embedder.data.webdataset import read
from eval.errors import InputError


@pytest.fixture
def shard(tmp_path, encoded):
    """Write a shard of files: name and contents; a number is a photo of that shade."""

    def write(name, *files):
        file = tmp_path / "shards" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file, "w") as archive:
            for member, content in files:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                    continue
                text = json.dumps(content) if isinstance(content, dict) else content
                whole = encoded(text) if isinstance(text, int) else text.encode() if isinstance(text, str) else text
                information = tarfile.TarInfo(member)
                information.size = len(whole)
                archive.addfile(information, io.BytesIO(whole))
        return file

    return write


def sample(key, shade, label="wren"):
    return [(f"{key}.png", shade), (f"{key}.cls", label)]


def shade(file):
    return np.asarray(Image.open(file))[0, 0, 0]


@pytest.mark.parametrize("name", ["", "webdataset:"])
def test_shards_of_splits(shard, tmp_path, name):
    shard("birds-train-000000.tar", *sample("a/1", 1, "10"), *sample("b/1", 2, "9\n"))
    shard("birds-train-000001.tar", *sample("a/1", 3, "wren"))
    shard("birds-val-000000.tar", *sample("1", 4, "9"))
    catalog = read_catalog(f"{name}{tmp_path / 'shards'}")
    assert (catalog.name, catalog.root) == ("webdataset", tmp_path / "shards-photos")
    assert catalog.paths == [
        f"birds-{name}.png" for name in ("train-000000/a/1", "train-000000/b/1", "train-000001/a/1", "val-000000/1")
    ]
    assert catalog.labels == ["10", "9", "wren", "9"]
    assert catalog.table["split"].to_pylist() == ["train", "train", "train", "test"]
    assert [shade(catalog.file(row)) for row in range(4)] == [1, 2, 3, 4]


def test_folders_are_splits_and_names_of_classes_lie_beside_them(shard, tmp_path):
    shard("train/0.tar", *sample("1", 1, "1"))
    shard("test/0.tar", *sample("1", 2, "0"), *sample("2", 3, "other"))
    (tmp_path / "shards" / "classnames.txt").write_text("wren\nauk\n")
    catalog = read_catalog(tmp_path / "shards")
    assert catalog.table["split"].to_pylist() == ["test", "test", "train"]
    assert (catalog.classes, catalog.labels) == (["wren", "auk", "other"], ["wren", "other", "auk"])
    (tmp_path / "shards" / "classnames.txt").write_text("wren\ntit\n")
    assert read_catalog(tmp_path / "shards").labels == ["wren", "other", "tit"]
    (tmp_path / "shards" / "classnames.txt").write_text("wren\n")
    with pytest.raises(InputError, match=r"train/0.tar: the class 1 of the sample 1 is not in classnames.txt"):
        read_catalog(tmp_path / "shards")


def test_a_class_of_a_json_may_be_the_number_of_a_name(shard, tmp_path):
    for key, label in enumerate((1, "0", "auk", "other")):
        shard(f"{key}.tar", ("1.png", key), ("1.json", json.dumps({"label": label})))
    (tmp_path / "shards" / "classnames.txt").write_text("wren\nauk\n")
    catalog = read_catalog(tmp_path / "shards")
    assert (catalog.classes, catalog.labels) == (["wren", "auk", "other"], ["auk", "wren", "auk", "other"])


def test_one_shard_and_a_series(shard):
    for number in range(3):
        shard(f"a-{number:02}.tar", *sample("1", number))
    file = shard("a-09.tar", *sample("1", 9))
    assert read_catalog(file).paths == ["a-09/1.png"]
    assert read_catalog(file.with_name("a-{01..02}.tar")).paths == ["a-01/1.png", "a-02/1.png"]
    assert len(read_catalog(file.parent)) == 4
    with pytest.raises(InputError, match=r"a-03.tar is missing; load it, or name the shards that there are"):
        read_catalog(f"webdataset:{file.with_name('a-{02..09}.tar')}")


def test_what_is_known_of_a_photo(shard, tmp_path):
    about = {
        "label": 3,
        "licence": "CC0",
        "box": [0, 0, 2, 3],
        "exif": {"a": 1},
        "path": "x.jpg",
        "taxonomy": ["F", "g"],
    }
    shard(
        "a.tar",
        ("1.json", about),
        ("1.PNG", 1),
        ("2.png", 2),
        ("2.json", {"label": None}),
        ("3.txt", " auk "),
        ("3.png", 3),
    )
    catalog = read(tmp_path / "shards")
    assert catalog.labels == ["3", None, "auk"]
    assert catalog.boxes == [(0, 0, 2, 3), None, None]
    assert catalog.table.column_names == ["path", "label", "box", "licence", "source_path", "family", "genus"]
    assert catalog.paths[0] == "a/1.png"


def test_a_class_of_its_own_file_counts_and_a_text_beside_json_is_none(shard, tmp_path):
    file = shard("a.tar", ("1.png", 1), ("1.cls", "x"), ("1.json", {"label": "y"}), ("1.txt", "z"))
    assert read(file).labels == ["x"]
    file = shard("b.tar", ("1.png", 1), ("1.json", {"n": 1}), ("1.txt", "A bird sits on a branch."))
    assert read(file).labels == [None]


def test_shards_without_any_class(shard):
    assert read(shard("a.tar", ("1.png", 1), ("2.png", 2))).labels == [None, None]


def test_what_is_no_part_of_a_sample(shard):
    folder = tarfile.TarInfo("./a.b")
    folder.type = tarfile.DIRTYPE
    here = tarfile.TarInfo(".")
    here.type = tarfile.DIRTYPE
    file = shard(
        "a.tar",
        (here, None),
        (folder, None),
        ("README", "x"),
        ("./a.b/1.png", 1),
        ("a.b/._1.png", "x"),
        ("./a.b/1.cls", "y"),
    )
    assert read(file).paths == ["a/a.b/1.png"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("1.cls", "x")], r"a.tar: the sample 1 has no photo; it has .cls"),
        ([("1.png", ""), ("1.cls", "x")], r"a.tar: the sample 1 has no photo"),
        ([("1.png", 1), ("1.jpg", 1), ("1.cls", "x")], r"a.tar: the sample 1 has several photos \(png, jpg\)"),
        ([*sample("1", 1), ("b/2.png", 1)], r"a.tar: the sample b/2 has no class, and the first has one"),
        ([("1.png", 1), *sample("2", 1)], r"a.tar: the sample 2 has a class, and the first has none"),
        (
            [*sample("1", 1), *sample("2", 1), *sample("1", 2)],
            r"a.tar: the sample 1 is there twice, or its files do not",
        ),
        ([*sample("1", 1), *sample("1", 2)], r"a.tar: the sample 1 is there twice: it has two files .png"),
        ([("1.png", 1), ("1.cls", b"\xff")], r"a.tar: the class of the sample 1 is not in UTF-8"),
        ([("1.png", 1), ("1.json", "{")], r"a.tar: the .json of the sample 1 is damaged"),
        (
            [("1.png", 1), ("1.json", '{"label": "\\ud800"}')],
            r"the column 'label' holds half of a character, '\\ud800'",
        ),
        ([("1.png", 1), ("1.json", "[]")], r"a.tar: the .json of the sample 1 is not of the form"),
        ([("1.png", 1), ("1.json", {"label": 1, "box": [1, 1, 1, 2]})], r"a: sample 1: the box \[1, 1, 1, 2\] is not"),
        (
            [("1.png", 1), ("1.json", {"label": 1, "taxonomy": "A//b"})],
            r"a: sample 1: the taxonomy 'A//b' has an empty",
        ),
    ],
)
def test_samples_that_are_wrong_are_named(shard, tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        read(shard("a.tar", *files))
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    "name", ["../1.png", "/1.png", "a/../../1.png", "..\\1.png", "C:\\1.png", "C:1.png", "\\1.png", "a\n.png"]
)
def test_names_that_lead_elsewhere(shard, tmp_path, name):
    file = shard("a.tar", *sample("1", 1), (name, 2))
    with pytest.raises(InputError, match=r"a.tar: the name .* leads out of it; nothing of it is taken"):
        read(file)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "shards"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_what_is_no_plain_file(shard, kind):
    member = tarfile.TarInfo("2.png")
    member.type, member.linkname = kind, "/etc/hostname"
    with pytest.raises(
        InputError, match=r"a.tar: 2.png is a link or no plain file|a.tar is no tar file, cut short or damaged"
    ):
        read(shard("a.tar", *sample("1", 1), (member, None)))


def test_a_shard_that_is_cut_short_wherever_it_is(shard):
    file = shard("a.tar", *sample("1", 1), *sample("2", 2))
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        end = archive.getmembers()[-1].offset_data + 512
    for length in sorted({0, 1, 511, *range(512, end + 512, 256), end + 1023}):
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a.tar is (no tar file, )?cut short or damaged"):
            read(file)
    file.write_bytes(whole[: end + 512] + b"x" * 512)
    with pytest.raises(InputError, match=f"a.tar is cut short or damaged at byte {end}"):
        read(file)
    file.write_bytes(whole[: end + 1024])
    assert len(read(file)) == 2


def test_a_shard_that_is_damaged_or_goes_on_after_its_end(shard):
    file = shard("a.tar", *sample("1", 1), *sample("2", 2))
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        offset = archive.getmembers()[2].offset
    file.write_bytes(whole[:offset] + b"x" * 512 + whole[offset + 512 :])
    with pytest.raises(InputError, match=f"a.tar is cut short or damaged at byte {offset}; load it anew"):
        read(file)
    file.write_bytes(whole + whole)
    with pytest.raises(InputError, match=r"a.tar is cut short or damaged"):
        read(file)
    file.write_text("no tar file" * 100)
    with pytest.raises(InputError, match=r"a.tar is no tar file"):
        read(file)


def test_a_folder_without_shards(tmp_path):
    with pytest.raises(InputError, match=r"holds no .tar files; webdataset is laid out as tar files"):
        read(tmp_path)
    with pytest.raises(InputError, match="does not exist; webdataset is laid out as"):
        read(tmp_path / "gone")


def test_some_shards_that_say_no_split(shard, tmp_path):
    shard("train-0.tar", *sample("1", 1))
    shard("more.tar", *sample("1", 1))
    with pytest.raises(InputError, match=r"the name of more.tar does not say which split it is of, and others do"):
        read(tmp_path / "shards")
