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

    def before_last(opened: Index) -> tuple[Manifest, Change]:
        before = kept_before(index, opened.generation)
        if before is None:
            raise InputError(f"{index} is at generation {opened.generation} and keeps no generation before it")
        for name, file in before.files.items():
            file.check(index / name, limit=math.inf)
        generation = opened.generation
        undone = {"generation": generation, "command": command_of(index, opened.manifest.journal, generation)}
        change = Change("undo", {"references": before.count}, {TAKEN_BACK: undone})
        return taken_back(opened.manifest, before), change

    return change_index(index, before_last, dry_run)


if __name__ == "__main__":
    run(main)
