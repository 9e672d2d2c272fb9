"""What the disk holds after a crash of the machine at any moment of a commit.

A killed process loses nothing that the system has cached; a machine that loses its power does. Here the file operations
of a commit are recorded, and a crash is made after each of them: of a file the disk has what was last synced, of a
folder the names as of its last sync and any number of the changes of names after it, in their order.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from eval.embeddings import EmbeddingSet
from index import Index
from index.add import main as add
from index.check import main as check
from index.merge import main as merge
from index.rebuild import main as rebuild
from index.relabel import main as relabel
from index.remove import main as remove
from index.undo import main as undo
from tests.index.conftest import commit_vectors, unit

VECTORS = unit(np.random.default_rng(0).normal(size=(120, 8)))


class Recorder:
    """Records what a commit does to the names and files below a folder.

    Attributes:
        events: ``("name", path, file)`` for a new name or another file under it, ``("gone", path)``, ``("file", file,
            content)`` for a synced file and ``("folder", path)`` for a synced folder; files by their inode.
    """

    def __init__(self, folder, monkeypatch):
        self.folder, self.events = folder, []
        self.names = self.listed()
        for name in ("fsync", "replace", "rename", "unlink", "remove", "rmdir", "mkdir"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def listed(self):
        """Which file each name stands for."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            found[str(path.relative_to(self.folder))] = None if path.is_dir() else path.stat().st_ino
        return found

    def look(self):
        """Record which names have come and gone."""
        now = self.listed()
        for path in sorted({*now} | {*self.names}):
            if path not in now:
                self.events.append(("gone", path))
            elif path not in self.names or now[path] != self.names[path]:
                self.events.append(("name", path, now[path]))
        self.names = now

    def wrapped(self, name, real):
        def function(*arguments, **options):
            self.look()
            if name == "fsync":
                path = Path(f"/proc/self/fd/{arguments[0]}").readlink()
                if path.is_dir():
                    self.events.append(("folder", str(path.relative_to(self.folder))))
                elif self.folder in path.parents:
                    self.events.append(("file", path.stat().st_ino, path.read_bytes()))
            result = real(*arguments, **options)
            self.look()
            return result

        return function


def crashed(before, events, kept):
    """The names and contents on the disk after some events, with ``kept`` of the changes of names since the last sync.

    Args:
        before: contents by name and file.
        events: what has happened until the crash.
        kept: how many.
    """
    content = dict(before.values())
    names = {name: file for name, (file, _) in before.items()}
    waiting = []
    for event in events:
        match event:
            case ("file", file, data):
                content[file] = data
            case ("folder", synced):
                below = "" if synced == "." else f"{synced}/"
                for change in waiting:
                    if change[1].startswith(below):
                        apply(change, names)
                waiting = [change for change in waiting if not change[1].startswith(below)]
            case _:
                waiting.append(event)
    for change in waiting[:kept]:
        apply(change, names)
    return {name: content.get(file, b"") for name, file in names.items() if file is not None}, len(waiting)


def apply(change, names):
    """A change of names."""
    if change[0] == "gone":
        names.pop(change[1], None)
    else:
        names[change[1]] = change[2]


def on_disk(folder):
    """Contents by name and file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.read_bytes()) for path in files}


def held(folder):
    """Labels and vectors by id."""
    index = Index.open(folder)
    ids = index.table["id"].to_pylist()
    rows = np.flatnonzero(index.kept)
    return {(ids[row], index.label(row), index.vectors(rows[[place]]).tobytes()) for place, row in enumerate(rows)}


@pytest.fixture
def more(tmp_path):
    """Photos to add."""
    table = pa.table({"id": [f"{row:032x}" for row in range(100, 120)], "label": ["new"] * 20, "path": ["x.jpg"] * 20})
    EmbeddingSet(VECTORS[100:], table, "tiny").save(tmp_path / "more", made_from={}, images_root=None, left_out=[])
    return tmp_path / "more"


@pytest.fixture
def other(tmp_path):
    """Another index."""
    return commit_vectors(tmp_path / "other.index", VECTORS[:30], labels=["label-0"] * 30, thumbnail=b"")


CHANGES = {
    "add": lambda folder, more, other: add(folder, str(more)),
    "remove": lambda folder, more, other: remove(folder, label="label-1"),
    "relabel": lambda folder, more, other: relabel(folder, label="label-1", to="label-2"),
    "merge": lambda folder, more, other: merge(folder, other, on_conflict="both"),
    "rebuild": lambda folder, more, other: rebuild(folder, kind="ivf"),
    "undo": lambda folder, more, other: undo(folder),
}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="which file is synced is read from /proc")
@pytest.mark.parametrize("command", CHANGES)
def test_a_crash_leaves_the_old_or_the_new(command, more, other, tmp_path, monkeypatch):
    folder = commit_vectors(tmp_path / "a.index", VECTORS[:50], thumbnail=b"")
    commit_vectors(folder, VECTORS[50:100], thumbnail=b"")
    rebuild(folder, kind="hnsw")
    remove(folder, label="label-0")
    before, old = on_disk(folder), held(folder)
    with monkeypatch.context() as patch:
        recorder = Recorder(folder, patch)
        CHANGES[command](folder, more, other)
        recorder.look()
    new, events = held(folder), recorder.events
    generation = Index.open(folder).generation
    assert new != old or command == "rebuild"
    seen, looked_at = set(), set()
    for last in range(len(events) + 1):
        _, waiting = crashed(before, events[:last], 0)
        for kept in range(waiting + 1):
            files, _ = crashed(before, events[:last], kept)
            if frozenset(files.items()) not in looked_at:
                looked_at.add(frozenset(files.items()))
                place = written(files, tmp_path / "crashed.index")
                check(place)
                assert held(place) in (old, new)
                seen.add(Index.open(place).generation)
    assert seen == {generation - 1, generation}
    done = written(crashed(before, events, 0)[0], tmp_path / "done.index")
    assert Index.open(done).generation == generation, "the commit has returned, and is not on the disk"


def written(files, place):
    """A folder with some contents by name."""
    shutil.rmtree(place, ignore_errors=True)
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place
