"""Who changed what in an index, and when: one line of JSON a commit.

The file only grows. What counts is as many of its bytes as the manifest says; beyond them may lie the line of a commit
that was never completed, which the next commit overwrites.
"""

import getpass
import json
import os
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.files import flush
from eval.folders import damaged

JOURNAL = "journal.jsonl"


@dataclass(frozen=True)
class Change:
    """What a commit does.

    Attributes:
        command: what was asked for, such as ``add``.
        counts: how many references were ``added``, ``removed``, ``relabelled``, and the like.
        details: what else is worth knowing, such as the labels or the source.
    """

    command: str
    counts: dict[str, int] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def counting(self, **counts: int) -> "Change":
        """The same change with its numbers; those that are 0 say nothing."""
        return replace(self, counts={name: count for name, count in counts.items() if count})


def announce(folder: Path, change: Change, generation: int, dry_run: bool = False) -> None:
    """Say on standard output what a change does or would do.

    Args:
        folder: the index folder.
        change: what it is.
        generation: of the index, afterwards.
        dry_run: whether nothing has been done.
    """
    found = ", ".join(f"{name} {count}" for name, count in change.counts.items()) or "nothing to do"
    print(f"{folder}: {'would be: ' if dry_run else ''}{found}; generation {generation}")


def append(folder: Path, size: int, generation: int, when: str, change: Change) -> int:
    """Write one more line, on the disk when this returns.

    Args:
        folder: the index folder.
        size: bytes that count so far.
        generation: of the commit.
        when: in UTC as ISO 8601.
        change: what it does.

    Returns:
        Bytes that count from this commit on.
    """
    by = f"{_user()}@{socket.gethostname()}"
    entry = {"generation": generation, "when": when, "by": by, "command": change.command}
    line = json.dumps({**entry, **change.counts, **change.details}, ensure_ascii=False) + "\n"
    with os.fdopen(os.open(folder / JOURNAL, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
        kept = file.read(size)
        if len(kept) < size:  # somebody has cut it: what whole lines there are stay, for changes matter more
            size = kept.rfind(b"\n") + 1
        file.truncate(size)
        file.seek(size)
        file.write(line.encode())
        file.flush()
        flush(file.fileno())
        return file.tell()


def read_journal(folder: Path, size: int) -> list[dict[str, Any]]:
    """The entries of the commits up to a generation, the oldest first.

    Args:
        folder: the index folder.
        size: bytes that count, by that generation's manifest.

    Raises:
        InputError: the file is damaged.
    """
    path = folder / JOURNAL
    content = path.read_bytes()[:size] if path.exists() else b""
    if len(content) != size:
        raise damaged(path, f"it has {len(content)} bytes instead of {size}")
    try:
        return [json.loads(line) for line in content.split(b"\n")[:-1]]
    except ValueError as error:
        raise damaged(path, str(error)) from None


def _user() -> str:
    """Who is at work; a process of a container may be nobody by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
