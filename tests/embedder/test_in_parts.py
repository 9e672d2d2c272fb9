import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedder import Embedder
from embedder.batches import embed_whole
from embedder.data.catalog import read_catalog
from embedder.embed import main
from embedder.in_parts import CatalogParts, Share, _Count, _follow, _make_one, embed_in_parts
from eval.embeddings import FILES, EmbeddingSet, join
from eval.errors import InputError
from eval.images import BadImage
from tests.embedder.hundred import BAD, write_hundred

MADE_FROM = {"photos": "these"}
SILENT = SimpleNamespace(update=lambda _: None)


@pytest.fixture
def photos(tmp_path):
    """A hundred photos, four of which cannot be read."""
    return write_hundred(tmp_path / "photos")


@pytest.fixture
def embedder(run_folder):
    return Embedder.open(run_folder)


def parts_of(out, **options):
    return CatalogParts(out, 100, MADE_FROM, size=32, **options)


def contents(folder):
    return [(folder / name).read_bytes() for name in FILES]


@pytest.fixture
def whole(embedder, photos, tmp_path):
    """What the photos give in one go, with parts of 32."""
    assert embed_in_parts(embedder, read_catalog(photos), parts_of(tmp_path / "whole"))
    return tmp_path / "whole"


def test_parts_are_joined_to_what_one_pass_gives(whole, embedder, photos):
    expected, left_out = embed_whole(embedder, read_catalog(photos))
    joined = EmbeddingSet.load(whole)
    assert len(left_out) == 4
    assert joined.table.equals(expected.table)
    np.testing.assert_allclose(joined.vectors, expected.vectors, atol=1e-6)
    assert (joined.fingerprint, joined.unreadable) == (expected.fingerprint, len(left_out))
    assert sorted(path.name for path in whole.parent.iterdir()) == ["photos", "whole"]


def test_what_is_interrupted_goes_on_where_it_was(whole, embedder, photos, tmp_path, monkeypatch, capsys):
    parts = parts_of(tmp_path / "vectors")
    vectors = Embedder.vectors

    def interrupted(self, batch):
        if len(batch) == 6:  # in the second part, two photos of eight cannot be read
            raise KeyboardInterrupt
        return vectors(self, batch)

    monkeypatch.setattr(Embedder, "vectors", interrupted)
    catalog = read_catalog(photos)
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(embedder, catalog, parts)
    assert [path.name for path in parts.paths if path.exists()] == ["000000"]
    assert not parts.out.exists()
    (parts.folder / ".000001.123.part").mkdir()  # a process that was killed while it wrote
    for number in range(32):  # no photo of a part that is made is opened again
        (photos / "wren" / f"{number:02}.png").unlink()
    monkeypatch.setattr(Embedder, "vectors", vectors)
    capsys.readouterr()
    assert embed_in_parts(embedder, catalog, parts)
    assert "100/100" in capsys.readouterr().err
    assert contents(parts.out) == contents(whole)
    assert not parts.folder.exists()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shares_of_several_processes_are_joined_by_the_last(whole, embedder, photos, tmp_path, monkeypatch, order):
    parts = parts_of(tmp_path / "vectors")
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in order:
        assert not parts.out.exists()
        monkeypatch.setenv("RANK", str(rank))
        joined = embed_in_parts(embedder, read_catalog(photos), parts)
        assert joined == (rank == order[-1])
    assert contents(parts.out) == contents(whole)
    assert not parts.folder.exists()


@pytest.mark.parametrize("removed", [True, False])
def test_another_machine_may_join_the_same_parts_meanwhile(whole, embedder, photos, tmp_path, monkeypatch, removed):
    """A lock of one machine does not keep out another one: whoever is the second finds that it is done."""
    parts = parts_of(tmp_path / "vectors")

    def joined_twice(paths, out, **options):
        join(paths, out, **options)
        if removed:
            parts.remove()
        join(paths, out, **options)

    monkeypatch.setattr("embedder.in_parts.join", joined_twice)
    assert embed_in_parts(embedder, read_catalog(photos), parts)
    assert contents(parts.out) == contents(whole)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_embedder_that_is_another_one_by_now_makes_nothing(embedder, photos, tmp_path):
    told = "has become another embedder while photos are embedded; run the command again"
    with pytest.raises(InputError, match=told):
        _make_one(embedder.path, "f" * 64, 1, read_catalog(photos), parts_of(tmp_path / "vectors"), Share(0, 1))


