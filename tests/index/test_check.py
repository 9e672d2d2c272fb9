import shutil
from dataclasses import replace

import numpy as np
import pytest

from eval import folders
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index import Index
from index import check as checking
from index.check import main
from index.commit import writing
from index.journal import Change
from index.rebuild import main as rebuild
from index.remove import main as remove
from index.selection import select
from tests.index.conftest import commit_vectors, write_photo


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "birds.index")


def commit(folder, **changes):
    """Commit a generation that differs by some fields."""
    with writing(folder) as writer:
        writer.commit(replace(writer.before, **changes), Change("test"))


def test_a_whole_index(copy, capsys):
    assert main(copy, deep=True, sample=5) == copy
    assert "20 references of 4 classes, 5 files with right checksums, 5 photos embedded anew" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["vectors", "references", "thumbnails", "embedder", "trained_on"])
def test_a_flipped_bit_in_a_file_that_opening_does_not_read(copy, kind, monkeypatch):
    monkeypatch.setattr(folders, "SMALL", 0)
    monkeypatch.setattr(folders.File.check, "__defaults__", (0,))
    (path,) = copy.glob(f"{kind}-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path.name} is damaged: its checksum is wrong"):
        main(copy)


def test_what_undo_would_bring_back_is_verified(copy):
    remove(copy, label="class-1")
    (kept,) = copy.glob("manifest-*.json")
    content = kept.read_text()
    kept.write_text(content.replace('"count": 20', '"count": 21'))
    with pytest.raises(InputError, match=f"{kept.name} is damaged: its checksum is wrong"):
        main(copy)
    kept.write_text(content)
    main(copy)


def test_a_file_that_only_the_generation_before_has_is_verified(tmp_path, random_vectors):
    folder = commit_vectors(tmp_path / "a.index", random_vectors(6), thumbnail=b"")
    commit_vectors(folder, random_vectors(6, seed=2), thumbnail=b"")
    commit(folder, segments=Index.open(folder).manifest.segments[1:])
    (folder / "vectors-000001.faiss").unlink()
    with pytest.raises(InputError, match=r"vectors-000001\.faiss"):
        main(folder)


def test_an_index_that_is_changed_meanwhile_is_not_damaged(copy, monkeypatch, capsys):
    real, times = checking._damaged_files, []

    def slow(folder, manifest):
        if len(times) < 2:
            times.append(manifest.generation)
            rebuild(folder)
            rebuild(folder, kind="hnsw")
        yield from real(folder, manifest)

    monkeypatch.setattr(checking, "_damaged_files", slow)
    remove(copy, path="class-0/00.png")
    main(copy)
    assert "whole" in capsys.readouterr().out
    assert len(times) == 2


def test_an_index_that_never_rests_is_not_called_damaged(copy, monkeypatch):
    real = checking._damaged_files

    def slow(folder, manifest):
        rebuild(folder)
        rebuild(folder, kind="hnsw")
        yield from real(folder, manifest)

    monkeypatch.setattr(checking, "_damaged_files", slow)
    remove(copy, path="class-0/00.png")
    with pytest.raises(InputError, match="changed again and again while it was read"):
        main(copy)


def test_vectors_that_are_no_directions(tmp_path, random_vectors, monkeypatch):
    vectors = random_vectors(6)
    folder = commit_vectors(tmp_path / "a.index", vectors[:2], thumbnail=b"")
    main(folder)
    vectors[4] *= 1.1
    with monkeypatch.context() as context:
        context.setattr(EmbeddingSet, "__post_init__", lambda _: None)
        commit_vectors(folder, vectors, thumbnail=b"")
    with pytest.raises(InputError, match=r"1 vectors are not of unit length \(rows 6\)"):
        main(folder)


def test_a_photo_that_is_there_twice(tmp_path, random_vectors):
    folder = commit_vectors(tmp_path / "a.index", random_vectors(3), thumbnail=b"")
    table = Index.open(folder).table
    assert len(table) == 3
    with writing(folder) as writer:
        segment = writer.before.segments[0]
        writer.commit(replace(writer.before, segments=[segment, segment]), Change("test"))
    with pytest.raises(InputError, match=r"3 photos are there twice \(ids 0+, 0+1, 0+2\); remove them by --id"):
        main(folder)
    commit(folder, shared_ids=True)
    with pytest.raises(InputError, match="3 photos are there twice"):
        main(folder)
    commit(folder, shared_ids=True, label_changes={"0": "x", "1": "x", "2": "x"})
    main(folder)


