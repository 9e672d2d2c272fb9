"""The command ``python -m index.remove NAME.index --label L``: references that go."""

from pathlib import Path

from eval.command import run
from index.changes import change_index, removed
from index.journal import Change
from index.manifest import Manifest
from index.search import Index
from index.selection import asked, select


def main(
    index: Path,
    *,
    label: str | None = None,
    id: str | None = None,
    path: str | None = None,
    recalibrate: bool = False,
    dry_run: bool = False,
) -> Change:
    """Remove the references that fit all that is given, in one step; index.undo brings them back.

    Args:
        index: an index folder.
        label: all references of this class.
        id: the references of this photo.
        path: this photo, or all photos of this folder.
        recalibrate: measure anew what may be promised about answers.
        dry_run: say what would be done, and do nothing.

    Returns:
        What was done.
    """
    wanted = asked(label=label, id=id, path=path)

    def without(opened: Index) -> tuple[Manifest, Change]:
        rows = select(opened, label=label, id=id, path=path)
        return removed(opened.manifest, rows), Change("remove", {"removed": len(rows)}, {"of": wanted})

    return change_index(index, without, dry_run=dry_run, recalibrate=recalibrate)


if __name__ == "__main__":
    run(main)
