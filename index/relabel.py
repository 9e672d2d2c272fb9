"""The command ``python -m index.relabel NAME.index --to LABEL --path P``: references that were labelled wrongly."""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.command import run
from eval.errors import InputError, close_names
from index.changes import change_index, relabelled, removed
from index.journal import Change
from index.manifest import Manifest
from index.search import Index
from index.selection import asked, select
from index.spellings import Spellings


def main(
    index: Path,
    *,
    to: str,
    label: str | None = None,
    id: str | None = None,
    path: str | None = None,
    recalibrate: bool = False,
    dry_run: bool = False,
) -> Change:
    """Give another label to the references that fit all that is given, in one step.

    A photo that is there under the new label as well, by its own choice (--on-conflict both), is then there once.

    Args:
        index: an index folder.
        to: the new label.
        label: all references of this class.
        id: the references of this photo.
        path: this photo, or all photos of this folder.
        recalibrate: measure anew what may be promised about answers.
        dry_run: say what would be done, and do nothing.

    Returns:
        What was done.
    """
    if not to:
        raise InputError("the new label is empty; give one: --to LABEL")

    def with_label(opened: Index) -> tuple[Manifest, Change]:
        rows = select(opened, label=label, id=id, path=path)
        name = Spellings({*opened.labels[np.setdiff1d(np.flatnonzero(opened.kept), rows)]}).find(to) or to
        if any(opened.label(row) != name for row in rows.tolist()):
            _tell_if_new(opened, name)
        return renamed(opened, rows, name, asked(label=label, id=id, path=path))

    return change_index(index, with_label, dry_run=dry_run, recalibrate=recalibrate)


def renamed(opened: Index, chosen: NDArray[np.int64], to: str, wanted: dict[str, str]) -> tuple[Manifest, Change]:
    """The generation in which some references have another label.

    Args:
        opened: the index as it is.
        chosen: rows of references.
        to: the new label.
        wanted: what the journal is told of which they are.
    """
    rows = [row for row in chosen.tolist() if opened.label(row) != to]
    ids = [opened.table["id"][row].as_py() for row in rows]
    kept: dict[str, int] = {}
    for row, name in zip(rows, ids, strict=True):
        kept.setdefault(name, row)
    there = {name for name, labels in opened.known(ids).items() if to in labels}
    changed = {row: to for name, row in kept.items() if name not in there}
    gone = [row for row in rows if row not in changed]
    after = relabelled(removed(opened.manifest, gone), changed)
    change = Change("relabel", details={"of": wanted, "to": to})
    return after, change.counting(relabelled=len(changed), removed=len(gone))


def _tell_if_new(index: Index, label: str) -> None:
    """Say on standard error that no reference has a label, which may be a slip, and which one is like it."""
    known = {*index.labels[index.kept]}
    if label not in known:
        nearest = [f"; the nearest that is there is {one!r}" for one in close_names(label, sorted(known))]
        print(f"{label!r} is a new label{''.join(nearest)}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
