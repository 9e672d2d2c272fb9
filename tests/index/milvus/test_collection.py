"""The collection: made, filled, tuned, and dropped when nothing names it any more."""

import subprocess
import sys

import numpy as np
import pytest

from eval.errors import InputError
from index import Index, collection
from index.add import main as add
from index.build import main as build
from index.manifest import Manifest
from index.milvus_client import connect
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.milvus.conftest import DIMENSION, check_same, clustered, collections, found


def test_a_collection_behind_an_alias_which_additions_go_into(twins, source):
    folder = twins[0]
    there, first, aliased = collections(folder)
    assert there == [first] == [aliased]
    add(folder, source(5, 2))
    assert collections(folder) == ([first], first, first)
    rebuild(folder)
    there, second, aliased = collections(folder)
    assert there == [first, second]
    assert second == aliased
    undo(folder)
    assert collections(folder) == ([first, second], first, first)
    remove(folder, label="kind-1")
    assert collections(folder) == ([first], first, first)


def test_an_addition_writes_what_was_added(twins, source, monkeypatch):
    from pymilvus import MilvusClient

    written = []
    for name in ("insert", "upsert"):
        method = getattr(MilvusClient, name)

        def write(self, where, data, *, method=method):
            written.extend(one["row"] for one in data)
            return method(self, where, data)

        monkeypatch.setattr(MilvusClient, name, write)
    add(twins[0], source(3, 2))
    remove(twins[0], label="kind-2")
    relabel(twins[0], label="kind-4", to="kind-5")
    undo(twins[0])
    add(twins[0], source(2, 3))
    assert written == [60, 61, 62, 63, 64]


DYING = """
import os, sys
from pathlib import Path
import index.commit
index.commit.Writer.commit = lambda *_: os._exit(9)
from index.{command} import main
main(Path(sys.argv[1]), *sys.argv[2:])
"""


def dies(command, *arguments):
    """Let a process do all of a change but for the commit, with Milvus Lite to itself."""
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(Manifest.read(arguments[0]).milvus.address)
    script = DYING.format(command=command)
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 9, done.stderr.decode()


def test_a_writer_that_dies_between_milvus_and_the_manifest(twins, source):
    many, few = source(10, 2), source(4, 3)
    dies("add", twins[0], many)
    check_same(*twins)
    place = Manifest.read(twins[0]).milvus
    rows = [one["row"] for one in connect(place.address).query(place.name, filter="row >= 60", output_fields=["row"])]
    assert sorted(rows) == list(range(60, 70))
    for folder in twins:
        add(folder, few)
    check_same(*twins)
    assert Manifest.read(twins[0]).rows == 64
    assert not connect(place.address).query(place.name, filter="row >= 64", output_fields=["row"])


def test_what_is_left_of_a_new_collection_goes_with_the_next_commit(twins):
    remove(twins[0], label="kind-1")
    dies("rebuild", twins[0])
    there, first, aliased = collections(twins[0])
    assert len(there) == 2
    assert aliased == first
    remove(twins[0], label="kind-2")
    assert collections(twins[0]) == ([first], first, first)
    dies("rebuild", twins[0])
    rebuild(twins[0])
    assert len(collections(twins[0])[0]) == 2
    remove(twins[1], label="kind-1")
    remove(twins[1], label="kind-2")
    check_same(*twins)


def test_a_build_that_fails_leaves_nothing(tmp_path, lite, source, tiny_embedder, monkeypatch):
    from pymilvus import MilvusClient

    def full(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MilvusClient, "flush", full)
    with pytest.raises(KeyboardInterrupt):
        build(tiny_embedder, source(10, 1), out=tmp_path / "a.index", milvus=lite)
    assert connect(lite).list_collections() == []


def test_a_commit_is_one_where_milvus_is_away_but_for_what_it_is_left_to_do(twins, monkeypatch, capsys):
    monkeypatch.setenv("FIELDMARK_MILVUS", "http://127.0.0.1:1")
    remove(twins[0], label="kind-1")
    assert "left to the next change of" in capsys.readouterr().err
    monkeypatch.delenv("FIELDMARK_MILVUS")
    remove(twins[1], label="kind-1")
    check_same(*twins)


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivf"])
def test_as_many_of_the_nearest_are_found_as_the_manifest_says(tmp_path, lite, source, tiny_embedder, kind):
    """Before and after a tenth is removed and as much is added, which Milvus indexes by itself."""
    images = source(1500, 1)
    folder = build(tiny_embedder, images, out=tmp_path / "a.index", kind=kind, target_recall=0.95, milvus=lite)
    remove(folder, label="kind-1")
    add(folder, source(150, 2))
    index = Index.open(folder)
    search = index.manifest.search
    assert (search.file, search.rows) == (None, 0 if kind == "flat" else 1650)
    queries = clustered(60, seed=98)[0]
    exact = index.search(queries, 10, exact=True)
    similarities = queries.astype(np.float64) @ index.vectors(np.arange(1650)).T.astype(np.float64)
    similarities[:, ~index.kept] = -2
    right = np.argsort(-similarities, axis=1, kind="stable")
    np.testing.assert_array_equal(exact.rows, right[:, :10])
    near = index.search(queries, 10)
    assert index.kept[near.rows].all()
    share = (near.similarities >= exact.similarities[:, -1:]).mean()
    assert share >= (1 if kind == "flat" else 0.93)
    if kind != "flat":
        assert search.factory == index.manifest.milvus.index == {"hnsw": "HNSW", "ivf": "IVF_SQ8"}[kind]
        assert search.far_recall >= 0.95
        assert search.queries == 200
    everything = index.search(queries[:2], 5000)
    np.testing.assert_array_equal(np.sort(everything.rows), [np.flatnonzero(index.kept)] * 2)


def test_auto_links_a_graph_where_the_index_has_grown(tmp_path, lite, source, tiny_embedder, monkeypatch):
    monkeypatch.setattr(collection, "FAST_ENOUGH", 100 * DIMENSION)
    folder = build(tiny_embedder, source(60, 1), out=tmp_path / "a.index", milvus=lite)
    near = build(tiny_embedder, source(60, 1), out=tmp_path / "b.index")
    assert Manifest.read(folder).milvus.index == "FLAT"
    for one in (folder, near):
        add(one, source(60, 2))
    assert Manifest.read(folder).milvus.index == "HNSW"
    assert found(folder, exact=True) == found(near)
    rebuild(folder, kind="flat")
    assert Manifest.read(folder).milvus.index == "FLAT"
    assert found(folder) == found(near)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "sq"}, "unknown kind of search in Milvus 'sq'; known: auto, flat, hnsw, ivf"),
        ({"kind": "IVF16,Flat"}, "unknown kind of search in Milvus 'IVF16,Flat'"),
        ({"max_memory": "2GB"}, "--max-memory is about this machine"),
    ],
)
def test_what_milvus_is_not_used_for(tmp_path, lite, source, tiny_embedder, options, message):
    with pytest.raises(InputError, match=message):
        build(tiny_embedder, source(10, 1), out=tmp_path / "a.index", milvus=lite, **options)
