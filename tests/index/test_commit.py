import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval import files as files_room
from eval import folders
from eval.errors import InputError
from index import commit as commit_room
from index.commit import staging, writing
from index.journal import Change
from index.manifest import Manifest
from index.store import Store
from index.undo import main as undo

COMMITTING = """
import itertools, pathlib, sys
sys.path.insert(0, sys.argv[1])
from conftest import commit_vectors, unit
import numpy as np
for seed in itertools.count(int(sys.argv[3])):
    print(seed, flush=True)
    commit_vectors(pathlib.Path(sys.argv[2]), unit(np.random.default_rng(seed).normal(size=(5, 8))))
"""
"""Commits one segment after the other until it is killed, each announced by a line."""

DYING = """
import itertools, os, pathlib, shutil, sys
sys.path.insert(0, sys.argv[1])
from conftest import commit_vectors, unit
import numpy as np
vectors = unit(np.random.default_rng(2).normal(size=(5, 8)))
base = pathlib.Path(sys.argv[2])

def die_at(last):
    count = itertools.count()
    def hook(event, _):
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and next(count) == last:
            os._exit(9)
    sys.addaudithook(hook)

for last in itertools.count():
    folder = base.with_name(f"{last}.index")
    shutil.copytree(base, folder)
    child = os.fork()
    if child == 0:
        die_at(last)
        commit_vectors(folder, vectors)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
"""Commits a second segment again and again, and dies one file operation later each time."""


@pytest.fixture
def folder(tmp_path, add_vectors, random_vectors):
    return add_vectors(tmp_path / "a.index", random_vectors(5, seed=1))


def script(text, *arguments):
    return [sys.executable, "-c", text, str(Path(__file__).parent), *map(str, arguments)]


def check_whole(folder, random_vectors):
    """Generation g holds the segments 1 to g; returns g."""
    store = Store.open(folder)
    assert len(store.segments) == store.manifest.generation
    for number, segment in enumerate(store.segments, 1):
        np.testing.assert_array_equal(segment.vectors, random_vectors(5, seed=number))
        assert segment.table.num_rows == 5
    return store.manifest.generation


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_commit_keeps_the_generation_before_and_no_older(folder, add_vectors, random_vectors):
    for seed in (2, 3):
        add_vectors(folder, random_vectors(5, seed=seed))
    assert check_whole(folder, random_vectors) == 3
    assert {name for name in names(folder) if "manifest" in name} == {"manifest.json", "manifest-000002.json"}
    assert json.loads((folder / "manifest-000002.json").read_text())["generation"] == 2
    assert Manifest.read(folder).count == 15


def test_everything_is_on_the_disk_before_the_manifest_names_it(folder, add_vectors, random_vectors, monkeypatch):
    events, replacing = [], os.replace
    for room in (commit_room, files_room):
        monkeypatch.setattr(room, "sync", lambda path: events.append(("sync", path.name.split(".")[0] or path.name)))
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append(("replace", new.name)), replacing(old, new)))
    (folder.parent / "p" / "q").mkdir(parents=True)
    add_vectors(folder.parent / "p" / "q" / "r" / "b.index", random_vectors(5))
    assert events[:2] == [("sync", "q"), ("sync", "r")]
    del events[:2]
    new = ["embedder-0", "references-000001", "thumbnails-000001", "vectors-000001"]
    assert sorted(events[:4]) == [("sync", name) for name in new]
    assert sorted((kind, name.split(".")[0]) for kind, name in events[4:8]) == [("replace", name) for name in new]
    assert events[8] == ("sync", "b")
    assert [kind for kind, _ in events[9:]] == ["sync", "replace", "sync"]
    assert [name for _, name in events[10:]] == ["manifest.json", "b"]


def test_files_that_only_older_generations_need_are_removed(folder, add_vectors, random_vectors):
    first = Manifest.read(folder)
    add_vectors(folder, random_vectors(5, seed=2))
    for _ in range(2):
        with writing(folder) as writer:
            writer.commit(replace(writer.before, segments=writer.before.segments[-1:]), Change("test"))
    assert not set(first.segments[0].files) & names(folder)
    assert set(Manifest.read(folder).names()) <= names(folder)


def test_an_open_reader_outlives_its_files(folder, add_vectors, random_vectors):
    reader = Store.open(folder)
    test_files_that_only_older_generations_need_are_removed(folder, add_vectors, random_vectors)
    np.testing.assert_array_equal(reader.segments[0].vectors, random_vectors(5, seed=1))
    assert reader.segments[0].candidates(random_vectors(5, seed=1)[3:4], 1)[0, 0] == 3
    assert reader.segments[0].thumbnail(4) == b"JPEG of 4"


def test_readers_never_fail_while_generations_are_committed(folder, add_vectors, random_vectors):
    done, failures, seen = threading.Event(), [], set()

    def read():
        while not done.is_set():
            try:
                seen.add(check_whole(folder, random_vectors))
            except Exception as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for seed in range(2, 32):
        add_vectors(folder, random_vectors(5, seed=seed))
    done.set()
    reader.join()
    assert not failures
    assert len(seen) > 3


def test_a_reader_starts_again_where_a_file_has_just_gone(folder, random_vectors, monkeypatch):
    right = folders.read_manifest(folder, "index")
    gone = {**right, "files": {"vectors-000000.faiss": right["files"]["embedder-0.onnx"], **right["files"]}}
    read = iter([gone, gone, right])
    monkeypatch.setattr(folders, "read_manifest", lambda *_: next(read))
    assert Store.open(folder).manifest == Manifest.from_json(right)


def test_many_writers_at_once_go_one_by_one(folder):
    start, generations = threading.Barrier(8), []

    def write():
        start.wait()
        with writing(folder) as writer:
            writer.commit(writer.before, Change("test"))
            generations.append(writer.generation)

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert generations == list(range(2, 10))
    assert Store.open(folder).manifest.generation == 9


def test_a_writer_waits_for_another(folder, add_vectors, random_vectors, caplog):
    import fcntl

    with (folder / "index.lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = threading.Thread(target=add_vectors, args=(folder, random_vectors(5, seed=2)))
        writer.start()
        until = time.monotonic() + 20
        while "waiting for process" not in caplog.text and time.monotonic() < until:
            time.sleep(0.02)
        assert Manifest.read(folder).generation == 1
    writer.join()
    assert check_whole(folder, random_vectors) == 2
    assert f"waiting for process {os.getpid()} on " in caplog.text


def test_killed_at_random_moments(folder, random_vectors):
    dice = random.Random(0)
    generation = 1
    for _ in range(5):
        with subprocess.Popen(script(COMMITTING, folder, generation + 1), stdout=subprocess.PIPE) as writer:
            for _ in range(dice.randint(1, 3)):
                writer.stdout.readline()
            time.sleep(dice.uniform(0, 0.02))
            writer.kill()
        assert check_whole(folder, random_vectors) >= generation
        generation = Manifest.read(folder).generation
    assert generation > 1


def test_dying_at_every_file_operation_of_a_commit_leaves_the_old_or_the_new(folder, add_vectors, random_vectors):
    subprocess.run(script(DYING, folder), check=True)
    died = sorted(folder.parent.glob("[0-9]*.index"), key=lambda path: int(path.stem))
    generations = [check_whole(path, random_vectors) for path in died]
    assert generations == sorted(generations)
    assert generations[0] == 1
    assert generations[-2] == 2
    for path, generation in zip(died, generations, strict=True):
        add_vectors(path, random_vectors(5, seed=generation + 1))
        assert check_whole(path, random_vectors) == generation + 1
        assert not [name for name in names(path) if name.startswith(("staging-", ".manifest"))]


def test_the_staging_folder_of_a_living_writer_stays(folder, add_vectors, random_vectors):
    with staging(folder) as living:
        add_vectors(folder, random_vectors(5, seed=2))
        assert living.is_dir()
    assert not living.exists()


def test_what_no_commit_has_made_stays(folder, add_vectors, random_vectors):
    for name in ("staging-thenotes", "vectors-000000.faiss.bak"):
        (folder / name).touch()
    for name in ("staging-ab", "new-pictures", "../elsewhere"):
        (folder / name).mkdir()
    (folder / "staging-pictures").mkdir()
    (folder / "staging-pictures" / "holiday.jpg").touch()
    (folder / "staging-linktoit").symlink_to(folder.parent / "elsewhere")
    (folder / "staging-abandone").mkdir()
    (folder / "staging-abandone" / "vectors-000002.faiss").touch()
    before = names(folder)
    add_vectors(folder, random_vectors(5, seed=2))
    assert before - names(folder) == {"staging-abandone"}
    assert (folder / "staging-pictures" / "holiday.jpg").exists()


def test_a_generation_that_has_come_in_between_is_not_replaced(folder, add_vectors, random_vectors, monkeypatch):
    """On file systems that only pretend to have locks."""
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(InputError, match="has been changed by another program meanwhile"), writing(folder) as writer:
        add_vectors(folder, random_vectors(5, seed=2))
        writer.commit(replace(writer.before, segments=writer.before.segments[:1]), Change("test"))
    assert (Manifest.read(folder).generation, Manifest.read(folder).rows) == (2, 10)
    Store.open(folder)


def test_an_index_that_was_made_again_meanwhile_is_not_replaced(folder, add_vectors, random_vectors):
    with pytest.raises(InputError, match="has been changed by another program meanwhile"), writing(folder) as writer:
        shutil.rmtree(folder)
        add_vectors(folder, random_vectors(7, seed=3))
        writer.commit(writer.before, Change("test"))
    assert Manifest.read(folder).rows == 7
    Store.open(folder)


def test_a_lock_that_was_removed_while_it_was_waited_for_is_taken_anew(folder, monkeypatch):
    import fcntl

    flock, taken = fcntl.flock, []

    def removed_meanwhile(file, how):
        flock(file, how)
        taken.append(file)
        if len(taken) == 1:
            (folder / "index.lock").unlink()

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with writing(folder):
        assert len(taken) == 2
        assert (folder / "index.lock").exists()


def test_a_commit_that_fails_late_leaves_nothing(folder, add_vectors, random_vectors, monkeypatch):
    add_vectors(folder, random_vectors(5, seed=2))
    before = names(folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commit_room, "append", full)
    with pytest.raises(OSError, match="No space left"):
        add_vectors(folder, random_vectors(5, seed=3))
    assert names(folder) == before
    monkeypatch.undo()
    undo(folder)
    assert Store.open(folder).manifest.rows == 5


def test_where_nothing_was_committed_nothing_is_left(tmp_path):
    with pytest.raises(ZeroDivisionError), staging(tmp_path / "a.index"), writing(tmp_path / "a.index"):
        1 / 0  # noqa: B018 - something fails
    assert not (tmp_path / "a.index").exists()


def test_a_first_commit_that_fails_late_leaves_nothing(tmp_path, add_vectors, random_vectors, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(commit_room, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        add_vectors(tmp_path / "new.index", random_vectors(5))
    assert not (tmp_path / "new.index").exists()


def test_the_lock_of_an_index_that_is_being_made_again_stays(folder):
    with ExitStack() as other:
        with pytest.raises(ZeroDivisionError), writing(folder):
            shutil.rmtree(folder)
            folder.mkdir()
            other.enter_context(writing(folder))
            1 / 0  # noqa: B018 - something fails
        assert (folder / "index.lock").exists()


def test_a_link_that_leads_to_nothing_is_no_place_for_an_index(tmp_path):
    for name, target in (("away.index", tmp_path / "gone"), ("loop.index", tmp_path / "loop.index")):
        (tmp_path / name).symlink_to(target)
        message = rf"{name} is a link that leads to nothing \(.*; remove it"
        with pytest.raises(InputError, match=message), staging(tmp_path / name):
            pass


def test_a_staging_folder_that_was_taken_for_abandoned_is_made_again(tmp_path, monkeypatch):
    import fcntl

    flock, taken = fcntl.flock, []

    def late(descriptor, operation):
        if not taken:
            (one,) = tmp_path.glob("staging-*")
            taken.append(one)
            one.rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with staging(tmp_path) as new_files:
        assert new_files.is_dir()
        assert new_files not in taken


def test_a_new_folder_goes_again_where_nothing_was_committed(tmp_path):
    with pytest.raises(ZeroDivisionError), staging(tmp_path / "a.index"):
        raise ZeroDivisionError
    assert not (tmp_path / "a.index").exists()
