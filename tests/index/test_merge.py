"""Another index brought in."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from eval.errors import InputError
from eval.folders import File
from index import Index
from index.merge import main as merge
from index.remove import main as remove
from index.source import index_source
from tests.index.conftest import commit_vectors
from tests.index.forty import VECTORS, put


def test_a_merge_brings_references_thumbnails_and_paths(empty, tmp_path, random_vectors):
    other = commit_vectors(tmp_path / "deep" / "other.index", random_vectors(4), images_root=str(tmp_path / "deep"))
    remove(other, path="2.jpg")
    merge(empty, other)
    index = Index.open(empty)
    rows = np.flatnonzero(index.kept).tolist()
    assert [index.table["path"][row].as_py() for row in rows] == ["deep/0.jpg", "deep/1.jpg", "deep/3.jpg"]
    assert [index.thumbnail(row) for row in rows] == [b"JPEG of 0", b"JPEG of 1", b"JPEG of 3"]
    merge(empty, other)
    assert Index.open(empty).generation == index.generation
    with pytest.raises(InputError, match="cannot be merged with itself"):
        merge(empty, empty)


def test_a_merge_of_another_embedder_is_refused(built, other_embedder, photos, tmp_path):
    """And what the error says to do helps."""
    from index.build import main as build
    from index.rebuild import main as rebuild

    folder, other = shutil.copytree(built, tmp_path / "a.index"), tmp_path / "other.index"
    build(other_embedder, str(photos), out=other)
    with pytest.raises(InputError) as error:
        merge(folder, other)
    told, command = str(error.value).split("; give it that first: python -m index.rebuild ")
    assert told == f"{other} was made by the embedder other, {folder} by tiny"
    name, embedder = command.split(" --embedder ")
    rebuild(Path(name), embedder=Path(embedder))
    assert merge(folder, other).counts == {"there_already": 20}


def test_an_empty_index_can_be_merged(empty, tmp_path):
    put(empty, [0], ["a"])
    other = commit_vectors(tmp_path / "other.index", VECTORS[:1], labels=["x"], thumbnail=b"")
    remove(other, label="x")
    assert merge(empty, other).counts == {}


def test_a_damaged_index_is_not_merged(empty, tmp_path, monkeypatch):
    other = commit_vectors(tmp_path / "other.index", VECTORS[:5])
    path = other / Index.open(other).manifest.segments[0].vectors
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(File.check, "__defaults__", (0,))
    with pytest.raises(InputError, match=rf"{path.name} is damaged: its checksum is wrong"):
        merge(empty, other)


def test_an_index_that_others_change_is_merged_as_it_was_opened(empty, tmp_path):
    folder = commit_vectors(tmp_path / "other.index", VECTORS[:6], labels=[*"abcabc"])
    other = Index.open(folder)
    remove(folder, label="a")
    source = index_source(Index.open(empty), other, "error")
    (batch,) = source.references(range(6))
    assert batch.embeddings.labels == [*"abcabc"]
    np.testing.assert_array_equal(batch.embeddings.vectors, VECTORS[:6])
    assert batch.extras == [b"JPEG of %d" % row for row in range(6)]


def test_the_vectors_of_another_index_are_read_a_few_at_a_time(tmp_path, random_vectors, add_vectors, monkeypatch):
    """It has two segments, and of each one reference is gone."""
    from index import source

    monkeypatch.setattr(source, "AT_ONCE", 2)
    vectors = random_vectors(8)
    for part in np.split(vectors, 2):
        add_vectors(tmp_path / "other.index", part, thumbnail=b"")
    for row in (1, 6):
        remove(tmp_path / "other.index", id=f"{row:032x}")
    other, read = Index.open(tmp_path / "other.index"), []
    real = other._read
    monkeypatch.setattr(other, "_read", lambda rows: read.append(len(rows)) or real(rows))
    index = Index.open(add_vectors(tmp_path / "a.index", random_vectors(1)))
    batches = [*index_source(index, other, "error").references(range(6))]
    assert max(read) == 2
    assert [name for batch in batches for name in batch.embeddings.ids] == [f"{row:032x}" for row in (0, 2, 3, 4, 5, 7)]
    np.testing.assert_array_equal(np.vstack([one.embeddings.vectors for one in batches]), vectors[[0, 2, 3, 4, 5, 7]])
