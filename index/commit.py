"""Committing the next generation of an index: a single step, done or not done.

A commit writes new files beside the old ones, flushes them, and then replaces ``manifest.json``, which names all of
them. Whatever happens, the manifest that is found names files that are whole. The files of the generation before stay,
so that a reader that has just read the old manifest still finds them, and so that the change can be taken back.
"""

import logging
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from eval.errors import InputError
from eval.files import MANIFEST, make_folder, replacing, sync, write_json
from eval.folders import File
from index.collection import settle
from index.journal import JOURNAL, Change, append
from index.manifest import Manifest
from index.store import current, is_ours, kept_before, kept_name

try:
    import fcntl
except ImportError:  # Windows, where an index can only be read
    fcntl = None  # type: ignore[assignment]

LOG = logging.getLogger("fieldmark.index")
"""Of what a command says on standard error, and a service in its log."""

LOCK = "index.lock"

PATIENCE: ContextVar[float | None] = ContextVar("patience", default=None)
"""Seconds that another writer is waited for; None for as long as it takes."""


class BusyError(InputError):
    """Another writer is at work, and has been waited for long enough."""


@dataclass(frozen=True)
class Writer:
    """The only one who may commit to an index folder, for as long as ``writing`` lasts.

    Attributes:
        folder: the index folder.
        before: the generation that is current; None where there is none yet.
        content: of its manifest's file; None likewise.
    """

    folder: Path
    before: Manifest | None
    content: bytes | None

    @property
    def generation(self) -> int:
        """The number of the commit that follows."""
        return self.before.generation + 1 if self.before else 1

    def commit(self, after: Manifest, change: Change, new_files: Path | None = None) -> None:
        """Make the next generation the current one.

        Args:
            after: the next generation.
            change: what the journal is told.
            new_files: a folder from ``staging`` with the files of ``after`` that ``before`` does not have.

        Raises:
            InputError: another generation is current by now.
        """
        files = {
            **after.files,
            **(self.before.files if self.before else {}),
            **(_flushed(new_files) if new_files else {}),
        }
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._check_still()
        try:
            for file in list(new_files.iterdir()) if new_files else []:
                os.replace(file, self.folder / file.name)
            after = replace(
                after,
                generation=self.generation,
                created=now,
                count=after.rows - len(after.deleted),
                files={name: files[name] for name in after.names()},
                journal=append(self.folder, self.before.journal if self.before else 0, self.generation, now, change),
            )
            if self.before:
                with replacing(self.folder / kept_name(self.before.generation)) as kept:
                    shutil.copyfile(self.folder / MANIFEST, kept)
            sync(self.folder)
            self._check_still()
            write_json(self.folder / MANIFEST, after.to_json())
        except BaseException:
            _remove_uncommitted(self.folder)
            raise
        settle(self.folder, after, self.before)  # first, as it reads a manifest that is removed
        _remove_older(self.folder, after, self.before)

    def _check_still(self) -> None:
        """Refuse to replace another generation than the one that this one follows.

        Locks keep other writers out, but not where a file system only pretends to have them, nor from a folder that was
        removed and made again.
        """
        if _content(self.folder) != self.content:
            raise InputError(f"{self.folder} has been changed by another program meanwhile; run the command again")


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """Be the only writer. The kernel gives the lock back when the process ends, however it ends.

    Raises:
        InputError: the folder holds something else than an index, or one that is damaged or of a newer version.
    """
    _need_locks()
    with _locked(folder) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            content = _content(folder)
            yield Writer(folder, current(folder), content)
        finally:
            if not (folder / MANIFEST).exists() and _is_lock_of(folder, file):  # nothing has been committed
                (folder / LOCK).unlink()


def _content(folder: Path) -> bytes | None:
    """What stands in the file of an index's manifest; None where there is none."""
    path = folder / MANIFEST
    return path.read_bytes() if path.exists() else None


def _locked(folder: Path) -> TextIO:
    """The file of the lock, held until it is closed; once more where it was removed while it was waited for."""
    while True:
        file = (folder / LOCK).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            other = file.read().strip() or "another writer"
            LOG.warning("waiting for %s to finish with %s", other, folder)
            _wait(file, other)
        if _is_lock_of(folder, file):
            return file
        file.close()


def _wait(file: TextIO, other: str) -> None:
    """Wait for another writer, as long as PATIENCE says."""
    patience = PATIENCE.get()
    if patience is None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                file.close()
                raise BusyError(
                    f"{other} has been changing the index for {patience:g} seconds; try again later"
                ) from None
            time.sleep(0.05)
        else:
            return


def _is_lock_of(folder: Path, file: TextIO) -> bool:
    """Whether an open file is still the one that other writers find; not where the folder was made again meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), (folder / LOCK).stat())
    except FileNotFoundError:
        return False


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a folder inside an index folder for the files of a commit, which nobody sees before it.

    While this process lives it holds a lock on it; what a killed one leaves is removed by the next commit. The index
    folder is made where there is none, and taken away again where nothing was committed.

    Raises:
        InputError: it is a link that leads to nothing.
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
    if folder.is_symlink() and not folder.exists():
        raise InputError(
            f"{folder} is a link that leads to nothing ({folder.readlink()}); remove it, or make what it names"
        )
    while True:
        make_folder(folder.absolute())
        with suppress(FileNotFoundError):
            path = folder.absolute() / f"staging-{secrets.token_hex(4)}"
            path.mkdir()
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def _need_locks() -> None:
    """Refuse to write where there are no kernel locks."""
    if fcntl is None:
        raise InputError("an index can be read on Windows but not written; write it on Linux or macOS")


def _flushed(folder: Path) -> dict[str, File]:
    """Flush the files of a folder to the disk, and describe them by name meanwhile."""
    files = [*folder.iterdir()]
    with ThreadPoolExecutor(max_workers=2) as pool:
        flushed = [pool.submit(sync, path) for path in files]
        described = {path.name: pool.submit(File.of, path) for path in files}
        for one in flushed:
            one.result()
        return {name: one.result() for name, one in described.items()}


def _remove_older(folder: Path, *kept: Manifest | None) -> None:
    """Remove what no kept generation names, and what killed writers have left."""
    keep = {MANIFEST, LOCK, JOURNAL}
    for generation in filter(None, kept):
        keep |= {kept_name(generation.generation), *generation.names()}
    for path in folder.iterdir():
        if path.name not in keep and is_ours(path):
            with suppress(OSError):  # somebody else's, who will remove it himself; the commit is done
                _remove_abandoned(path) if path.is_dir() else path.unlink()


def _remove_uncommitted(folder: Path) -> None:
    """Remove what a commit that failed has moved into the folder, as it may be the disk that is full."""
    with suppress(InputError, OSError):
        now = current(folder)
        _remove_older(folder, now, kept_before(folder, now.generation) if now else None)
        if now is None:
            (folder / JOURNAL).unlink(missing_ok=True)


def _remove_abandoned(staging_folder: Path) -> None:
    """Remove the staging folder of a process that has ended, unless it holds what no commit has made."""
    with suppress(FileNotFoundError, BlockingIOError):  # it has just been removed, or its process still lives
        descriptor = os.open(staging_folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(map(is_ours, staging_folder.iterdir())):
                shutil.rmtree(staging_folder)
        finally:
            os.close(descriptor)
