"""Commands on an index in Milvus say what they say of one in files."""

import json
import shutil
from dataclasses import replace

import pytest

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from index import Index
from index.add import main as add
from index.build import main as build
from index.calibrate import main as calibrate
from index.info import main as info
from index.journal import read_journal
from index.manifest import Manifest
from index.merge import main as merge
from index.milvus_client import connect
from index.query import main as query
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.review import main as review
from index.undo import main as undo
from tests.index.conftest import write_photo
from tests.index.milvus.conftest import check_same, collections


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
    from pymilvus import MilvusClient

    drop = MilvusClient.drop_collection

    def like_a_server(client, name):
        assert not client.list_aliases(name)["aliases"], "Milvus drops no collection that has an alias"
        drop(client, name)

    monkeypatch.setattr(MilvusClient, "drop_collection", like_a_server)
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
