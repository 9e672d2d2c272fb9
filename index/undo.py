"""The command ``python -m index.undo NAME.index``: the last change is taken back."""

import math
from pathlib import Path

from eval.command import run
from eval.errors import InputError
from index.changes import change_index, taken_back
from index.journal import TAKEN_BACK, Change, command_of
from index.manifest import Manifest
from index.search import Index
from index.store import kept_before


def main(index: Path, *, dry_run: bool = False) -> Change:
    """Bring back the generation before the last change, as a new one. Given twice, it brings the change back.

    Args:
        index: an index folder.
        dry_run: say what would be done, and do nothing.

    Returns:
        What was done.
    """
    return change_index(index, before_last, dry_run=dry_run)


def before_last(opened: Index) -> tuple[Manifest, Change]:
    """What the generation before the last change was, as the next one."""
    folder, generation = opened.folder, opened.generation
    before = kept_before(folder, generation)
    if before is None:
        raise InputError(f"{folder} is at generation {generation} and keeps no generation before it")
    for name, file in before.files.items():
        file.check(folder / name, limit=math.inf)
    undone = {"generation": generation, "command": command_of(folder, opened.manifest.journal, generation)}
    change = Change("undo", {"references": before.count}, {TAKEN_BACK: undone})
    return taken_back(opened.manifest, before), change


if __name__ == "__main__":
    run(main)
