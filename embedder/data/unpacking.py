"""Photos that lie inside of packed files, unpacked once into a folder of photos beside them.

Everything else opens a photo by its path, so that an index can name it and a person can look at it.
"""

import glob
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from embedder.data.catalog import Catalog, label_column
from embedder.data.detect import UNPACKED
from embedder.data.detect import UNPACKED_KIND as KIND
from embedder.data.detect import UNPACKED_TABLE as TABLE
from embedder.data.layout import cache_folder
from embedder.data.listing import Listing, columns_of
from embedder.data.table import catalog_of, read
from eval.errors import InputError
from eval.files import MANIFEST, alone, already_made, new_folder, read_json, write_json


@dataclass(frozen=True)
class Packed:
    """A photo in a packed file.

    Attributes:
        name: the path that it is to have below the folder of its file.
        content: the bytes of the photo.
        columns: what is known about it.
        place: where it stands in the file, for errors.
    """

    name: str
    content: bytes
    columns: Mapping[str, Any]
    place: str


@dataclass(frozen=True)
class Source:
    """Packed files that belong together.

    Attributes:
        reader: the name of their reader.
        root: what the user has named.
        shards: the files by their path without suffix below the root, which is also that of their photos' folder.
        read: yields the photos of one of them.
        classes: the names of all classes in their order; none for the sorted names.
        lists: other files that what is read depends on.
    """

    reader: str
    root: Path
    shards: Mapping[str, Path]
    read: Callable[[Path], Iterator[Packed]]
    classes: Sequence[str] | None = None
    lists: Sequence[Path] = ()

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [*self.shards.values(), *self.lists]


def unpacked(source: Source) -> Catalog:
    """The catalog of packed photos, which are unpacked where that has not been done, or was done with other files.

    The folder is there as a whole or not at all. It holds ``photos.parquet``, a table of the photos.

    Raises:
        InputError: a photo's name leads out of the folder, two have the same, a column holds what it cannot, the disk
            has no room, or a folder that somebody else has made is in the way.
    """
    made_from = {"reader": source.reader, "version": 1, "files": [_state(source.root, file) for file in source.files]}
    for folder in _folders(source.root):
        if _manifest(folder).get("made_from") == made_from:
            return replace(read(folder / TABLE), name=source.reader)
    folder = _writable(source.root)
    with alone(folder.parent):  # wait for another process that unpacks them
        if not _is_made(folder, made_from):
            for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            _check_room(source, folder)
            with new_folder(folder) as beside:
                table = _unpack(source, beside)
                if hasattr(os, "sync"):
                    os.sync()  # all at once: then each file's own flush finds nothing to wait for
                pq.write_table(table, beside / TABLE)
                holds = sorted({TABLE, MANIFEST, *(path.name for path in beside.iterdir())})
                write_json(beside / MANIFEST, {"kind": KIND, "format": 1, "holds": holds, "made_from": made_from})
    return replace(read(folder / TABLE), name=source.reader)


def safe_name(name: str) -> str | None:
    """A path in a packed file as it may be made below a folder, on any system; None where it would lead out of it."""
    path = PureWindowsPath(name)
    if path.anchor or ".." in path.parts or not path.parts or not name.isprintable():
        return None
    return "/".join(path.parts)


def _state(root: Path, file: Path) -> list[str | int]:
    """What tells that a file is still the same, without reading it."""
    status = file.stat()
    return [os.path.relpath(file, root), status.st_size, status.st_mtime_ns]


def _folders(root: Path) -> list[Path]:
    """Where the photos may be: beside the packed files, or in the cache folder if nobody may write there."""
    place = Path(os.path.normpath(root.absolute()))
    name = place.name.replace("{", "").replace("}", "")
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    return [place.with_name(f"{name}{UNPACKED}"), cache_folder(f"{name}-{digest}{UNPACKED}")]


def _writable(root: Path) -> Path:
    """The first of these folders that may be made."""
    for folder in _folders(root):
        if os.access(_existing(folder.parent), os.W_OK):
            return folder
    raise InputError(
        f"the photos in {root} are unpacked once, and neither beside them nor in the cache folder is it allowed to "
        "write; name a folder in FIELDMARK_CACHE"
    )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _manifest(folder: Path) -> dict[str, Any]:
    """What a folder says of itself; nothing where it is not ours."""
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).is_file() else {}
    return manifest if isinstance(manifest, dict) else {}


def _is_made(folder: Path, made_from: dict[str, Any]) -> bool:
    """Whether the folder holds the photos of these files; whatever is not ours stays."""
    if not folder.exists():
        return False
    manifest = _manifest(folder)
    if manifest.get("made_from") == made_from:
        return True
    return already_made(folder, KIND, made_from, True, names=manifest.get("holds", ()))


def _check_room(source: Source, folder: Path) -> None:
    """Refuse to begin what the disk cannot hold."""
    due = sum(file.stat().st_size for file in source.shards.values())
    free = shutil.disk_usage(_existing(folder.parent)).free
    if due > free:
        raise InputError(
            f"the photos in {source.root} are unpacked once, into {folder}, which takes {due / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free there; make room"
        )


def _unpack(source: Source, folder: Path) -> pa.Table:
    """Write all photos below a folder, and return their table."""
    rows: list[Mapping[str, Any]] = []
    places: list[str] = []
    total = sum(file.stat().st_size for file in source.shards.values())
    with tqdm(total=total, desc="unpacking photos", unit="B", unit_scale=True, mininterval=1) as progress:
        for name, shard in source.shards.items():
            time = shard.stat().st_mtime_ns
            for photo in source.read(shard):
                path = f"{name}/{photo.name}"
                if safe_name(path) is None:
                    raise InputError(
                        f"{shard}, {photo.place}: {path!r} would be written elsewhere; do not trust this file"
                    )
                _write(folder / path, photo, shard)
                os.utime(folder / path, ns=(time, time))  # unpacked again, it is the same photo
                rows.append({"path": path, **photo.columns})
                places.append(f"{name}: {photo.place}")
                progress.update(len(photo.content))
    columns = columns_of(rows, source.root)
    if source.classes is not None:
        columns["label"] = _labels(rows, source.classes)
    return catalog_of(Listing(source.root, folder, columns, places), source.reader).table


def _labels(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> pa.DictionaryArray:
    """The label column, the declared classes first."""
    labels = [row.get("label") for row in rows]
    others = sorted({label for label in labels if label is not None} - {*classes})
    return label_column(labels, [*classes, *others])


def _write(file: Path, photo: Packed, shard: Path) -> None:
    """Write one photo, and none over another."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            stream.write(photo.content)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{shard}: {photo.place}: another photo has the same name") from None
