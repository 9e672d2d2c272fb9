"""The command ``python -m index.build EMBEDDER IMAGES --out NAME.index``: labelled photos become an index."""

import hashlib
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np

from embedder.data.catalog import Catalog
from embedder.data.splits import Part, Protocol
from embedder.embed import OnBadImage, check_readable, embed_catalog, open_inputs, report_left_out
from embedder.runtime import Embedder
from eval.command import run
from eval.errors import InputError
from eval.files import already_made
from eval.images import thumbnail
from index.calibrate import calibrated_if_possible
from index.calibration import By
from index.commit import staging, writing
from index.duplicates import Distinct, OnConflict, distinct
from index.journal import Change
from index.manifest import KIND, Manifest
from index.search import Index
from index.segment import SegmentWriter
from index.store import current

Kind = Literal["auto", "flat"]


def main(
    embedder: Path,
    images: str,
    *,
    out: Path,
    kind: Kind = "auto",
    split: Part = "all",
    protocol: Protocol = "auto",
    on_conflict: OnConflict = "error",
    on_bad_image: OnBadImage = "skip",
    by: By = "neighbours",
    overwrite: bool = False,
) -> Path:
    """Build an index of labelled photos: one folder that answers queries on any machine.

    Args:
        embedder: a run folder or an embedder.onnx.
        images: a folder with one folder of photos a class, a .csv or .parquet table, or NAME:ROOT.
        out: the index folder.
        kind: how it is searched; flat compares every reference and so is exact, auto takes what suits the size.
        split: which part of the photos.
        protocol: what divides them; auto takes what the source declares.
        on_conflict: stop where the same photo stands under several labels, keep the first, skip the photo, or keep
            both.
        on_bad_image: leave unreadable photos out with a count, or stop.
        by: who votes on a photo where the index can be calibrated: its nearest references, the prototypes of classes
            (the mean of each class's references), or both.
        overwrite: make the index anew; whoever has it open keeps the old one.

    Returns:
        The index folder.
    """
    model, catalog, made_from = open_inputs(embedder, images, split, protocol)
    catalog.check_labelled("an index")
    made_from |= {"kind": kind, "on_conflict": on_conflict}
    if by != "neighbours":  # as an index that was built before there was a choice
        made_from["by"] = by
    before = current(out)
    if before and already_made(out, KIND, made_from, overwrite, complete=on_bad_image == "error"):
        print(f"{out} is made already", file=sys.stderr)
    else:
        photos = distinct(catalog, on_conflict)
        _build(model, images, catalog.select(photos.rows), out, before, made_from, on_bad_image)
        _report(photos, out)
    print(out)
    return out


def _build(
    model: Embedder,
    images: str,
    catalog: Catalog,
    out: Path,
    before: Manifest | None,
    made_from: dict[str, Any],
    on_bad_image: OnBadImage,
) -> None:
    """Embed the photos and commit them as the next generation, in the place of all that was there before."""
    with staging(out) as new_files, SegmentWriter(new_files, model.fingerprint, model.dimension) as references:
        embedder, trained_on = copy_embedder(model, new_files)
        left_out = []
        for batch in embed_catalog(model, catalog, on_bad_image, on_photo=thumbnail):
            references.add(batch.embeddings, batch.extras)
            left_out += batch.left_out
        check_readable(left_out, catalog)
        with writing(out) as writer:
            if writer.before != before:
                raise InputError(f"{out} has been changed by another program meanwhile; run the command again")
            after = Manifest(
                fingerprint=model.fingerprint,
                dimension=model.dimension,
                segments=[references.finish(writer.generation)],
                embedder=embedder,
                trained_on=trained_on,
                images_root=str(catalog.root),
                made_from=made_from,
                shared_ids=made_from["on_conflict"] == "both",
                left_out=left_out,
            )
            after = calibrated_if_possible(after, out, new_files, writer.generation, made_from.get("by", "neighbours"))
            counts = {"added": references.count, "removed": before.count if before else 0}
            writer.commit(after, Change("build", counts, {"images": images}), new_files)


def copy_embedder(model: Embedder, folder: Path) -> tuple[str, str | None]:
    """Copy the network and the ids of the photos that it was trained on; named by their contents.

    Raises:
        InputError: another network lies in the file by now, such as that of a training that has just ended.
    """
    ids, content = model.trained_on, model.path.read_bytes()
    name = hashlib.sha256(content + "".join(sorted(ids or ())).encode()).hexdigest()[:16]
    copy = folder / f"embedder-{name}.onnx"
    copy.write_bytes(content)
    if Embedder.open(copy).fingerprint != model.fingerprint:
        raise InputError(f"{model.path} was replaced while it was read; give the same command again")
    if ids is None:
        return copy.name, None
    np.save(folder / f"trained_on-{name}.npy", np.array(sorted(ids), dtype="U32"), allow_pickle=False)
    return copy.name, f"trained_on-{name}.npy"


def _report(photos: Distinct, out: Path) -> None:
    """Say on standard error what the index holds and what was left out."""
    index = Index.open(out)
    report_left_out(index.manifest.left_out, out)
    if photos.copies:
        print(f"left out, because the same photo is there with the same label: {photos.copies}", file=sys.stderr)
    if photos.conflicts:
        choice = index.manifest.made_from["on_conflict"]
        print(f"photos under several labels: {photos.conflicts}, treated as --on-conflict {choice}", file=sys.stderr)
    megabytes = sum(file.size for file in index.manifest.files.values()) / 1e6
    classes = len(set(index.labels))
    print(f"{index.count} references of {classes} classes, {megabytes:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    run(main)
