"""From one generation's manifest to the next: what an addition, a removal and a new label make of it.

A change writes what is new and not the rest. But small segments at the end are joined with what is added, as in a
log-structured merge tree (O'Neil, Cheng, Gawlick and O'Neil 1996): n references that come one by one cost n log n
writes and leave log n segments, beside a bounded number of large ones.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from index.calibrate import calibrated_if_possible, say_unmeasured
from index.collection import moved
from index.commit import Writer, staging, writing
from index.journal import Change, Tell, announce
from index.manifest import Manifest, Segment
from index.search import Index
from index.segment import SegmentWriter, joined

LARGEST_JOINED = 8192
"""Rows; a larger segment is left alone by additions, so that one of them never writes much more than was added."""

MOST_LARGE = 64
"""Segments that may be left alone so: in a large index larger ones are joined too, as each takes two open files."""


def added(writer: Writer, before: Manifest, references: SegmentWriter, new_files: Path) -> Manifest:
    """The generation that has the references of a new segment as well, after all others.

    Args:
        writer: who commits it.
        before: the generation that it is added to.
        references: the new segment, not finished yet.
        new_files: the folder that it is written to.
    """
    segments = list(before.segments)
    joining: list[Segment] = []
    total = references.count
    while segments and segments[-1].count <= min(total, max(LARGEST_JOINED, before.rows // MOST_LARGE)):
        joining.insert(0, segments.pop())
        total += joining[0].count
        for name in joining[0].files:  # what is damaged must not be written anew as if it were right
            before.files[name].check(writer.folder / name, limit=math.inf)
    new = references.finish(0 if joining else writer.generation)
    if before.milvus:
        new = moved(before.milvus, new, new_files, before.rows, before.dimension)
    if joining:
        parts = [*((writer.folder, segment) for segment in joining), (new_files, new)]
        segment = joined(parts, new_files, writer.generation, before.dimension)
        for name in new.files:
            (new_files / name).unlink()
        new = segment
    return replace(before, segments=[*segments, new], changes=before.changes + references.count)


def removed(before: Manifest, rows: Iterable[int]) -> Manifest:
    """The generation in which some rows are no longer references."""
    deleted = {*before.deleted, *map(int, rows)}
    labels = {row: label for row, label in before.label_changes.items() if int(row) not in deleted}
    changes = before.changes + len(deleted) - len(before.deleted)
    return replace(before, deleted=sorted(deleted), label_changes=labels, changes=changes)


def taken_back(now: Manifest, before: Manifest) -> Manifest:
    """The generation that is again what one before it was.

    In Milvus a row is given once in a collection's life: what was added since stays there, deleted.
    """
    if now.milvus is None or now.milvus != before.milvus:
        return before
    gone = range(before.rows, now.rows)
    return replace(before, segments=now.segments, deleted=[*before.deleted, *gone])


def relabelled(before: Manifest, labels: Mapping[int, str]) -> Manifest:
    """The generation in which some rows have other labels."""
    changed = {str(int(row)): label for row, label in labels.items()}
    changes = before.changes + len(changed)
    return replace(before, label_changes={**before.label_changes, **changed}, changes=changes)


def change_index(
    folder: Path,
    make: Callable[[Index], tuple[Manifest, Change]],
    *,
    dry_run: bool = False,
    recalibrate: bool = False,
    tell: Tell = announce,
) -> Change:
    """Make one change to an index and commit it, with all other writers kept out.

    Args:
        folder: the index folder.
        make: what the next generation is, given the index as it is now, and what the journal is told.
        dry_run: only say what would be done.
        recalibrate: calibrate it anew in the same step.
        tell: is told what has been done.
    """
    if dry_run:
        opened = Index.open(folder)
        change = make(opened)[1]
        tell(folder, change, opened.generation, dry_run)
        return change
    Index.open(folder)  # where there is none, nothing is made
    with staging(folder) as new_files, writing(folder) as writer:
        opened = Index.open(folder)
        generation = opened.generation
        after, change = make(opened)
        if after != opened.manifest:
            if recalibrate:
                after = calibrated_if_possible(after, folder, new_files, writer.generation)
            writer.commit(after, change, new_files)
            generation = writer.generation
        elif recalibrate:
            say_unmeasured(folder)
    tell(folder, change, generation)
    return change
