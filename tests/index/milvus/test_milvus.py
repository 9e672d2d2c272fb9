"""Answers from Milvus against those from files, and against sorting all similarities."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from eval.errors import InputError
from index import Index, collection, milvus
from index.add import main as add
from index.build import main as build
from index.check import main as check
from index.manifest import Manifest
from index.milvus_client import connect
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.milvus.conftest import DIMENSION, QUERIES, check_same, found


def test_an_index_folder_without_vectors(twins):
    manifest = Manifest.read(twins[0])
    assert [segment.vectors for segment in manifest.segments] == [""]
    assert not [*twins[0].glob("vectors*"), *twins[0].glob("search*"), *twins[0].glob("staging*")]
    assert (manifest.milvus.index, manifest.search.factory) == ("FLAT", None)
    check_same(*twins)


def test_the_same_answers_as_from_files_whatever_is_done(twins, source):
    more, others, last = source(15, 2), source(20, 3), source(4, 4)
    for step in (
        lambda folder: add(folder, more),
        lambda folder: remove(folder, label="kind-3"),
        lambda folder: relabel(folder, label="kind-5", to="kind-6"),
        undo,
        undo,
        lambda folder: add(folder, others),
        undo,
        lambda folder: add(folder, last),
        lambda folder: remove(folder, path="2"),
        rebuild,
        lambda folder: add(folder, others),
        undo,
        undo,
        check,
    ):
        for folder in twins:
            step(folder)
        check_same(*twins)


def test_the_same_answers_after_changes_at_random(twins, source):
    draw = np.random.default_rng(1)
    for number in range(12):
        images = source(int(draw.integers(1, 20)), 100 + number)
        label = f"kind-{draw.integers(12)}"
        step = draw.choice(["add", "add", "add", "remove", "remove", "undo", "undo", "undo", "rebuild"])
        for folder in twins:
            try:
                if step == "add":
                    add(folder, images)
                elif step == "remove":
                    remove(folder, label=label)
                else:
                    {"undo": undo, "rebuild": rebuild}[step](folder)
            except InputError as error:  # there is nothing of that label, or nothing to undo
                assert "label" in str(error) or "keeps no generation" in str(error)
        check_same(*twins)


def test_whoever_has_it_open_keeps_what_he_has(twins, source):
    folder, readers = twins[0], []
    parts = [source(12, seed) for seed in (2, 3, 4)]
    for step in (
        lambda: add(folder, parts[0]),
        lambda: undo(folder),
        lambda: add(folder, parts[1]),  # not into the rows of what was undone, which a reader still sees
        lambda: remove(folder, label="kind-1"),
        lambda: add(folder, parts[2]),
    ):
        readers.append((Index.open(folder), found(folder)))
        step()
    for reader, before in readers:
        assert found(reader) == before


def test_readers_of_the_generation_before_a_rebuild(twins):
    folder = twins[0]
    reader, before = Index.open(folder), found(folder)
    remove(folder, label="kind-1")
    removed = Index.open(folder)
    rebuild(folder)
    assert found(reader) == before
    remove(folder, label="kind-2")
    with pytest.raises(InputError, match=r"the collection fieldmark_\w+_000001 is gone from .*; open the index again"):
        found(removed)


def strange(folder, how):
    """Do something to the collection of an index behind its back."""
    place = Manifest.read(folder).milvus
    client = connect(place.address)
    if how == "dropped":
        client.drop_collection(place.name)
    elif how == "another":
        client.drop_collection(place.name)
        client.create_collection(place.name, dimension=DIMENSION)
    elif how == "shorter":
        collection._make(client, place, DIMENSION - 1)
    elif how == "row":
        client.delete(place.name, filter="row in [59]")
    elif how == "photo":
        entity = {"row": 30, "id": "e" * 32, "vector": Index.open(folder).vectors(np.array([30]))[0]}
        client.upsert(place.name, [entity])
    elif how == "rows":
        client.delete(place.name, filter="row >= 10 and row < 40")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("dropped", r"the collection fieldmark_\w+_000001 is gone from .*vectors.db; open the index again"),
        ("another", r"is not what this index needs: its fields are {'id': 0, 'vector': 48}"),
        ("shorter", r"is not what this index needs: its fields are {'row': 0, 'id': 0, 'vector': 47}"),
        ("row", r"is not what this index needs: it lacks the row 59; was it written to from a copy of the folder\?"),
        ("rows", r"is not what this index needs: it lacks rows"),
        ("photo", r"its row 30 is the photo e{32} instead of 00000000000000010{14}1e"),
    ],
)
def test_a_collection_that_is_not_what_it_should_be(twins, how, message):
    strange(twins[0], how)
    with pytest.raises(InputError, match=message):
        Index.open(twins[0]).search(QUERIES, 60)
    with pytest.raises(InputError, match=r"is gone|is not what"):
        check(twins[0])


def test_a_copy_of_the_folder_that_was_written_to_is_noticed(twins, source, tmp_path):
    copy = shutil.copytree(twins[0], tmp_path / "copy.index")
    add(twins[0], source(10, 2))
    add(copy, source(4, 3))
    with pytest.raises(InputError, match=r"it lacks the row 69; was it written to from a copy of the folder\?"):
        found(twins[0])


@pytest.mark.parametrize(("kind", "name"), [("hnsw", "ef"), ("ivf", "nprobe")])
def test_the_effort_grows_with_the_neighbours(tmp_path, lite, source, tiny_embedder, asked, kind, name):
    folder = build(tiny_embedder, source(300, 1), out=tmp_path / "a.index", kind=kind, target_recall=0.5, milvus=lite)
    search = Manifest.read(folder).search
    (effort,) = search.parameters.values()
    asked.clear()
    for k in (3, 10, 100, 250):
        found(folder, k)
    (least, *_), (ten, same), (hundred, more), (most, longest) = asked
    assert (least, ten, hundred, most) == (19, 26, 116, 266)
    assert [one[name] for one in (same, more, longest)] == [effort, 10 * effort, 25 * effort]
    if kind == "hnsw":  # a queue must not be shorter than what is asked for
        assert all(limit <= parameters["ef"] for limit, parameters in asked)
    add(folder, source(200, 2))
    assert Manifest.read(folder).search == replace(search, rows=500, count=500)
    add(folder, source(110, 3))
    assert Manifest.read(folder).search.begun == 610  # tuned anew, as there are twice as many


def test_messages_and_answers_that_are_too_long_for_one(twins, source, monkeypatch, asked):
    monkeypatch.setattr(milvus, "MESSAGE", 4000)
    monkeypatch.setattr(milvus, "MOST", 30)
    monkeypatch.setattr(milvus, "LONG", 3)
    for folder in twins:
        add(folder, source(30, 2))
        remove(folder, path="2/3.jpg")
        for label in ("kind-2", "kind-7"):
            remove(folder, label=label)
    check_same(*twins)
    assert {23} <= {limit for limit, _ in asked} <= {*range(31)}


def test_deleted_rows_are_named_by_their_stretches():
    ids = pa.chunked_array([[str(row) for row in range(1000)]])
    deleted = np.array([3, *range(100, 164), *range(300, 363), 999])
    vectors = milvus.MilvusVectors(Manifest, 8, ids, deleted)
    condition = vectors._condition(0)
    assert "not (row >= 100 and row <= 163)" in condition
    assert "300, 301" in condition
    kept = [row for row in range(1100) if eval(condition, {"row": row})]  # it happens to be Python as well
    assert kept == sorted({*range(1000)} - {*deleted.tolist()})
    assert len(vectors._condition(990)) < 60
