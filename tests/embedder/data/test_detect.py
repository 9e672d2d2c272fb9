import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedder.data.detect import reader_of


@pytest.mark.parametrize(
    ("files", "reader"),
    [
        (["wren/1.jpg"], "folder"),
        (["1.jpg", "images.tar"], "folder"),
        (["wren/1.jpg", "images.tar"], "folder"),
        (["images.tar", "wren/1.jpg"], "folder"),
        (["train/wren/1.jpg", "train/all.tar"], "folder"),
        (["train/wren/1.tar", "test/0.tar"], "folder"),
        (["train/0.tar", "test/notes.txt"], "folder"),
        (["0.tar", "train/1.tar"], "folder"),
        ([], "folder"),
        (["state.json", "wren/1.jpg"], "folder"),
        (["notes.parquet", "wren/1.jpg"], "folder"),
        (["0.tar", "README.md", ".git/x", "0.tar-photos/1.jpg"], "webdataset"),
        (["train/0.tar", "test/0.tar", "classnames.txt"], "webdataset"),
        (["dataset_dict.json"], "huggingface"),
        (["state.json", "dataset_info.json"], "huggingface"),
        (["data/train-00000-of-00001.parquet"], "huggingface"),
        (["train-00000-of-00001.parquet"], "huggingface"),
    ],
)
def test_what_a_folder_is(touch, files, reader):
    assert reader_of(touch(files)) == reader


@pytest.mark.parametrize(
    ("name", "text", "reader"),
    [
        ("metadata.csv", "a,file_name\n", "huggingface"),
        ("metadata.csv", '\ufeff"file_name";a\n', "huggingface"),
        ("metadata.csv", "isic_id,file_names\n", "folder"),
        ("metadata.jsonl", '{"file_name": 1}\n', "huggingface"),
        ("metadata.jsonl", '["file_name"]\n', "folder"),
        ("metadata.jsonl", "file_name", "folder"),
        ("metadata.parquet", "file_name", "folder"),
        ("train/metadata.csv", "file_name", "huggingface"),
        ("other/metadata.csv", "file_name", "folder"),
    ],
)
def test_a_list_of_an_image_folder_names_files(touch, name, text, reader):
    root = touch([name])
    (root / name).write_text(text, encoding="utf-8")
    assert reader_of(root) == reader


def test_other_things(touch):
    root = touch(["a.csv", "b.tar"])
    assert reader_of(root / "a.csv") == "table"
    assert reader_of(root / "b.tar") == "webdataset"
    assert reader_of(root / "b-{00..12}.tar") == "webdataset"
    assert reader_of(root / "gone") is None
    pq.write_table(pa.table({"file_name": ["x"]}), root / "metadata.parquet")
    assert reader_of(root) == "huggingface"
