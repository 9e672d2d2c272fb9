"""Another generation is taken up while the one before goes on answering."""

import math
import shutil
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from eval.errors import InputError
from index.build import main as build
from index.explain import explain
from index.service.current import Current
from index.undo import main as undo
from tests.index.test_changes import remove


@pytest.fixture
def current(own):
    current = Current(own, 1)
    yield current
    current.close()


def until(wanted, seconds=10):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_commit_is_taken_up_and_who_has_begun_keeps_his(own, current):
    before = current.now()
    assert current.now() is before
    remove(own, label="class-1")
    until(lambda: current.now().generation == 2)
    assert (before.index.count, current.now().index.count) == (20, 15)
    assert before.index.judge(before.index.vectors(np.array([5]))[0]).neighbours[0].label == "class-1"


def test_a_generation_is_gone_when_nobody_uses_it(own, current):
    first = weakref.ref(current.now())
    first().index.judge(first().index.vectors(np.array([5]))[0])
    remove(own, label="class-1")
    current.newest()
    until(lambda: first() is None)


def test_the_newest_is_to_be_had_at_once(own, current):
    remove(own, label="class-1")
    assert current.newest().generation == 2
    assert current.newest() is current.newest()


def test_the_network_stays_open_while_it_is_the_same(own, current):
    network = current.now().index.embedder
    remove(own, label="class-1")
    assert current.newest().index.embedder is network


def test_another_embedder_is_opened_before_it_answers(own, photos, other_embedder, current):
    build(other_embedder, str(photos), out=own, overwrite=True)
    snapshot = current.newest()
    assert snapshot.index.fingerprint == "other"
    assert "embedder" in vars(snapshot.index)
    assert snapshot.index.embedder.fingerprint == "other"


def test_what_cannot_be_opened_does_not_answer(own, current):
    manifest = own / "manifest.json"
    whole = manifest.read_text()
    manifest.write_text(whole.replace('"generation": 1', '"generation": 7'))
    assert current.newest().generation == 1
    assert "generation 1 goes on answering" in current.problem
    assert "checksum" in current.problem
    manifest.write_text(whole)
    current.newest()
    assert current.problem is None


def test_an_index_that_is_gone_goes_on_answering_and_explaining_until_it_is_back(own, photos, current):
    shutil.move(own, own.with_name("elsewhere"))
    assert current.newest().generation == 1
    assert "does not exist" in current.problem
    assert len(current.now().index.judge(current.now().index.vectors(np.array([0]))[0]).neighbours) == 10
    explained = explain(current.now().index, photos / "class-1" / "05.png", 3)
    assert explained.query.shares.sum() == pytest.approx(explained.similarity, abs=1e-5)
    shutil.move(own.with_name("elsewhere"), own)
    current._failed_at = -math.inf
    current.now()
    until(lambda: current.problem is None)


def test_damage_of_big_files_is_found_and_told(own):
    vectors = next(own.glob("vectors-*"))
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    whole = vectors.read_bytes()
    current = Current(own, 1)
    until(lambda: len(current._whole) > 3)
    assert current.problem is None
    vectors.write_bytes(content)
    current._whole.clear()
    current._check(current.snapshot.index.manifest)
    assert vectors.name in current.problem
    vectors.write_bytes(whole)
    current.close()


def test_there_must_be_an_index(tmp_path):
    with pytest.raises(InputError, match=r"does not exist"):
        Current(tmp_path / "none.index", 1)


def test_references_are_found_by_id_and_label(own, current):
    index = under_another_label_of_one(own)
    snapshot = current.newest()
    ids = index.table["id"].to_pylist()
    for row in range(20):
        assert row in snapshot.rows_of(ids[row])
    assert snapshot.rows_of(ids[3]) == [3, 20]
    assert snapshot.rows_of(ids[3], "other") == [20]
    assert snapshot.rows_of(ids[3], "nothing") == []
    for nothing in ("", "0", "z", ids[3][:-1], f"{ids[3]}0", "\0", "../../etc/passwd"):
        assert snapshot.rows_of(nothing) == []
    remove(own, id=ids[4])
    assert current.newest().rows_of(ids[4]) == []
    undo(own)
    assert current.newest().rows_of(ids[4]) == [4]


def under_another_label_of_one(folder):
    """The index with one of its photos under a second label."""
    import pyarrow as pa

    from eval.embeddings import EmbeddingSet
    from index import Index
    from index.add import main as add

    index, twins = Index.open(folder), Path(f"{folder}.twins")
    table = pa.table({"id": index.table["id"][3:4], "path": index.table["path"][3:4], "label": ["other"]})
    EmbeddingSet(index.vectors(np.array([3])), table, "tiny").save(twins, made_from={}, images_root=None, left_out=[])
    add(folder, str(twins), on_conflict="both")
    return Index.open(folder)
