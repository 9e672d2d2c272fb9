"""Who changed what in an index, and when: one line of JSON a commit.

The file only grows. What counts is as many of its bytes as the manifest says; beyond them may lie the line of a commit
that was never completed, which the next commit overwrites.
"""

import getpass
import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from eval.errors import InputError
from eval.files import flush
from eval.folders import damaged

JOURNAL = "journal.jsonl"

TAKEN_BACK = "taken_back"
"""The detail of an undo that names the change that it has taken back."""

COMMIT = ("generation", "when", "by", "command")
"""What every entry has, whatever its change does."""


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


class Tell(Protocol):
    """Whoever is told of a change; see ``announce``."""

    def __call__(
        self, folder: Path, change: Change, generation: int, dry_run: bool = False, unopened: bool = False
    ) -> None:
        """Be told what it does or would do."""


def announce(folder: Path, change: Change, generation: int, dry_run: bool = False, unopened: bool = False) -> None:
    """Say on standard output what a change does or would do.

    Args:
        folder: the index folder.
        change: what it is.
        generation: of the index, afterwards.
        dry_run: whether nothing has been done.
        unopened: whether photos that would be added have not been opened, so that they may be fewer.
    """
    back = {name: value for name, value in change.details.items() if name == TAKEN_BACK}
    counts = change.counts
    few = " (photos are not opened)" if unopened and "added" in counts else ""
    if few:
        counts = {"added up to" if name == "added" else name: count for name, count in counts.items()}
    found = in_words({**back, **counts}) or "nothing to do"
    print(f"{folder}: {'would be: ' if dry_run else ''}{found}{few}; generation {generation}")


def in_words(entry: Mapping[str, Any]) -> str:
    """What an entry of the journal, or a part of one, says of its change, for people."""
    return ", ".join(_said(name, value) for name, value in entry.items() if name not in COMMIT)


def _said(name: str, value: Any) -> str:
    """One thing that an entry says; what has nothing of its own to be said is said as it is."""
    match name, value:
        case "of", dict():
            return f"of {' and '.join(f'{which} {one}' for which, one in value.items())}"
        case "taken_back", dict():
            return f"taken back generation {value['generation']} ({value['command']})"
        case "answers", dict():
            shares = f"right {value['right_before']:.1%} before, {value['right_after']:.1%} after"
            return f"{value['photos']} answers: {shares}" if value["photos"] else "no answers"
        case "embedder", str():
            return f"embedder {value[:16]}"
        case _, float():
            return f"{name.replace('_', ' ')} {value:.1%}"
        case _:
            return f"{name.replace('_', ' ')} {value}"


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


def command_of(folder: Path, size: int, generation: int) -> str:
    """The command that made a generation, as ``read_journal`` takes what it is in; "unknown" where it is not told."""
    with suppress(InputError):  # it is not what matters most
        for entry in read_journal(folder, size):
            if entry.get("generation") == generation:
                return str(entry.get("command"))
    return "unknown"


def _user() -> str:
    """Who is at work; a process of a container may be nobody by name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
