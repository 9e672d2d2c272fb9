"""The command ``python -m index.add NAME.index IMAGES``: more references, without building anew."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from embedder.batches import report_left_out
from embedder.data.splits import Part, Protocol
from eval.command import run
from eval.errors import InputError
from eval.images import OnBadImage
from index.calibrate import calibrated_if_possible, say_unmeasured
from index.changes import added, relabelled, removed
from index.commit import Writer, staging, writing
from index.duplicates import Meeting, OnConflict, meet
from index.journal import Change, Tell, announce
from index.manifest import Manifest
from index.renewal import written
from index.search import Index
from index.segment import SegmentWriter, check_vectors
from index.source import Source, photos_source
from index.structure import searchable


def main(
    index: Path,
    images: str,
    *,
    split: Part = "all",
    protocol: Protocol = "auto",
    on_conflict: OnConflict = "error",
    relabel: bool = False,
    on_bad_image: OnBadImage = "skip",
    recalibrate: bool = False,
    dry_run: bool = False,
) -> Change:
    """Add labelled photos to an index: one step, done or not done. Whoever has the index open keeps what he has.

    A photo that is there already with the same label is left alone, so the same command may be given twice.

    Args:
        index: an index folder.
        images: a folder with one folder of photos a class, a .csv or .parquet table, NAME:ROOT, or an embeddings folder
            made by the index's own embedder.
        split: which part of the photos.
        protocol: what divides them; auto takes what the source declares.
        on_conflict: stop where a photo stands under another label, here or in the index; keep the first; skip the
            photo; or keep both.
        relabel: give references that are there under another label the new one.
        on_bad_image: leave unreadable photos out with a count, or stop.
        recalibrate: measure anew what may be promised about answers.
        dry_run: say what would be done, and do nothing; photos are not opened, so fewer may be added.

    Returns:
        What was done.
    """
    opened = Index.open(index)
    source = photos_source(opened, images, split, protocol, on_conflict, on_bad_image)
    change = Change("add", details={"images": images})
    return add(
        opened, source, change, on_conflict=on_conflict, relabel=relabel, dry_run=dry_run, recalibrate=recalibrate
    )


def add(
    opened: Index,
    source: Source,
    change: Change,
    *,
    on_conflict: OnConflict,
    relabel: bool,
    dry_run: bool,
    recalibrate: bool = False,
    tell: Tell = announce,
) -> Change:
    """Add the photos of a source, embedding them before anybody else is kept from writing.

    Args:
        opened: the index.
        source: the photos.
        change: what the journal is told, but for the counts.
        on_conflict: what to do with a photo that is there under another label.
        relabel: give the reference the new label instead.
        dry_run: only say what would be done.
        recalibrate: calibrate the index anew in the same step.
        tell: is told what has been done.

    Raises:
        InputError: as for ``meet``, or the index has been given another embedder meanwhile.
    """

    def met(index: Index) -> Meeting:
        return meet(index.known(source.ids), source.ids, source.labels, source.paths, on_conflict, relabel)

    meeting = met(opened)
    unchanged = not (meeting.new or meeting.relabelled)
    if dry_run or unchanged:
        if unchanged and recalibrate:
            say_unmeasured(opened.folder)
        counted = change.counting(**_counts(source, meeting, meeting.new, source.left_out))
        report_left_out(source.left_out)
        tell(opened.folder, counted, opened.generation, dry_run, source.unopened)
        return counted
    if recalibrate:
        check_vectors(opened.manifest, opened.folder)  # which had better fail before photos are embedded than after
    with (
        staging(opened.folder) as new_files,
        SegmentWriter(new_files, opened.fingerprint, opened.manifest.dimension) as references,
    ):
        rows, left_out = _embedded(source, meeting.new, references)
        with writing(opened.folder) as writer:
            if writer.before != opened.manifest:
                opened = _opened_again(opened)
                meeting = met(opened)
            shared = on_conflict == "both" and meeting.conflicts + source.conflicts > 0
            after = _grown(writer, opened, references, rows, meeting, shared, new_files)
            counted = change.counting(**_counts(source, meeting, {*meeting.new} & {*rows}, left_out))
            if after != opened.manifest:
                if recalibrate:
                    after = calibrated_if_possible(after, opened.folder, new_files, writer.generation)
                writer.commit(after, counted, new_files)
    report_left_out(left_out)
    tell(opened.folder, counted, opened.generation if after == opened.manifest else writer.generation)
    return counted


def _grown(
    writer: Writer,
    now: Index,
    references: SegmentWriter,
    rows: list[int],
    meeting: Meeting,
    shared: bool,
    new_files: Path,
) -> Manifest:
    """The generation with new references, and with what becomes of those that they meet, or share an id with."""
    after = replace(now.manifest, shared_ids=now.manifest.shared_ids or shared)
    if rows:
        after = added(writer, after, references, new_files)
        after = removed(after, _twice(now, rows, meeting))
    else:  # of the segment that was begun nothing is left
        references.discard()
    after = relabelled(removed(after, meeting.removed), meeting.relabelled)
    return searchable(after, writer.folder, new_files, writer.generation) if rows else after


def _opened_again(opened: Index) -> Index:
    """An index as others have left it while photos were embedded, but not one that was built anew."""
    now = Index.open(opened.folder)
    before, after = opened.manifest, now.manifest
    if (after.fingerprint, after.images_root) != (before.fingerprint, before.images_root):
        raise InputError(f"{opened.folder} has been built anew meanwhile; run the command again")
    return now


def _twice(now: Index, rows: list[int], meeting: Meeting) -> list[int]:
    """Of the rows that have just been added, those that another writer has added meanwhile as well."""
    new = {*meeting.new}
    return [now.manifest.rows + place for place, row in enumerate(rows) if row not in new]


def _embedded(source: Source, new: list[int], references: SegmentWriter) -> tuple[list[int], list[dict[str, str]]]:
    """Write the references of some photos; the rows of those that could be read, and the photos that could not."""
    places, left_out = written(source.references(new), references) if new else ([], [])
    return [new[place] for place in places], [*source.left_out, *left_out]


def _counts(
    source: Source, meeting: Meeting, new: Collection[int], left_out: Sequence[dict[str, str]]
) -> dict[str, int]:
    """What an addition does, in numbers."""
    return {
        "added": len(new),
        "there_already": meeting.there_already + source.copies,
        "relabelled": len(meeting.relabelled),
        "removed": len(meeting.removed),
        "conflicts": meeting.conflicts + source.conflicts,
        "unreadable": len(left_out),
    }


if __name__ == "__main__":
    run(main)
