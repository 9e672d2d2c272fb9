"""The index folder: opening one generation whole, and committing the next.

A commit writes new files beside the old ones, flushes them, and then replaces ``manifest.json``, which names all of
them. Whatever happens, the manifest that is found names files that are whole. The files of the generation before stay,
so that a reader that has just read the old manifest still finds them.
"""

import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import numpy as np

from eval.errors import InputError
from eval.files import MANIFEST, sync, write_json
from eval.folders import File, read_index
from index.manifest import Manifest
from index.segment import MappedSegment

try:
    import fcntl
except ImportError:  # Windows, where an index can only be read
    fcntl = None  # type: ignore[assignment]

LOCK = "index.lock"
OURS = re.compile(
    r"(vectors|references|thumbnails)-\d{6,}\.(faiss|feather|bin)|(embedder|trained_on)-\w+\.(onnx|npy)"
    r"|\.?manifest(-\d{6,})?\.json(\.\d+\.part)?|index\.lock"
)
"""Names that a commit gives to files: no others are ever removed."""

STAGING = re.compile(r"staging-\w{8}")
"""Names of the folders that a commit's files are made in."""


@dataclass(frozen=True)
class Store:
    """An index folder opened at one generation.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
        segments: the references, mapped into memory; they stay readable whatever is committed later.
    """

    folder: Path
    manifest: Manifest
    segments: tuple[MappedSegment, ...]

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open the current generation; start again where a file is gone because writers have been faster.

        Sizes, headers and the checksums of small files are verified; those of big files are not, as that takes
        reading them.

        Raises:
            InputError: there is no index, or it is damaged or of a newer version.
        """
        return read_index(folder, lambda contents: cls._opened(folder, Manifest.from_json(contents)))

    @classmethod
    def _opened(cls, folder: Path, manifest: Manifest) -> "Store":
        """Map the files of a generation."""
        return cls(folder, manifest, _map(folder, manifest))


def commit(folder: Path, before: Manifest | None, after: Manifest, new_files: Path) -> None:
    """Make the next generation of an index the current one: a single step, done or not done.

    Args:
        folder: the index folder.
        before: the generation that ``after`` was made from; None for the first.
        after: the next generation.
        new_files: a folder from ``staging`` with the files of ``after`` that ``before`` does not have.

    Raises:
        InputError: another writer has committed since ``before`` was read.
    """
    files = {**(before.files if before else {}), **_flushed(new_files)}
    after = replace(
        after,
        generation=next_generation(before),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        count=sum(segment.count for segment in after.segments) - len(after.deleted),
        files={name: files[name] for name in after.names()},
    )
    with _lock(folder):
        if next_generation(current(folder)) != after.generation:
            raise InputError(f"{folder} has been changed by another program meanwhile; run the command again")
        for file in list(new_files.iterdir()):
            os.replace(file, folder / file.name)
        if before:
            write_json(folder / _kept(before), before.to_json())
        sync(folder)
        write_json(folder / MANIFEST, after.to_json())
        _remove_older(folder, after, before)


def _map(folder: Path, manifest: Manifest) -> tuple[MappedSegment, ...]:
    """Map the segments of a generation into memory."""
    starts = accumulate((segment.count for segment in manifest.segments), initial=0)
    deleted = np.array(manifest.deleted, np.int64)
    return tuple(
        MappedSegment(folder, segment, manifest.dimension, start, deleted)
        for segment, start in zip(manifest.segments, starts, strict=False)
    )


def next_generation(before: Manifest | None) -> int:
    """The number of the commit that follows."""
    return before.generation + 1 if before else 1


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a folder inside an index folder for the files of a commit, which nobody sees before it.

    While this process lives it holds a lock on it; what a killed one leaves is removed by the next commit. The index
    folder is made where there is none, and taken away again where nothing was committed.
    """
    _need_locks()
    path, descriptor = _own_folder(folder)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)
        with suppress(OSError):  # it is not empty: the index is in it
            folder.rmdir()


def _own_folder(folder: Path) -> tuple[Path, int]:
    """Make a staging folder and lock it; once more where a commit took it for an abandoned one in between."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            path = Path(tempfile.mkdtemp(prefix="staging-", dir=folder.absolute()))
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def current(folder: Path) -> Manifest | None:
    """The current generation of an index; None where nothing has been committed to the folder.

    Raises:
        InputError: the folder holds something else, or the index is damaged or of a newer version.
    """
    if (folder / MANIFEST).exists():
        return Manifest.read(folder)
    if folder.exists() and not (folder.is_dir() and all(map(_is_ours, folder.iterdir()))):
        raise InputError(f"{folder} exists and is not an index; choose another name")
    return None


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Be the only writer. The kernel gives the lock back when the process ends, however it ends."""
    _need_locks()
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            print(f"waiting for {file.read().strip() or 'another writer'} to finish with {folder}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def _need_locks() -> None:
    """Refuse to write where there are no kernel locks."""
    if fcntl is None:
        raise InputError("an index can be read on Windows but not written; write it on Linux or macOS")


def _flushed(folder: Path) -> dict[str, File]:
    """Flush the files of a folder to the disk, and describe them by name."""
    for path in folder.iterdir():
        sync(path)
    return {path.name: File.of(path) for path in folder.iterdir()}


def _kept(manifest: Manifest) -> str:
    """The name under which a manifest is kept when it is no longer the current one."""
    return f"manifest-{manifest.generation:06}.json"


def _remove_older(folder: Path, *kept: Manifest | None) -> None:
    """Remove what no kept generation names, and what killed writers have left."""
    keep = {MANIFEST, LOCK}
    for generation in filter(None, kept):
        keep |= {_kept(generation), *generation.names()}
    for path in folder.iterdir():
        if path.name not in keep and _is_ours(path):
            _remove_abandoned(path) if path.is_dir() else path.unlink()


def _is_ours(path: Path) -> bool:
    """Whether a file or folder of an index folder is called as a commit calls such."""
    return not path.is_symlink() and bool((STAGING if path.is_dir() else OURS).fullmatch(path.name))


def _remove_abandoned(staging_folder: Path) -> None:
    """Remove the staging folder of a process that has ended, unless it holds what no commit has made."""
    with suppress(FileNotFoundError, BlockingIOError):  # it has just been removed, or its process still lives
        descriptor = os.open(staging_folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(map(_is_ours, staging_folder.iterdir())):
                shutil.rmtree(staging_folder)
        finally:
            os.close(descriptor)
