"""The command ``python -m index.check NAME.index``: is everything in an index as it should be."""

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from embedder.runtime import AGREEMENT
from eval.command import run
from eval.errors import InputError, first_few
from eval.images import BadImage, open_photo
from eval.rows import taken
from index.journal import JOURNAL, read_journal
from index.manifest import Manifest
from index.references import box_of
from index.search import Index
from index.store import kept_before, kept_name

VECTORS_AT_ONCE = 1 << 16

TRIES = 5
"""How often an index that is being changed is looked at anew."""


def main(index: Path, *, deep: bool = False, sample: int = 64) -> Path:
    """Verify an index, byte by byte, and that what it says is consistent.

    Checksums of all files, also of those that index.undo would bring back; that the vectors are finite and of unit
    length; that no photo is there twice; that labels, thumbnails and the journal, which has no checksum, can be read.
    With --deep also that the photos still give the vectors that are stored.

    Args:
        index: an index folder.
        deep: embed a sample of the photos anew and compare.
        sample: how many photos that is.

    Returns:
        The index folder; what is wrong is an error that lists everything that was found.
    """
    if sample < 1:
        raise InputError(f"sample is {sample}; it must be at least 1")
    for _ in range(TRIES):
        opened = Index.open(index)
        found = [*_damaged_files(index, opened.manifest), *_damaged_before(opened)]
        if Manifest.read(index).generation <= opened.generation + 1:
            break  # otherwise files may be gone because two changes have been committed since
    else:
        if found:
            raise InputError(f"{index} has been changed again and again while it was read; check it when it is at rest")
    if not found:  # otherwise what follows would only say the same in other words
        found += [*_vectors(opened), *_references(opened), *_journal(opened)]
        if deep:
            found += _photos(opened, sample)
    if found:
        raise InputError(f"{index}: {'; '.join(found)}")
    manifest = opened.manifest
    print(
        f"{index}: whole. Generation {manifest.generation}, {manifest.count} references of "
        f"{len({*opened.labels[opened.kept]})} classes, {len(manifest.files)} files with right checksums"
        f"{f', {min(sample, manifest.count)} photos embedded anew' if deep else ''}"
    )
    return index


def _damaged_files(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Files of a generation that are not as they were written."""
    for name, file in manifest.files.items():
        try:
            file.check(folder / name, limit=math.inf)
        except (InputError, OSError) as error:
            yield str(error)


def _damaged_before(index: Index) -> Iterator[str]:
    """The same of the generation before, of files that only that one has."""
    found = []
    try:
        before = kept_before(index.folder, index.generation)
    except InputError as error:
        found.append(str(error))
    else:
        if before:
            others = {name: file for name, file in before.files.items() if name not in index.manifest.files}
            found += _damaged_files(index.folder, replace(before, files=others))
        elif index.generation > 1:
            kept = index.folder / kept_name(index.generation - 1)
            found.append(
                f"{kept} is missing, so the last change cannot be undone; it is kept again from the next one on"
            )
    if Manifest.read(index.folder).generation == index.generation:  # otherwise another writer has removed them
        yield from found


def _vectors(index: Index) -> Iterator[str]:
    """Vectors that are no directions."""
    wrong: list[int] = []
    for start in range(0, index.manifest.rows, VECTORS_AT_ONCE):
        vectors = index.vectors(np.arange(start, min(start + VECTORS_AT_ONCE, index.manifest.rows)))
        lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        wrong += (start + np.flatnonzero(~(np.abs(lengths - 1) <= 1e-3))).tolist()
    if wrong:
        yield f"{len(wrong)} vectors are not of unit length (rows {first_few([*map(str, wrong)])}); build it again"


def _references(index: Index) -> Iterator[str]:
    """References that are there twice, have no label, or whose thumbnail cannot be read."""
    for segment in index.segments:
        try:
            segment.table.validate(full=True)
        except pa.ArrowException as error:
            yield f"a table of references is damaged: {error}"
            return
    rows = np.flatnonzero(index.kept)
    ids = taken(index.table["id"], rows)
    labels = pa.array(index.labels[rows], pa.string())
    if labels.null_count:
        yield f"{labels.null_count} references have no label"
    once = pa.table({"id": ids, "label": labels}) if index.manifest.shared_ids else pa.table({"id": ids})
    counts = once.group_by(once.column_names).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if len(twice):
        named = first_few(twice["id"].to_pylist())
        yield f"{len(twice)} photos are there twice (ids {named}); remove them by --id, and add them again"
    broken = [row for row in rows.tolist() if not _is_picture(index.thumbnail(row))]
    if broken:
        yield f"{len(broken)} thumbnails cannot be read (rows {first_few([*map(str, broken)])})"


def _is_picture(content: bytes) -> bool:
    """Whether a thumbnail begins as one; an empty one belongs to a reference whose photo was not at hand."""
    try:
        if content:
            Image.open(io.BytesIO(content), formats=["JPEG"])
    except OSError:
        return False
    return True


def _journal(index: Index) -> Iterator[str]:
    """A journal that does not tell of every generation."""
    try:
        entries = read_journal(index.folder, index.manifest.journal)
    except InputError as error:
        yield str(error)
        return
    found = [entry.get("generation") if isinstance(entry, dict) else None for entry in entries]
    told = [one for one in found if isinstance(one, int)]
    if found != sorted({*told}):
        yield f"{index.folder / JOURNAL} is damaged: the generations that it tells of do not follow each other"
    elif not told or told[-1] != index.generation:
        yield f"the journal does not tell of generation {index.generation}"


def _photos(index: Index, sample: int) -> Iterator[str]:
    """Photos of a sample that are gone, are others now, or give other vectors."""
    rows = np.flatnonzero(index.kept)
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:sample]).tolist()
    root = Path(index.manifest.images_root)
    gone, other, pixels, kept = [], [], [], []
    for row in chosen:
        path, name = (index.table[column][row].as_py() for column in ("path", "id"))
        box = box_of(index, row)
        try:
            if path is None:
                raise BadImage(name, "has no path")
            found, image = open_photo(root / path, box, index.embedder.preprocessing.enough)
        except BadImage:
            gone.append(path or name)
            continue
        if found == name:
            pixels.append(index.embedder.preprocessing(image, index.embedder.cores, boxed=box is not None))
            kept.append(row)
        else:
            other.append(path)
    if gone:
        yield f"of {len(chosen)} photos {len(gone)} cannot be read in {root} (such as {gone[0]})"
    if other:
        yield f"of {len(chosen)} photos {len(other)} are others by now (such as {other[0]})"
    if pixels:
        cosines = np.einsum("nd,nd->n", index.embedder.vectors(np.stack(pixels)), index.vectors(np.array(kept)))
        if cosines.min() < AGREEMENT:
            yield f"photos give other vectors now: the least cosine of {len(pixels)} is {cosines.min():.5f}"


if __name__ == "__main__":
    run(main)
