"""The command ``python -m index.build EMBEDDER IMAGES --out NAME.index``: labelled photos become an index."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from embedder.batches import check_readable, report_left_out
from embedder.data.splits import Part, Protocol
from embedder.embed import open_inputs
from embedder.runtime import Embedder
from eval.command import run
from eval.errors import InputError, counted
from eval.files import already_made, at_home
from eval.folders import checksum, read_manifest
from eval.images import OnBadImage
from index.calibrate import calibrated_if_possible
from index.calibration import By
from index.collection import milvus_index
from index.commit import staging, writing
from index.duplicates import OnConflict
from index.journal import Change
from index.kinds import wanted_search
from index.manifest import KIND, Collection, Manifest, Search
from index.milvus_client import connect, new_address
from index.renewal import written
from index.search import Index
from index.segment import SegmentWriter
from index.source import Place, Source, catalog_source, embeddings_source, folder_kind
from index.store import current
from index.structure import searchable


def main(
    embedder: Path,
    images: str,
    *,
    out: Path,
    kind: str = "auto",
    target_recall: float = 0.99,
    max_memory: str | None = None,
    split: Part = "all",
    protocol: Protocol = "auto",
    on_conflict: OnConflict = "error",
    on_bad_image: OnBadImage = "skip",
    milvus: str | None = None,
    by: By = "neighbours",
    overwrite: bool = False,
) -> Path:
    """Build an index of labelled photos: one folder that answers queries on any machine.

    Args:
        embedder: a run folder or an embedder.onnx.
        images: a folder with one folder of photos a class, a .csv or .parquet table, NAME:ROOT, or an embeddings folder
            made by the same embedder, which may be larger than the memory.
        out: the index folder.
        kind: how it is searched: flat (every reference is compared, so it is exact), hnsw, ivf, ivfpq, sq, or any
            factory string of FAISS; auto is exact for as long as that is fast, and takes what suits the size then.
        target_recall: the share of the ten nearest references that a kind which is not exact is tuned to find.
        max_memory: what the search may keep in memory, such as 2GB; auto takes what fits.
        split: which part of the photos.
        protocol: what divides them; auto takes what the source declares.
        on_conflict: stop where the same photo stands under several labels, keep the first, skip the photo, or keep
            both.
        on_bad_image: leave unreadable photos out with a count, or stop.
        milvus: where the vectors go instead of into the folder: the address of a Milvus, such as http://host:19530, or
            a path that ends in .db, for Milvus Lite. What opens it is in the environment variable MILVUS_TOKEN.
        by: who votes on a photo where the index can be calibrated: its nearest references, the prototypes of classes
            (the mean of each class's references), or both.
        overwrite: make the index anew; whoever has it open keeps the old one.

    Returns:
        The index folder.
    """
    model, made_from, source = _opened(embedder, images, split, protocol, on_conflict, on_bad_image)
    search = wanted_search(kind, target_recall, max_memory, model.dimension)
    made_from |= {
        "kind": kind,
        "target_recall": target_recall,
        "max_memory": search.max_memory,
        "on_conflict": on_conflict,
    }
    if by != "neighbours":  # as an index that was built before there was a choice
        made_from["by"] = by
    if milvus is not None:
        milvus_index(search, 0, model.dimension)
        made_from["milvus"] = new_address(milvus)
    before = current(out)
    if before and already_made(out, KIND, made_from, overwrite, complete=on_bad_image == "error"):
        print(f"{out} is made already", file=sys.stderr)
    else:
        _build(model, images, source(), out, before, search, made_from)
    print(out)
    return out


def _opened(
    embedder: Path, images: str, split: Part, protocol: Protocol, on_conflict: OnConflict, on_bad_image: OnBadImage
) -> tuple[Embedder, dict[str, Any], Callable[[], Source]]:
    """The network, what names it and the photos in a manifest, and what looks for copies among the photos."""
    folder = at_home(images)
    found = folder_kind(folder)
    if found == "index":
        raise InputError(f"{images} is an index already; give it another embedder or kind with index.rebuild")
    if found == "embeddings":
        if split != "all":
            raise InputError(f"{images} is an embeddings folder, which has no parts; leave --split away")
        model = Embedder.open(embedder)
        manifest = read_manifest(folder, "embeddings")
        place = Place(model.fingerprint, model.dimension, Path(manifest.get("images_root") or ".").absolute())
        made_from = {
            "embedder": model.fingerprint,
            "embeddings": checksum(manifest),
            "photos": manifest.get("count"),
            "images_root": str(place.images_root),
        }
        return model, made_from, lambda: embeddings_source(place, folder, on_conflict, on_bad_image)
    model, catalog, made_from = open_inputs(embedder, images, split, protocol)
    catalog.check_labelled("an index")
    place = Place(model.fingerprint, model.dimension, catalog.root)
    return model, made_from, lambda: catalog_source(place, lambda: model, catalog, on_conflict, on_bad_image)


def _build(
    model: Embedder,
    images: str,
    source: Source,
    out: Path,
    before: Manifest | None,
    search: Search,
    made_from: dict[str, Any],
) -> None:
    """Embed the photos and commit them as the next generation, in the place of all that was there before."""
    milvus = None
    if address := made_from.get("milvus"):
        connect(address, make=True)  # which had better fail before the photos are embedded than after
        milvus = Collection(address, before.milvus.name if before and before.milvus else "")
    with staging(out) as new_files, SegmentWriter(new_files, model.fingerprint, model.dimension) as references:
        embedder, trained_on = copy_embedder(model, new_files)
        _, left_out = written(source.references(range(len(source.ids))), references)
        check_readable(left_out, len(source.ids), made_from["images_root"])
        with writing(out) as writer:
            if writer.before != before:
                raise InputError(f"{out} has been changed by another program meanwhile; run the command again")
            after = Manifest(
                fingerprint=model.fingerprint,
                dimension=model.dimension,
                segments=[references.finish(writer.generation)],
                milvus=milvus,
                embedder=embedder,
                trained_on=trained_on,
                search=search,
                images_root=made_from["images_root"],
                made_from=made_from,
                shared_ids=made_from["on_conflict"] == "both",
                left_out=[*source.left_out, *left_out],
            )
            after = searchable(after, out, new_files, writer.generation)
            after = calibrated_if_possible(after, out, new_files, writer.generation)
            counts = {"added": references.count, "removed": before.count if before else 0}
            writer.commit(after, Change("build", counts, {"images": images}), new_files)
    _report(source, out)


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


def _report(source: Source, out: Path) -> None:
    """Say on standard error what the index holds and what was left out."""
    index = Index.open(out)
    report_left_out(index.manifest.left_out, out)
    if source.copies:
        print(f"left out, because the same photo is there with the same label: {source.copies}", file=sys.stderr)
    if source.conflicts:
        choice = index.manifest.made_from["on_conflict"]
        print(f"photos under several labels: {source.conflicts}, treated as --on-conflict {choice}", file=sys.stderr)
    megabytes = sum(file.size for file in index.manifest.files.values()) / 1e6
    classes = counted(len(set(index.labels)), "class", "classes")
    print(f"{counted(index.count, 'reference', 'references')} of {classes}, {megabytes:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    run(main)
