"""The command ``python -m embedder.embed EMBEDDER IMAGES --out FOLDER``: a catalog of photos becomes vectors."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from embedder.data.catalog import Catalog, read_catalog
from embedder.data.splits import Part, Protocol, part
from embedder.prefetch import batched, prefetched
from embedder.runtime import BATCH, Embedder
from eval.command import run
from eval.cores import available_cores
from eval.embeddings import CLASS_TRAINED_ON, FILES, PICTURE_HASH, TRAINED_ON, EmbeddingSet
from eval.errors import InputError
from eval.files import MANIFEST, already_made
from eval.images import BadImage, open_photo, picture_hash
from eval.rows import taken

OnBadImage = Literal["skip", "error"]
OnPhoto = Callable[[Image.Image], Any]

NAMED = 5
"""How many of the photos that were left out are named on standard error."""


@dataclass(frozen=True)
class Embedded:
    """One batch of a catalog, in the catalog's order.

    Attributes:
        embeddings: the vectors of the photos that could be read; its table is the catalog's with ``id`` first and
            last ``picture_hash`` and whether the embedder was trained on the photo (``trained_on``) and on a class of
            its label's name (``class_trained_on``).
        extras: what ``on_photo`` gave for each of them.
        left_out: the others, each as ``{"path": ..., "reason": ...}``.
        rows: the rows of the catalog that the embeddings are of.
    """

    embeddings: EmbeddingSet
    extras: list[Any]
    left_out: list[dict[str, str]]
    rows: Sequence[int]


@dataclass(frozen=True)
class _Prepared:
    """One photo on its way to the network."""

    id: str
    picture: int
    pixels: NDArray[np.uint8]
    extra: Any


def main(
    embedder: Path,
    images: str,
    *,
    out: Path,
    split: Part = "all",
    protocol: Protocol = "auto",
    on_bad_image: OnBadImage = "skip",
    overwrite: bool = False,
) -> Path:
    """Turn photos into an embeddings folder, for eval.recall and other tools.

    Args:
        embedder: a run folder or an embedder.onnx.
        images: a folder of photos, a .csv or .parquet table, or NAME:ROOT.
        out: the embeddings folder.
        split: which part of the photos.
        protocol: what divides them; auto takes what the source declares.
        on_bad_image: leave unreadable photos out with a count, or stop.
        overwrite: make the embeddings folder anew.

    Returns:
        The embeddings folder.
    """
    model, catalog, made_from = open_inputs(embedder, images, split, protocol)
    if already_made(out, "embeddings", made_from, overwrite, complete=on_bad_image == "error", names=FILES):
        print(f"{out} is made already", file=sys.stderr)
    else:
        embeddings, left_out = embed_whole(model, catalog, on_bad_image)
        embeddings.save(out, made_from=made_from, images_root=catalog.root, left_out=left_out)
        report_left_out(left_out, out)
    print(out)
    return out


def open_inputs(
    embedder: Path, images: str, split: Part, protocol: Protocol
) -> tuple[Embedder, Catalog, dict[str, Any]]:
    """Open what a command is given: the embedder, the asked part of the photos, and what names the two in a manifest.

    Raises:
        InputError: either is missing or damaged, or the part is empty.
    """
    model = Embedder.open(embedder)
    catalog = part(read_catalog(images), split, protocol)
    made_from = {
        "embedder": model.fingerprint,
        "catalog": catalog.digest(),
        "photos": len(catalog),
        "images_root": str(catalog.root),
        "split": split,
        "protocol": protocol,
    }
    return model, catalog, made_from


def embed_catalog(
    embedder: Embedder, catalog: Catalog, on_bad_image: OnBadImage = "skip", on_photo: OnPhoto | None = None
) -> Iterator[Embedded]:
    """Embed a catalog batch by batch, with a progress bar on standard error.

    Photos are decoded in threads while the network runs, a bounded number ahead, so that memory stays flat.

    Args:
        embedder: makes the vectors.
        catalog: the photos.
        on_bad_image: leave unreadable photos out, or stop at the first.
        on_photo: called with every decoded photo (its box only, where it has one), in a thread.

    Raises:
        BadImage: a photo cannot be read, and ``on_bad_image`` is ``error``.
    """
    prepare = partial(_prepare, embedder, catalog, on_photo)
    photos = prefetched(prepare, range(len(catalog)), threads=available_cores(), ahead=2 * BATCH)
    for batch in batched(enumerate(tqdm(photos, total=len(catalog), unit="photo")), BATCH):
        good = {row: photo for row, photo in batch if isinstance(photo, _Prepared)}
        bad = {row: photo for row, photo in batch if isinstance(photo, BadImage)}
        if bad and on_bad_image == "error":
            raise next(iter(bad.values()))
        left_out = [{"path": catalog.paths[row], "reason": error.reason} for row, error in bad.items()]
        extras = [photo.extra for photo in good.values()]
        yield Embedded(_embeddings(embedder, catalog, good), extras, left_out, list(good))


def embed_whole(
    embedder: Embedder, catalog: Catalog, on_bad_image: OnBadImage = "skip"
) -> tuple[EmbeddingSet, list[dict[str, str]]]:
    """Embed a catalog whose vectors fit into memory; see ``embed_catalog``.

    Returns:
        The photos that could be read, and the others, each as ``{"path": ..., "reason": ...}``.

    Raises:
        InputError: none of them could.
    """
    batches = list(embed_catalog(embedder, catalog, on_bad_image))
    left_out = [photo for batch in batches for photo in batch.left_out]
    check_readable(left_out, len(catalog), catalog.root)
    vectors = np.concatenate([batch.embeddings.vectors for batch in batches])
    table = pa.concat_tables([batch.embeddings.table for batch in batches])
    return EmbeddingSet(vectors, table, embedder.fingerprint), left_out


def check_readable(left_out: Sequence[dict[str, str]], photos: int, root: Path) -> None:
    """Refuse photos of which not one could be read.

    Args:
        left_out: those that could not, each as ``{"path": ..., "reason": ...}``.
        photos: how many there are.
        root: the folder that they are in.

    Raises:
        InputError: as many were left out as there are.
    """
    if len(left_out) == photos:
        first = f" (first: {left_out[0]['path']}: {left_out[0]['reason']})" if left_out else ""
        raise InputError(f"none of the {photos} photos in {root} can be read{first}")


def report_left_out(left_out: Sequence[dict[str, str]], folder: Path | None = None) -> None:
    """Say on standard error how many photos were left out and why, the first few by name.

    Args:
        left_out: photos as ``Embedded`` has them.
        folder: where the manifest lists all of them; none where nothing does.
    """
    if not left_out:
        return
    print(f"left out, because they cannot be read: {len(left_out)}", file=sys.stderr)
    for photo in left_out[:NAMED]:
        print(f"  {photo['path']}: {photo['reason']}", file=sys.stderr)
    if len(left_out) > NAMED:
        listed = f", listed in {folder / MANIFEST}" if folder else ""
        print(f"  and {len(left_out) - NAMED} more{listed}", file=sys.stderr)


def _prepare(embedder: Embedder, catalog: Catalog, on_photo: OnPhoto | None, row: int) -> _Prepared | BadImage:
    """Decode one photo, or return why that cannot be done."""
    try:
        name, image = open_photo(catalog.file(row), catalog.box(row))
    except BadImage as error:
        return error
    return _Prepared(name, picture_hash(image), embedder.preprocessing(image), on_photo(image) if on_photo else None)


def _embeddings(embedder: Embedder, catalog: Catalog, photos: dict[int, _Prepared]) -> EmbeddingSet:
    """Run the network on prepared photos, given by their row in the catalog."""
    table = taken(catalog.table, [*photos])
    ids = [photo.id for photo in photos.values()]
    table = table.add_column(0, "id", pa.array(ids, pa.string()))
    pictures = pa.array([photo.picture for photo in photos.values()], pa.uint64())
    table = table.append_column(PICTURE_HASH, pictures)
    table = table.append_column(TRAINED_ON, _among(ids, embedder.trained_on))
    labels = table["label"].to_pylist() if "label" in table.column_names else [None] * len(ids)
    table = table.append_column(CLASS_TRAINED_ON, _among(labels, embedder.classes_trained_on))
    vectors = np.empty((0, embedder.dimension), np.float32)
    if photos:
        vectors = embedder.vectors(np.stack([photo.pixels for photo in photos.values()]))
    return EmbeddingSet(vectors, table, embedder.fingerprint)


def _among(names: Sequence[str | None], seen: frozenset[str] | None) -> pa.Array:
    """For each name whether it has been seen; null where one or the other is not known."""
    return pa.array([None if seen is None or name is None else name in seen for name in names], pa.bool_())


if __name__ == "__main__":
    run(main)
