"""What is to be added to an index: photos still to be embedded, vectors that are there already, or another index."""

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from embedder.batches import Embedded, embed_catalog
from embedder.data.catalog import TYPES, Catalog, label_codes, read_catalog
from embedder.data.splits import Part, Protocol, part
from embedder.prefetch import Progress, prefetched
from embedder.preprocess import LEAST
from embedder.runtime import Embedder
from eval.cores import available_cores
from eval.embeddings import CLASS_TRAINED_ON, PICTURE_HASH, TRAINED_ON, EmbeddingSet
from eval.errors import InputError
from eval.files import MANIFEST, at_home, read_json, real_path
from eval.folders import named_by_contents, read_manifest
from eval.images import BadImage, Box, OnBadImage, open_image, open_named, thumbnail
from eval.rows import taken
from index.duplicates import Column, OnConflict, distinct, distinct_rows
from index.renewal import table_of
from index.search import Index
from index.segment import check_same_embedder

ADDED = {TRAINED_ON: pa.bool_(), CLASS_TRAINED_ON: pa.bool_(), PICTURE_HASH: pa.uint64()}
"""The types of the columns that embedding adds."""

AT_ONCE = 1024
"""References that are read at once where their vectors are there already."""


Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Photos, each once.

    Attributes:
        ids: of the photos, as strings; null where one cannot be read.
        labels: of the photos.
        paths: of the photos, relative to the index's ``images_root``.
        copies: how many more were left out, because they stand there with the same label.
        conflicts: how many came under several labels.
        references: yields the references of some rows, in batches, with their thumbnails as ``extras``.
        unopened: whether their photos are opened only then, so that some may turn out to be unreadable.
        left_out: photos that could not be read when vectors were made, each as ``{"path": ..., "reason": ...}``.
    """

    ids: Column
    labels: Column
    paths: Column
    copies: int
    conflicts: int
    references: Callable[[Sequence[int]], Iterator[Embedded]]
    unopened: bool = False
    left_out: Sequence[dict[str, str]] = ()


@dataclass(frozen=True)
class Place:
    """What references must fit: an index that is there, or is to be.

    Attributes:
        fingerprint: of the embedder that makes the vectors.
        dimension: length D of a vector.
        images_root: the folder that paths are kept relative to.
    """

    fingerprint: str
    dimension: int
    images_root: Path

    @classmethod
    def of(cls, index: Index) -> "Place":
        """The place in an index that is there."""
        return cls(index.fingerprint, index.manifest.dimension, Path(index.manifest.images_root))


def photos_source(
    index: Index, images: str, split: Part, protocol: Protocol, on_conflict: OnConflict, on_bad_image: OnBadImage
) -> Source:
    """Photos of a catalog, which the index's own embedder embeds, or an embeddings folder, made by it.

    Raises:
        InputError: there is nothing of that name, a photo has no label, another embedder made the vectors, or a photo
            stands under several labels and ``on_conflict`` is ``error``.
    """
    kind = folder_kind(at_home(images))
    if kind == "index":
        raise InputError(f"{images} is an index; merge it: python -m index.merge {index.folder} {images}")
    if kind == "embeddings":
        if split != "all":
            raise InputError(f"{images} is an embeddings folder, which has no parts; leave --split away")
        return embeddings_source(Place.of(index), at_home(images), on_conflict, on_bad_image)
    catalog = part(read_catalog(images), split, protocol)
    return catalog_source(Place.of(index), lambda: index.embedder, catalog, on_conflict, on_bad_image)


def catalog_source(
    place: Place,
    embedder: Callable[[], Embedder],
    catalog: Catalog,
    on_conflict: OnConflict,
    on_bad_image: OnBadImage,
    progress: Progress | None = None,
) -> Source:
    """The photos of a catalog.

    Args:
        place: what they must fit.
        embedder: gives what makes their vectors.
        catalog: the photos.
        on_conflict: what to do with a photo that stands under several labels.
        on_bad_image: leave unreadable photos out, or stop at the first.
        progress: is told how many photos are done; by default a bar on standard error.

    Raises:
        InputError: as for ``photos_source``.
    """
    catalog.check_labelled("an index")
    photos = distinct(catalog, on_conflict)
    catalog = catalog.select(photos.rows)
    moved = _mover(catalog.root, place)

    def references(rows: Sequence[int]) -> Iterator[Embedded]:
        for batch in embed_catalog(embedder(), catalog.select(rows), on_bad_image, thumbnail, progress):
            left_out = [{**photo, "path": moved(photo["path"])} for photo in batch.left_out]
            table = _moved(batch.embeddings.table, moved)
            embeddings = EmbeddingSet(batch.embeddings.vectors, table, batch.embeddings.fingerprint)
            yield Embedded(embeddings, batch.extras, left_out, batch.rows)

    paths = _all_moved(catalog.table["path"], moved)
    ids = taken(photos.ids, photos.rows)
    return Source(ids, catalog.table["label"], paths, photos.copies, photos.conflicts, references, unopened=True)


def index_source(index: Index, other: Index, on_conflict: OnConflict) -> Source:
    """The references of another index, with their thumbnails.

    Raises:
        InputError: another embedder made them, they are damaged, or a photo stands under several labels and
            ``on_conflict`` is ``error``.
    """
    other.verify()
    rows = np.flatnonzero(other.kept)
    table, root = table_of(other, rows), Path(other.manifest.images_root)
    one = EmbeddingSet(other.vectors(rows[:1]), table[:1], other.fingerprint)
    check_same_embedder(one, index.fingerprint, index.manifest.dimension)
    return _of_vectors(
        Place.of(index),
        table,
        lambda some: other.vectors(rows[some]),
        root,
        on_conflict,
        lambda some: [other.thumbnail(int(row)) for row in rows[some]],
    )


def embeddings_source(place: Place, folder: Path, on_conflict: OnConflict, on_bad_image: OnBadImage) -> Source:
    """The rows of an embeddings folder, with thumbnails of the photos that are still in their place.

    Raises:
        InputError: as for ``photos_source``, or it lacks unreadable photos, and ``on_bad_image`` is ``error``.
    """
    embeddings, manifest = EmbeddingSet.load(folder), read_manifest(folder, "embeddings")
    left_out = manifest.get("left_out", [])
    if left_out and on_bad_image == "error":
        raise InputError(f"{folder} lacks {len(left_out)} photos that could not be read, such as {left_out[0]['path']}")
    check_same_embedder(embeddings, place.fingerprint, place.dimension)
    root: Any = manifest.get("images_root")
    by_contents = named_by_contents(manifest)
    there = root is not None and Path(root).is_dir() and "path" in embeddings.table.column_names
    boxes = embeddings.table["box"] if "box" in embeddings.table.column_names else None

    def shown(rows: Rows) -> list[bytes]:
        if not there:
            return [b""] * len(rows)
        paths, names = (taken(embeddings.table[column], rows).to_pylist() for column in ("path", "id"))
        chosen = [None] * len(rows) if boxes is None else taken(boxes, rows).to_pylist()
        named = names if by_contents else [None] * len(rows)
        return [_shown(root, *one) for one in zip(paths, chosen, named, strict=True)]

    def vectors(rows: Rows) -> NDArray[np.float32]:
        run = len(rows) == rows[-1] - rows[0] + 1  # a slice is not copied
        return embeddings.vectors[rows[0] : rows[-1] + 1] if run else embeddings.vectors[rows]

    source = _of_vectors(place, embeddings.table, vectors, Path(root or "."), on_conflict, shown)
    moved = _mover(Path(root or "."), place)
    return replace(source, left_out=[{**one, "path": moved(one["path"])} for one in left_out])


def _shown(root: str, path: str | None, box: Box | None, name: str | None) -> bytes:
    """The thumbnail of a photo; none where it is not in its place any more, cannot be read, or has another id."""
    file = None if path is None else os.path.join(root, path)  # noqa: PTH118 - a million of these are to be quick
    if file is None or not os.path.isfile(file):  # noqa: PTH113
        return b""
    try:
        return thumbnail(open_named(Path(file), name, box, LEAST) if name else open_image(file, box, LEAST))
    except BadImage:
        return b""


def _of_vectors(
    place: Place,
    table: pa.Table,
    vectors: Callable[[Rows], NDArray[np.float32]],
    root: Path,
    on_conflict: OnConflict,
    shown: Callable[[Rows], list[bytes]],
) -> Source:
    """References whose vectors are there already, and are read a few at a time."""
    table = _moved(table, _mover(root, place))
    if unlabelled := table["label"].null_count:
        first = pc.index(table["label"].is_null(), True).as_py()
        raise InputError(f"row {first} of what is to be added has no label ({unlabelled} in all); references need one")
    photos = distinct_rows(table["id"], table["label"], table["path"], on_conflict)
    left = np.asarray(photos.rows, np.int64)

    def references(rows: Sequence[int]) -> Iterator[Embedded]:
        chosen = left[list(rows)]
        cores, done = available_cores(), 0
        batches = [chosen[start : start + AT_ONCE] for start in range(0, len(chosen), AT_ONCE)]
        for some, thumbnails in zip(batches, prefetched(shown, batches, cores, ahead=cores), strict=True):
            batch = EmbeddingSet(vectors(some), taken(table, some), place.fingerprint)
            yield Embedded(batch, thumbnails, [], range(done, done + len(some)))
            done += len(some)

    ids, labels, paths = (taken(table[name], left) for name in ("id", "label", "path"))
    return Source(ids, labels, paths, photos.copies, photos.conflicts, references)


def _moved(table: pa.Table, moved: Callable[[str], str]) -> pa.Table:
    """The same references with the paths and the types of columns that a segment has."""
    nothing = pa.chunked_array([pa.nulls(len(table), pa.string())])
    labels, paths = (table[name] if name in table.column_names else nothing for name in ("label", "path"))
    columns = {
        "id": table["id"].cast(pa.string()),
        "path": _all_moved(paths, moved),
        "label": label_codes(_text(labels)),
    }
    for name in table.column_names:
        if name not in (*columns, "thumbnail_offset", "thumbnail_size"):
            columns[name] = _as_kept(name, table[name])
    return pa.table(columns)


def _all_moved(paths: Column, moved: Callable[[str], str]) -> Column:
    """A column of paths as an index keeps them."""
    paths = paths.cast(pa.string())
    return paths if moved is str else pa.array([path and moved(path) for path in paths.to_pylist()], pa.string())


def _as_kept(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column in the type that every segment has it in, so that they fit together; strings, where none is known.

    Raises:
        InputError: its values are something else.
    """
    kind = {**TYPES, **ADDED}.get(name, pa.string())
    try:
        return _text(column) if kind == pa.string() else pc.cast(column, kind)
    except pa.ArrowException:
        raise InputError(f"the column {name!r} is {column.type}, which an index cannot keep; leave it out") from None


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as strings, of which an empty one says nothing, as in a table of photos: it is null."""
    text = pc.cast(column, pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _mover(root: Path, place: Place) -> Callable[[str], str]:
    """What makes of a path below a root one as the index keeps it: relative to its ``images_root``, with ``/``.

    Where need be that is by way of ``..``; it is ``str`` where the path stays the same.
    """
    here, there = real_path(root), real_path(place.images_root)
    if here == there:
        return str
    way = Path(os.path.relpath(here, there)).as_posix()

    def moved(path: str) -> str:
        if ".." in path or Path(path).is_absolute():
            return Path(os.path.relpath(here / path, there)).as_posix()
        return posixpath.normpath(f"{way}/{path}")  # a hundred times as fast, and there may be millions

    return moved


def folder_kind(folder: Path) -> str | None:
    """What a folder says that it is; None for one of photos."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_json(folder / MANIFEST)
    return manifest.get("kind") if isinstance(manifest, dict) else None