def test_several_jobs_make_the_same(whole, embedder, photos, tmp_path, capsys):
    parts = parts_of(tmp_path / "vectors")
    assert embed_in_parts(embedder, read_catalog(photos), parts, jobs=2)
    assert "100/100" in capsys.readouterr().err
    (vectors, _, manifest), expected = contents(parts.out), contents(whole)
    assert (vectors, manifest) == (expected[0], expected[2])
    assert EmbeddingSet.load(parts.out).table.equals(EmbeddingSet.load(whole).table)


def test_classes_that_are_not_in_every_part_keep_their_order(embedder, photos, tmp_path, monkeypatch):
    labels = ["cabb"[row // 32] for row in range(100)]
    table = tmp_path / "photos.csv"
    table.write_text("path,label\n" + "".join(f"wren/{row:02}.png,{label}\n" for row, label in enumerate(labels)))
    (tmp_path / "wren").symlink_to(photos / "wren")
    catalog = read_catalog(table)
    expected, _ = embed_whole(embedder, catalog)
    for jobs in (1, 2):
        parts = parts_of(tmp_path / f"vectors-{jobs}")
        assert embed_in_parts(embedder, catalog, parts, jobs)
        assert EmbeddingSet.load(parts.out).table.equals(expected.table)


@pytest.mark.parametrize("jobs", [(4, 4, 4), (1, 2, 5)])
def test_jobs_of_several_machines_have_each_part_once(jobs):
    done = []
    for rank in range(3):
        numbers = [number for share in Share(rank, 3).among(jobs[rank]) for number in share.numbers(100)]
        assert sorted(numbers) == [*Share(rank, 3).numbers(100)]  # what the bar counts
        done += numbers
    assert sorted(done) == [*range(100)]


def test_a_job_that_is_killed_is_said_to_be_so():
    killed = Future()
    killed.set_exception(BrokenProcessPool())
    with pytest.raises(InputError, match="a process was killed, perhaps for want of memory; what is done is kept"):
        _follow([killed], _Count(multiprocessing.get_context("spawn")), SILENT)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_jobs_end_with_the_process_that_has_begun_them(tmp_path):
    program = tmp_path / "begins.py"
    program.write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from embedder.in_parts import _Count, _take\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, initializer=_take, initargs=(_Count(context),))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as begun:
        job = int(begun.stdout.readline())
        os.kill(job, 0)
        begun.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and is_alive(job):
        time.sleep(0.05)
    assert not is_alive(job)


def is_alive(process):
    """Whether a process is at work: one that has ended may wait for somebody to ask how."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_to_be_made_anew_goes_on_too(run_folder, photos, tmp_path, monkeypatch):
    out = tmp_path / "vectors"
    monkeypatch.setattr("embedder.embed.CatalogParts", partial(CatalogParts, size=32))
    main(run_folder, str(photos), out=out)
    vectors = Embedder.vectors
    seen = []

    def interrupted(self, batch):
        seen.append(len(batch))
        if len(seen) == 6:
            raise KeyboardInterrupt
        return vectors(self, batch)

    monkeypatch.setattr(Embedder, "vectors", interrupted)
    monkeypatch.setattr("embedder.batches.prefetched", lambda work, items, **_: map(work, items))
    with pytest.raises(KeyboardInterrupt):
        main(run_folder, str(photos), out=out, overwrite=True)
    main(run_folder, str(photos), out=out, overwrite=True)
    assert len(seen) == 6 + 13 - 4  # the four pieces of the first part are not made again


def test_parts_of_another_size_are_something_else(embedder, photos, tmp_path, monkeypatch):
    catalog = read_catalog(photos)
    with monkeypatch.context() as patched:
        patched.setattr(CatalogParts, "joined", lambda *_: False)
        embed_in_parts(embedder, catalog, parts_of(tmp_path / "vectors"))
    with pytest.raises(InputError, match=r"vectors\.parts/000000 was made from something else"):
        embed_in_parts(embedder, catalog, CatalogParts(tmp_path / "vectors", 100, MADE_FROM, size=64))


def test_the_other_jobs_stop_where_one_fails():
    count = _Count(multiprocessing.get_context("spawn"))
    failed = Future()
    failed.set_exception(ZeroDivisionError())
    count.update(5)
    with pytest.raises(ZeroDivisionError):
        _follow([failed], count, SILENT)
    with pytest.raises(InputError, match="another process"):
        count.update(1)


def test_a_bad_photo_in_a_job_is_named(embedder, photos, tmp_path):
    parts = parts_of(tmp_path / "vectors", complete=True)
    with pytest.raises(BadImage, match=r"(07|40)\.png"):
        embed_in_parts(embedder, read_catalog(photos), parts, jobs=2)


def test_where_every_photo_counts_what_is_done_stays(embedder, photos, tmp_path):
    shutil.copy(photos / "wren" / "00.png", photos / "wren" / "07.png")
    parts = parts_of(tmp_path / "vectors", complete=True)
    with pytest.raises(BadImage, match=r"40\.png"):
        embed_in_parts(embedder, read_catalog(photos), parts)
    assert parts.missing(Share()) == [1, 2, 3]
    for name in BAD:
        shutil.copy(photos / "wren" / "00.png", photos / "wren" / name)
    assert embed_in_parts(embedder, read_catalog(photos), parts)
    assert EmbeddingSet.load(parts.out).unreadable == 0


def test_parts_with_photos_left_out_are_made_anew_where_every_photo_counts(embedder, photos, tmp_path, monkeypatch):
    parts = parts_of(tmp_path / "vectors")
    with monkeypatch.context() as patched:
        patched.setattr(CatalogParts, "joined", lambda *_: False)
        embed_in_parts(embedder, read_catalog(photos), parts)
    with pytest.raises(BadImage, match=r"07\.png"):
        embed_in_parts(embedder, read_catalog(photos), parts_of(parts.out, complete=True))


def test_photos_that_none_could_be_read_of_are_tried_again(embedder, photos, tmp_path):
    for path in (photos / "wren").iterdir():
        path.write_text("none")
    parts = parts_of(tmp_path / "vectors")
    with pytest.raises(InputError, match="none of the 100 photos"):
        embed_in_parts(embedder, read_catalog(photos), parts)
    assert not parts.folder.exists()


def test_parts_of_something_else_are_neither_used_nor_lost(run_folder, photos, tmp_path, monkeypatch):
    out = tmp_path / "vectors"
    other = CatalogParts(out, 100, MADE_FROM)
    with monkeypatch.context() as patched:
        patched.setattr(CatalogParts, "joined", lambda *_: False)  # killed before its parts were joined
        embed_in_parts(Embedder.open(run_folder), read_catalog(photos), other)
    (other.folder / "mine.txt").write_text("a stranger")
    (other.folder / "202401").mkdir()
    with pytest.raises(InputError, match=r"vectors\.parts/000000 was made from something else .*--overwrite"):
        main(run_folder, str(photos), out=out)
    main(run_folder, str(photos), out=out, overwrite=True)
    assert len(EmbeddingSet.load(out)) == 96
    assert {path.name for path in other.folder.iterdir()} == {"mine.txt", "202401"}


def test_a_removal_that_is_interrupted_is_finished_by_the_next(run_folder, photos, tmp_path, monkeypatch):
    out = tmp_path / "vectors"
    other = CatalogParts(out, 100, MADE_FROM)
    with monkeypatch.context() as patched:
        patched.setattr(CatalogParts, "joined", lambda *_: False)
        embed_in_parts(Embedder.open(run_folder), read_catalog(photos), other)

    def interrupted(path, **options):
        (path / "manifest.json").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            main(run_folder, str(photos), out=out, overwrite=True)
    main(run_folder, str(photos), out=out, overwrite=True)
    assert len(EmbeddingSet.load(out)) == 96
    assert not other.folder.exists()


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("one", "2"), ("0", "")])
def test_a_share_that_cannot_be(rank, size, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(InputError, match=r"RANK is .* and WORLD_SIZE"):
        Share.of_this_process()


def test_the_commands(run_folder, photos, tmp_path):
    line = [sys.executable, "-m", "embedder.embed", str(run_folder), str(photos), "--out", str(tmp_path / "vectors")]

    def run(*more, **environment):
        return subprocess.run(
            [*line, *more], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )

    for rank, told in (("1", "this share is done"), ("0", "left out, because they cannot be read: 4")):
        done = run(RANK=rank, WORLD_SIZE="2")
        assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'vectors'}\n")
        assert told in done.stderr
    assert "is made already" in run("--jobs", "2").stderr
    wrong = run("--overwrite", RANK="0", WORLD_SIZE="2")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--overwrite" in wrong.stderr
    assert run("--jobs", "0").stderr == "error: jobs is 0; it must be at least 1\n"
