"""Where Milvus is: addresses, a server or a file that moves, packages that are not there."""

import importlib.util
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from eval.errors import InputError
from eval.files import read_json
from index import Index
from index.build import main as build
from index.milvus_client import parse_address
from tests.index.milvus.conftest import found

ROOT = Path(__file__).parents[3]


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
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert "vectors.db cannot be opened: Milvus Lite lets one program in at a time" in told


def test_files_alone_ask_for_nothing_of_it(twins):
    """Indexes in files are read without the packages."""
    script = """
    import sys
    from index import Index
    Index.open(sys.argv[1]).vectors
    assert not {"pymilvus", "milvus_lite", "grpc"} & set(sys.modules)
    """
    code = textwrap.dedent(script)
    subprocess.run([sys.executable, "-c", code, str(twins[1])], check=True, cwd=ROOT)
    assert read_json(twins[1] / "manifest.json")["milvus"] is None
