"""Vectors in Milvus against the same vectors in files, and against sorting all similarities.

Only Milvus Lite is tried.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.files import read_json
from index import Index, collection, milvus
from index.add import main as add
from index.build import main as build
from index.calibrate import main as calibrate
from index.check import main as check
from index.info import main as info
from index.journal import read_journal
from index.manifest import Manifest
from index.merge import main as merge
from index.milvus_client import connect, parse_address
from index.query import main as query
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.review import main as review
from index.undo import main as undo
from tests.index.conftest import unit

pymilvus = pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
pytest.importorskip("milvus_lite", reason="the extra milvus is not installed")

DIMENSION = 48


def clustered(count, seed):
    """Vectors of 12 clusters, and the number of each one's."""
    centres = np.random.default_rng(0).normal(size=(12, DIMENSION))
    draw = np.random.default_rng(seed)
    of = draw.integers(12, size=count)
    return unit(centres[of] + 0.7 * draw.normal(size=(count, DIMENSION))), of


QUERIES = clustered(10, seed=99)[0]


def embeddings(folder, count, seed):
    """An embeddings folder; a fifth of its vectors are copies of one, so that there are ties."""
    vectors, of = clustered(count, seed)
    vectors[:: max(1, count // 5)] = vectors[0]
    table = pa.table(
        {
            "id": [f"{seed:016x}{row:016x}" for row in range(count)],
            "label": [f"kind-{one}" for one in of],
            "path": [f"{seed}/{row}.jpg" for row in range(count)],
            "trained_on": [False] * count,
            "class_trained_on": [False] * count,
        }
    )
    EmbeddingSet(vectors, table, "tiny").save(folder, made_from={}, images_root=None, left_out=[])
    return str(folder)


@pytest.fixture(autouse=True)
def faiss_as_it_was(monkeypatch):
    """Take back what metric-learning libraries, which other tests import, make of FAISS, on which Milvus Lite runs.

    ``faiss.contrib.torch_utils`` replaces ``search`` by one that takes no parameters, and keeps the original.
    """
    for one in vars(faiss).values():
        if isinstance(one, type) and "search_numpy" in vars(one):
            monkeypatch.setattr(one, "search", vars(one)["search_numpy"])


@pytest.fixture
def lite(tmp_path):
    """The address of a Milvus Lite."""
    from milvus_lite.server_manager import server_manager_instance

    path = tmp_path / "vectors.db"
    yield str(path)
    server_manager_instance.release_server(str(path))


@pytest.fixture
def source(tmp_path):
    """A function that makes an embeddings folder."""
    return lambda count, seed: embeddings(tmp_path / f"embeddings-{seed}", count, seed)


@pytest.fixture
def twins(tmp_path, lite, source, tiny_embedder):
    """The same 60 references with their vectors in Milvus, and in files."""
    images = source(60, 1)
    return [
        build(tiny_embedder, images, out=tmp_path / f"{name}.index", milvus=address)
        for name, address in (("milvus", lite), ("files", None))
    ]


def found(folder, k=7, **options):
    """The ids of the nearest references, and their similarities."""
    index = folder if isinstance(folder, Index) else Index.open(folder)
    near = index.search(QUERIES, k, **options)
    return np.array(index.table["id"].to_pylist())[near.rows].tolist(), near.similarities.tolist()


def check_same(far, near):
    """Two indexes give the same answers: the ids, and every bit of the similarities."""
    there, here = Index.open(far), Index.open(near)
    assert there.count == here.count
    for k in (7, 1000):
        assert found(there, k) == found(here, k)
    ids = [index.table["id"].filter(pa.array(index.kept)).to_pylist() for index in (there, here)]
    assert ids[0] == ids[1]
    vectors = [index.vectors(np.flatnonzero(index.kept)) for index in (there, here)]
    np.testing.assert_array_equal(*vectors)
    for one, other in zip(*[[index.judge(vector) for vector in QUERIES[:2]] for index in (there, here)], strict=True):
        assert [(each.label, each.similarity) for each in one.neighbours] == [
            (each.label, each.similarity) for each in other.neighbours
        ]
        assert one.candidates == other.candidates


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


def collections(folder):
    """The collections that Milvus has, the one that the index names, and the one behind the alias."""
    place = Manifest.read(folder).milvus
    client = connect(place.address)
    alias = place.name.rpartition("_")[0]
    return sorted(client.list_collections()), place.name, client.describe_alias(alias)["collection_name"]


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


def server(folder):
    """A Milvus Lite that answers at an address of its own."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    running, database, port = start_server_in_thread(str(folder))
    return f"http://127.0.0.1:{port}", lambda: (running.stop(0).wait(), database.close())


def test_a_server_that_moves(tmp_path, source, tiny_embedder, monkeypatch):
    monkeypatch.setattr("index.milvus_client.SECONDS", 2)
    monkeypatch.setattr("index.milvus.SECONDS", 2)
    address, stop = server(tmp_path / "served.db")
    folder = build(tiny_embedder, source(20, 1), out=tmp_path / "a.index", milvus=address)
    before, reader = found(folder), Index.open(folder)
    assert found(reader) == before
    stop()
    for one in (folder, reader):
        with pytest.raises(InputError, match=f"Milvus at {address} says: .*name another address in FIELDMARK_MILVUS"):
            found(one)
    moved, stop = server(tmp_path / "served.db")
    monkeypatch.setenv("FIELDMARK_MILVUS", moved)
    assert found(folder) == before
    with pytest.raises(InputError, match=r"--milvus is http://elsewhere:19530 and FIELDMARK_MILVUS is"):
        build(tiny_embedder, source(20, 2), out=tmp_path / "b.index", milvus="http://elsewhere:19530")
    stop()


def test_a_file_that_moves(tmp_path, lite, source, tiny_embedder, monkeypatch):
    from milvus_lite.server_manager import server_manager_instance

    folder = build(tiny_embedder, source(20, 1), out=tmp_path / "a.index", milvus=lite)
    before = found(folder)
    server_manager_instance.release_server(lite)
    moved = tmp_path / "deep" / "moved.db"
    moved.parent.mkdir()
    shutil.move(lite, moved)
    with pytest.raises(InputError, match=f"{lite} does not exist; move it back, or name .* in FIELDMARK_MILVUS"):
        found(folder)
    assert not Path(lite).exists()
    monkeypatch.setenv("FIELDMARK_MILVUS", str(moved))
    assert found(folder) == before
    server_manager_instance.release_server(str(moved))


def test_a_commit_is_one_where_milvus_is_away_but_for_what_it_is_left_to_do(twins, monkeypatch, capsys):
    monkeypatch.setenv("FIELDMARK_MILVUS", "http://127.0.0.1:1")
    remove(twins[0], label="kind-1")
    assert "left to the next change of" in capsys.readouterr().err
    monkeypatch.delenv("FIELDMARK_MILVUS")
    remove(twins[1], label="kind-1")
    check_same(*twins)


def test_nothing_is_made_where_no_milvus_answers(tmp_path, source, tiny_embedder):
    with pytest.raises(InputError, match=r"no Milvus answers at http://127.0.0.1:1 \(Fail connecting"):
        build(tiny_embedder, source(10, 1), out=tmp_path / "a.index", milvus="http://127.0.0.1:1")
    assert not (tmp_path / "a.index").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "milvus",
            "'milvus' is no address of a Milvus; give one such as http://host:19530, or a path that ends in",
        ),
        ("ftp://host", "is no address of a Milvus"),
        ("http://root:secret@host:19530", "leave name and password out of the address; .* MILVUS_TOKEN"),
        ("/nowhere/vectors.db", r"/nowhere is no folder, so that vectors\.db cannot be made there"),
    ],
)
def test_addresses_that_are_none(address, message):
    with pytest.raises(InputError, match=message) as error:
        parse_address(address)
    assert "secret" not in str(error.value)


def test_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_address("vectors.db") == str(tmp_path / "vectors.db")
    assert parse_address("https://cluster.example:443") == "https://cluster.example:443"


def test_the_token_is_never_written_down(tmp_path, lite, source, tiny_embedder, monkeypatch):
    monkeypatch.setenv("MILVUS_TOKEN", "root:open-sesame")
    folder = build(tiny_embedder, source(10, 1), out=tmp_path / "a.index", milvus=lite)
    assert not [path for path in folder.iterdir() if b"open-sesame" in path.read_bytes()]


def test_packages_that_are_not_installed(twins, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'fieldmark\[milvus\]'"):
        found(twins[0])


def test_a_file_that_another_program_has_open(twins):
    """Which is this one."""
    command = [sys.executable, "-m", "index.check", str(twins[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert "vectors.db cannot be opened: Milvus Lite lets one program in at a time" in told


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


@pytest.fixture
def asked(monkeypatch):
    """What Milvus is asked to search for: how many neighbours, and with which parameters."""
    from pymilvus import MilvusClient

    questions, search = [], MilvusClient.search

    def ask(self, where, **options):
        questions.append((options["limit"], options["search_params"]["params"]))
        return search(self, where, **options)

    monkeypatch.setattr(MilvusClient, "search", ask)
    return questions


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


def test_building_again(twins, lite, source, tiny_embedder, capsys):
    images = source(60, 1)
    assert build(tiny_embedder, images, out=twins[0], milvus=lite) == twins[0]
    assert "is made already" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"milvus was '.*vectors.db' and is now None"):
        build(tiny_embedder, images, out=twins[0])
    build(tiny_embedder, images, out=twins[0], milvus=lite, overwrite=True)
    there, name, aliased = collections(twins[0])
    assert [one[-7:] for one in there] == ["_000001", "_000002"]
    assert name == aliased == there[1]
    build(tiny_embedder, images, out=twins[0], overwrite=True)
    check_same(*twins)
    assert len(connect(lite).list_collections()) == 1
    build(tiny_embedder, images, out=twins[0], overwrite=True)
    assert connect(lite).list_collections() == []


def test_merging(twins, tmp_path, lite, source, tiny_embedder):
    others = [
        build(tiny_embedder, source(20, 5), out=tmp_path / f"other-{number}.index", milvus=address)
        for number, address in enumerate([lite, None])
    ]
    for other in others:
        relabel(other, label="kind-1", to="kind-2")
        remove(other, label="kind-3")
    merge(twins[0], others[1])
    merge(twins[1], others[0])
    check_same(*twins)


def held(address):
    """What the collections and their aliases there are called."""
    client = connect(address)
    return sorted(client.list_collections()), sorted(client.list_aliases()["aliases"])


def test_moving_into_milvus_and_back(twins, lite, source, monkeypatch):
    drop = pymilvus.MilvusClient.drop_collection

    def like_a_server(client, name):
        assert not client.list_aliases(name)["aliases"], "Milvus drops no collection that has an alias"
        drop(client, name)

    monkeypatch.setattr(pymilvus.MilvusClient, "drop_collection", like_a_server)
    folder = twins[1]
    shutil.copytree(folder, folder.with_name("as-it-was.index"))
    was = held(lite)
    rebuild(folder, milvus=lite, dry_run=True)
    assert held(lite) == was
    rebuild(folder, milvus=lite)
    assert not [*folder.glob("vectors-000002*")]
    assert [len(names) for names in held(lite)] == [len(names) + 1 for names in was]
    assert Index.open(folder).manifest.milvus.address == lite
    check_same(folder, folder.with_name("as-it-was.index"))
    assert [one["command"] for one in read_journal(folder, Index.open(folder).manifest.journal)] == ["build", "rebuild"]

    undo(folder)
    assert Index.open(folder).manifest.milvus is None
    check_same(folder, folder.with_name("as-it-was.index"))
    undo(folder)
    for one in (folder, folder.with_name("as-it-was.index")):
        add(one, source(8, 2))
    check_same(folder, folder.with_name("as-it-was.index"))

    rebuild(folder, milvus="folder")
    assert Index.open(folder).manifest.milvus is None
    check_same(folder, folder.with_name("as-it-was.index"))
    for one in (folder, folder.with_name("as-it-was.index")):
        add(one, source(8, 3))
        remove(one, label="kind-3")
    assert held(lite) == was  # as no generation that is kept needs it
    check_same(folder, folder.with_name("as-it-was.index"))


def test_moving_to_another_milvus(twins, tmp_path):
    folder = twins[0]
    other = str(tmp_path / "other.db")
    rebuild(folder, milvus=other)
    assert Index.open(folder).manifest.milvus.address == other
    check_same(*twins)


def test_building_as_it_was_moved(twins, lite, source, tiny_embedder, capsys):
    rebuild(twins[1], milvus=lite)
    build(tiny_embedder, source(60, 1), out=twins[1], milvus=lite)
    assert "is made already" in capsys.readouterr().err


def test_moving_what_milvus_is_not_used_for(twins, lite):
    rebuild(twins[1], kind="sq", max_memory="1GB")
    with pytest.raises(InputError, match="kind of search in Milvus"):
        rebuild(twins[1], milvus=lite)
    rebuild(twins[1], milvus=lite, kind="flat")
    assert Index.open(twins[1]).manifest.search.max_memory is None


def test_the_other_commands(tmp_path, lite, source, tiny_embedder, capsys):
    """All of them say the same of an index in Milvus as of one in files."""
    from tests.index.conftest import write_photo

    write_photo(tmp_path / "a.png", 1, 100)
    told = []
    for name, address in (("milvus", lite), ("files", None)):
        folder = build(tiny_embedder, source(300, 1), out=tmp_path / name / "a.index", milvus=address)
        built = Manifest.read(folder).calibration
        assert built is not None
        calibrate(folder, seed=1)
        capsys.readouterr()
        query(folder, tmp_path / "a.png", json=True)
        answers = json.loads(capsys.readouterr().out)
        review(folder, out=tmp_path / name / "look")
        reviewed = capsys.readouterr().out.replace(str(tmp_path / name), "")
        told.append((built, replace(Manifest.read(folder), created="").calibration, answers, reviewed))
        said = info(folder, json=True)
    assert said["milvus"] is None
    assert told[0] == told[1]
    place = info(tmp_path / "milvus" / "a.index")["milvus"]
    assert f"vectors       in Milvus at {lite}, collection {place['name']}" in capsys.readouterr().out


def test_evaluation_asks_for_an_embeddings_folder(twins):
    with pytest.raises(InputError, match=r"the vectors of .* are in Milvus; give an embeddings folder"):
        EmbeddingSet.load(twins[0])


def test_files_alone_ask_for_nothing_of_it(twins):
    """Indexes in files are read without the packages."""
    script = """
    import sys
    from index import Index
    Index.open(sys.argv[1]).vectors
    assert not {"pymilvus", "milvus_lite", "grpc"} & set(sys.modules)
    """
    code = textwrap.dedent(script)
    subprocess.run([sys.executable, "-c", code, str(twins[1])], check=True, cwd=Path(__file__).parents[2])
    assert read_json(twins[1] / "manifest.json")["milvus"] is None