def test_a_thumbnail_that_is_none(tmp_path, random_vectors):
    folder = commit_vectors(tmp_path / "a.index", random_vectors(3))
    with pytest.raises(InputError, match=r"3 thumbnails cannot be read \(rows 0, 1, 2\)"):
        main(folder)


def test_nothing_that_undo_could_bring_back(copy, monkeypatch):
    remove(copy, label="class-1")
    (kept,) = copy.glob("manifest-*.json")
    kept.unlink()
    with pytest.raises(InputError, match=rf"{kept.name} is missing, so the last change cannot be undone"):
        main(copy)
    opened = Index.open(copy)
    remove(copy, label="class-2")
    monkeypatch.setattr(Index, "open", lambda _: opened)
    main(copy)


@pytest.mark.parametrize("line", [b"[1]", b"1", b'{"generation": 2}', b'{"generation": "1"}', b"{}"])
def test_a_journal_with_another_line(copy, line):
    remove(copy, label="class-1")
    path = copy / "journal.jsonl"
    first, second = path.read_bytes().splitlines()
    main(copy)
    path.write_bytes(line.ljust(len(first)) + b"\n" + second + b"\n")
    with pytest.raises(InputError, match=r"journal\.jsonl is damaged: the generations that it tells of"):
        main(copy)


def test_a_journal_that_was_cut(copy):
    remove(copy, label="class-1")
    path = copy / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"journal\.jsonl is damaged: it has"):
        main(copy)


def test_photos_that_have_changed_since(built, photos, tmp_path):
    copy, moved = tmp_path / "birds.index", shutil.copytree(photos, tmp_path / "photos")
    shutil.copytree(built, copy)
    commit(copy, images_root=str(moved))
    main(copy, deep=True)
    (moved / "class-0" / "00.png").unlink()
    write_photo(moved / "class-1" / "01.png", 1, 99)
    with pytest.raises(InputError) as error:
        main(copy, deep=True)
    assert "of 20 photos 1 cannot be read" in str(error.value)
    assert "such as class-0/00.png" in str(error.value)
    assert "of 20 photos 1 are others by now (such as class-1/01.png)" in str(error.value)


def test_vectors_of_another_network_are_found(built, other_embedder, tmp_path, photos, monkeypatch):
    copy = shutil.copytree(built, tmp_path / "birds.index")
    opened = Index.open(copy)
    right = type(opened.embedder).vectors
    monkeypatch.setattr(type(opened.embedder), "vectors", lambda self, batch: np.roll(right(self, batch), 1, axis=1))
    with pytest.raises(InputError, match="photos give other vectors now: the least cosine of 20 is"):
        main(copy, deep=True)


def test_selection(built, photos, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    index = Index.open(built)
    ids, paths = index.table["id"].to_pylist(), index.table["path"].to_pylist()
    labels = index.labels.tolist()

    def rows(label=None, id=None, path=None):
        return select(index, label=label, id=id, path=path).tolist()

    assert rows(label="class-2") == [row for row in range(20) if labels[row] == "class-2"]
    assert rows(id=ids[7]) == [7]
    assert rows(path=paths[3]) == rows(path=str(photos / paths[3])) == [3]
    assert rows(path="class-2") == rows(path=str(photos / "class-2")) == rows(label="class-2")
    assert rows(label=labels[3], id=ids[3]) == [3]
    for wrong, message in (
        ({}, "say which references: --label, --id or --path"),
        ({"label": "class-7"}, "unknown label 'class-7'; did you mean 'class-"),
        ({"path": "clas-2"}, "unknown path 'clas-2'; did you mean 'class-2' or 'class-"),
        ({"path": "class-2/60.png"}, "unknown path 'class-2/60.png'; did you mean 'class-2/.0.png' or 'class-2/"),
        ({"path": "x"}, "unknown path 'x'; index.query --json names the paths of the references"),
        ({"path": str(tmp_path / "loop" / "x.png")}, "unknown path"),
        ({"id": ids[7][1:]}, f"unknown id '{ids[7][1:]}'; did you mean '{ids[7]}'"),
        ({"id": "123"}, "unknown id '123'; index.query --json names the ids of"),
        ({"label": "class-1", "id": ids[0]}, f"no reference has the label 'class-1' and the id '{ids[0]}'"),
    ):
        with pytest.raises(InputError, match=message) as error:
            rows(**wrong)
        assert len(str(error.value)) < 200
