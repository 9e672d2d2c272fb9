"""A catalog of photos becomes vectors, batch by batch."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from embedder.data.catalog import Catalog
from embedder.gpu import on_gpu
from embedder.prefetch import Progress, batched, prefetched
from embedder.runtime import BATCH, GPU_BATCH, Embedder
from eval.embeddings import CLASS_TRAINED_ON, PICTURE_HASH, TRAINED_ON, EmbeddingSet
from eval.errors import InputError
from eval.files import MANIFEST
from eval.images import BadImage, OnBadImage, open_photo, picture_hash
from eval.rows import taken
from eval.stages import stage

OnPhoto = Callable[[Image.Image], Any]

PIECE = 8
"""Photos that a core takes from their files to their vectors in one go. Always as many, whatever the cores, so that the
vectors are the same to the last bit; and few, because at the end the other cores wait for the last one."""

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
class _Photo:
    """What is known of one photo besides its vector."""

    id: str
    picture: int
    extra: Any


def embed_catalog(
    embedder: Embedder,
    catalog: Catalog,
    on_bad_image: OnBadImage = "skip",
    on_photo: OnPhoto | None = None,
    progress: Progress | None = None,
) -> Iterator[Embedded]:
    """Embed a catalog batch by batch.

    Each core takes photos from their files to their vectors, a bounded number ahead, so that memory stays flat. Where a
    GPU makes the vectors (see ``embedder.gpu``), the cores take photos to their pixels, ahead of it.

    Args:
        embedder: makes the vectors.
        catalog: the photos.
        on_bad_image: leave unreadable photos out, or stop at the first.
        on_photo: called with every decoded photo (its box only, where it has one, and see ``open_image``'s
            ``enough``), in a thread.
        progress: is told how many photos are done; by default a bar on standard error.

    Raises:
        BadImage: a photo cannot be read, and ``on_bad_image`` is ``error``.
    """
    cores, gpu = embedder.cores, on_gpu(embedder, catalog)
    work = (
        partial(_prepared, gpu, catalog, on_photo)
        if gpu
        else partial(_embedded, embedder.on_one_core, catalog, on_photo)
    )
    batch = GPU_BATCH if gpu else BATCH
    pieces = prefetched(work, batched(range(len(catalog)), PIECE), threads=cores, ahead=2 * batch // PIECE + 2 * cores)
    with nullcontext(progress) if progress is not None else tqdm(total=len(catalog), unit="photo") as bar:
        for some in batched(pieces, batch // PIECE):
            photos = {row: photo for piece, _ in some for row, photo in piece.items()}
            found = np.concatenate([found for _, found in some])
            vectors = gpu.vectors(found) if gpu else found
            good = {row: photo for row, photo in photos.items() if isinstance(photo, _Photo)}
            bad = {row: photo for row, photo in photos.items() if isinstance(photo, BadImage)}
            if bad and on_bad_image == "error":
                raise next(iter(bad.values()))
            left_out = [{"path": catalog.paths[row], "reason": error.reason} for row, error in bad.items()]
            with stage("table"):
                embeddings = EmbeddingSet(vectors, _table(embedder, catalog, good), embedder.fingerprint)
            bar.update(len(photos))
            yield Embedded(embeddings, [photo.extra for photo in good.values()], left_out, list(good))


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
    check_readable([photo for batch in batches for photo in batch.left_out], len(catalog), catalog.root)
    return gathered(batches)


def gathered(batches: Sequence[Embedded]) -> tuple[EmbeddingSet, list[dict[str, str]]]:
    """Batches, at least one, as one set, and the photos that they leave out."""
    vectors = np.concatenate([batch.embeddings.vectors for batch in batches])
    table = pa.concat_tables([batch.embeddings.table for batch in batches])
    left_out = [photo for batch in batches for photo in batch.left_out]
    return EmbeddingSet(vectors, table, batches[0].embeddings.fingerprint), left_out


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
        raise InputError(f"none of the {photos} photos in {root} can be read{first}; mend them, or give others")


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


def _embedded(
    embedder: Embedder, catalog: Catalog, on_photo: OnPhoto | None, rows: list[int]
) -> tuple[dict[int, _Photo | BadImage], NDArray[np.float32]]:
    """What is known of some photos, or why they cannot be read, and the vectors of those that can."""
    photos, pixels = _prepared(embedder, catalog, on_photo, rows)
    return photos, embedder.vectors(pixels)


def _prepared(
    embedder: Embedder, catalog: Catalog, on_photo: OnPhoto | None, rows: list[int]
) -> tuple[dict[int, _Photo | BadImage], NDArray[np.uint8]]:
    """The same with the pixels of those that can be read."""
    photos: dict[int, _Photo | BadImage] = {}
    pixels = np.empty((len(rows), *embedder.preprocessing.shape), np.uint8)
    readable = 0
    for row in rows:
        try:
            box = catalog.box(row)
            name, image = open_photo(catalog.file(row), box, embedder.preprocessing.enough)
        except BadImage as error:
            photos[row] = error
            continue
        with stage("hash, thumbnail"):
            photos[row] = _Photo(name, picture_hash(image), on_photo(image) if on_photo else None)
        pixels[readable] = embedder.preprocessing(image, boxed=box is not None)
        readable += 1
    return photos, pixels[:readable]


def _table(embedder: Embedder, catalog: Catalog, photos: dict[int, _Photo]) -> pa.Table:
    """What is known of photos, given by their row in the catalog."""
    table = taken(catalog.table, [*photos])
    ids = [photo.id for photo in photos.values()]
    table = table.add_column(0, "id", pa.array(ids, pa.string()))
    pictures = pa.array([photo.picture for photo in photos.values()], pa.uint64())
    table = table.append_column(PICTURE_HASH, pictures)
    table = table.append_column(TRAINED_ON, _among(ids, embedder.trained_on))
    labels = table["label"].to_pylist() if "label" in table.column_names else [None] * len(ids)
    return table.append_column(CLASS_TRAINED_ON, _among(labels, embedder.classes_trained_on))


def _among(names: Sequence[str | None], seen: frozenset[str] | None) -> pa.Array:
    """For each name whether it has been seen; null where one or the other is not known."""
    return pa.array([None if seen is None or name is None else name in seen for name in names], pa.bool_())
