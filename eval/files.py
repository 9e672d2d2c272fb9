"""Writing that cannot be half done, and knowing what was made from what.

A file or folder is written beside its final name, flushed to the disk and renamed: at every moment the old one or the
new one is there, whole.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from eval.errors import InputError

_TOKEN = uuid4().hex[:8]
MANIFEST = "manifest.json"

INDENTED = 200_000
"""Characters of JSON up to which it is indented, which takes twenty times as long."""


def at_home(path: Path | str) -> Path:
    """A path with the home folder in the place of ``~``.

    Raises:
        InputError: it names the home folder of somebody who is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path} names the home folder of a user who is not known; write the path out") from None


def real_path(path: Path) -> Path:
    """The absolute path with no link in it; links that go round in a circle, which ``resolve`` refuses, stay."""
    return Path(os.path.realpath(path))


def _mine() -> str:
    """What no other process of any machine calls its files, though they may share a folder."""
    return f"{os.getpid()}-{_TOKEN}"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; it takes the place of ``path`` when the block ends without an error."""
    path = real_path(path)  # where a link leads, so that the link stays
    make_folder(path.parent)
    beside = path.with_name(f".{path.name}.{_mine()}.part")
    try:
        yield beside
        sync(beside)
        os.replace(beside, path)
        sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` to fill; it takes the place of ``folder`` when the block ends without an error.

    A folder that is already there is moved aside first, put back if anything fails, and deleted last. (No system can
    swap two folders in one step; killed between its two renames, this leaves the old one under a name that begins with
    a dot.)
    """
    folder = real_path(folder)  # likewise
    make_folder(folder.parent)
    beside = folder.with_name(f".{folder.name}.{_mine()}.part")
    aside = folder.with_name(f".{folder.name}.{_mine()}.old")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        yield beside
        for file in beside.rglob("*"):
            sync(file)
        sync(beside)
        if folder.exists():
            os.rename(folder, aside)
        os.rename(beside, folder)
        sync(folder.parent)
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        if aside.exists() and not folder.exists():
            os.rename(aside, folder)
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def alone(folder: Path, busy: str | None = None) -> Iterator[None]:
    """Let no other process into such a block for the same folder, which is made where it is missing.

    The kernel frees the folder when the process ends, however it ends. Windows has no such locks: there nobody waits.

    Args:
        folder: what is locked, as a whole.
        busy: what to say where another process is in; none waits for it.

    Raises:
        InputError: another process is in, and ``busy`` is given.
    """
    if sys.platform == "win32":
        folder.mkdir(parents=True, exist_ok=True)
        yield
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    descriptor = _opened(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:  # of the lock alone: the block may meet its own
            raise InputError(str(busy)) from None
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> int:
    """A descriptor of a folder, which is made again where another process has just removed it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; they are on the disk when this returns."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync(one.parent)


def sync(path: Path) -> None:
    """Flush a file's contents, or a folder's list of names, to the disk."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


def flush(descriptor: int) -> None:
    """Flush an open file to the disk; on macOS past the disk's own memory as well, which ``fsync`` there leaves out."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - not on Windows

        with suppress(OSError):  # a network's file system may not know it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, replacing ``path`` in one step: indented for people, unless it is too much to read."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= INDENTED:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    with replacing(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: ``path`` is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}; make it, or download it, anew") from None


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def already_made(
    folder: Path,
    kind: str,
    made_from: dict[str, Any],
    overwrite: bool,
    *,
    complete: bool = False,
    names: Collection[str] | None = None,
) -> bool:
    """Whether ``folder`` already holds what would be made from ``made_from``.

    Args:
        folder: what would be made; where something else lies, it stays, whatever ``overwrite`` says.
        kind: the entry of this name in the manifest of what may be overwritten.
        made_from: compared with the entry of the same name; it must hold JSON values.
        overwrite: make it anew even if it is there.
        complete: what lists photos under ``left_out`` is not enough.
        names: what the whole folder will be replaced with; none where only some of its files are.

    Raises:
        InputError: a file or a folder of another kind is there, or one of this kind that was made from something else
            and ``overwrite`` is off, or that would be replaced although somebody has put something else into it, or a
            disk is mounted there.
    """
    if names is not None and os.path.ismount(real_path(folder)):
        raise InputError(f"{folder} is where a disk is mounted, which cannot be replaced; give a folder in it")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    manifest = _manifest(folder, kind)
    before = manifest["made_from"]
    differences = [
        f"{key} was {_short(before.get(key))} and is now {_short(made_from.get(key))}"
        for key in sorted({*before, *made_from})
        if before.get(key) != made_from.get(key)
    ]
    if differences and not overwrite:
        raise InputError(
            f"{folder} was made from something else ({'; '.join(differences)}); "
            "give another name, or --overwrite to make it anew"
        )
    if not overwrite and not (complete and manifest.get("left_out")):
        return True
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in names) if names is not None else []
    if strangers:
        raise InputError(f"{folder} would be made anew, and {strangers[0]} in it would be lost; move it out")
    return False


def _short(value: Any) -> str:
    """A value for people, who see in eight digits of a checksum that it is another."""
    return f"{value[:8]}..." if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else repr(value)


def _manifest(folder: Path, kind: str) -> dict[str, Any]:
    """The manifest of a folder of a kind; anything else is somebody's own and refused."""
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    if not (
        isinstance(manifest, dict) and manifest.get("kind") == kind and isinstance(manifest.get("made_from"), dict)
    ):
        raise InputError(f"{folder} exists and is not of the kind {kind!r}; choose another name")
    return manifest
