"""Folders that hold vectors: reading their manifests, and an index's files while others write it.

A commit to an index may replace its manifest and remove older files at any moment, so a reader opens the manifest, then
the files that it names, and starts again where one has just gone.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import feather

from eval.errors import InputError
from eval.files import MANIFEST, read_json, sha256

Read = TypeVar("Read")
Part = TypeVar("Part")

FORMATS = {"embeddings": 1, "index": 1}
"""The version that is written and read of each kind of folder."""

TRIES = 3
SMALL = 16 << 20
"""Bytes whose checksums are verified at every opening, those of the smallest files first; that takes 10 ms."""

_MAKERS = {"embeddings": "embedder.embed", "index": "index.build"}


@dataclass(frozen=True)
class File:
    """How to tell that a file is whole: its size in bytes and its SHA-256."""

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "File":
        """Describe a file as it is."""
        return cls(path.stat().st_size, sha256(path))

    def check(self, path: Path, limit: float = SMALL) -> None:
        """Verify the size of a file, and its checksum where it has no more than ``limit`` bytes.

        Raises:
            FileNotFoundError: it is gone.
            InputError: it is damaged.
        """
        size = path.stat().st_size
        if size != self.size:
            raise damaged(path, f"it has {size} bytes instead of {self.size}")
        if size <= limit and sha256(path) != self.sha256:
            raise damaged(path, "its checksum is wrong")


def read_manifest(folder: Path, *kinds: str) -> dict[str, Any]:
    """Read the manifest of a folder of one of some kinds; an index's without its checksum, which must be right.

    Raises:
        InputError: the folder is of another kind or version, or its manifest is damaged.
    """
    path = folder / MANIFEST
    advice = f"give a folder made by {' or '.join(_MAKERS[kind] for kind in kinds)}"
    if not folder.is_dir():
        raise InputError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}; {advice}")
    if not path.is_file():
        raise InputError(f"{folder} is not of the kind {' or '.join(kinds)}: there is no {path}; {advice}")
    return parse_manifest(path, read_json(path), *kinds)


def named_by_contents(manifest: dict[str, Any]) -> bool:
    """Whether the ids of an embeddings folder are of its photos' contents, as embedder.embed gives them."""
    return "catalog" in manifest.get("made_from", {})


def parse_manifest(path: Path, contents: Any, *kinds: str) -> dict[str, Any]:
    """What a manifest of one of some kinds says; an index's without its checksum, which must be right.

    Args:
        path: the manifest's file.
        contents: its JSON values.
        kinds: names of ``FORMATS``.

    Raises:
        InputError: as for ``read_manifest``.
    """
    folder = path.parent
    advice = f"give a folder made by {' or '.join(_MAKERS[kind] for kind in kinds)}"
    kind = contents.get("kind") if isinstance(contents, dict) else None
    if kind not in kinds:
        raise InputError(f"{folder} is not of the kind {' or '.join(kinds)} but {kind!r}; {advice}")
    if contents.get("format") != FORMATS[kind]:
        found, known = contents.get("format"), FORMATS[kind]
        raise InputError(
            f"{folder} has format {found!r}, and this version of Fieldmark reads {known}; update it, or {advice}"
        )
    if kind == "index" and contents.pop("checksum", None) != checksum(contents):
        raise damaged(path, "its checksum is wrong")
    return contents


def checksum(contents: Any) -> str:
    """SHA-256 over JSON values, whatever the order of keys and the white space they were written with."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def known_part(kind: type[Part], contents: dict[str, Any]) -> Part:
    """One of the dataclasses of an index's manifest.

    Raises:
        InputError: there is more in it than this version knows, which it could not keep.
    """
    new = {*contents} - {one.name for one in fields(kind)}  # type: ignore[arg-type]
    if new:
        raise InputError(f"the index was made by a newer Fieldmark, with {min(new)!r} in its manifest; update this one")
    return kind(**contents)


def read_index(folder: Path, read: Callable[[dict[str, Any]], Read]) -> Read:
    """Read the current generation of an index; start again where a file is gone because writers have been faster.

    Sizes are verified first, and the checksums of the smallest files, ``SMALL`` bytes in all; those of big files are
    not, as that takes reading them.

    Args:
        folder: the index folder.
        read: what reads the files, given the manifest; a file that is gone raises ``FileNotFoundError``.

    Raises:
        InputError: there is no index, or it is damaged or of another version.
    """
    for _ in range(TRIES):
        contents = read_manifest(folder, "index")
        try:
            files = {name: known_part(File, file) for name, file in contents["files"].items()}
            room = SMALL
            for name in sorted(files, key=lambda one: files[one].size):
                room -= files[name].size
                files[name].check(folder / name, *([] if room >= 0 else [0]))
            return read(contents)
        except FileNotFoundError as error:
            missing = error
    raise InputError(f"{folder} lacks a file ({missing}); restore the index, or remove it and build it again")


def map_vectors(path: Path, count: int, dimension: int) -> NDArray[np.float32]:
    """Map the vectors ``[N, D]`` of a segment into memory.

    Raises:
        FileNotFoundError: the file is gone.
        InputError: it is not a FAISS flat inner-product index of that shape.
    """
    header = flat_header(count, dimension)
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            raise damaged(path, "its header is wrong")
    if path.stat().st_size != len(header) + 4 * count * dimension:
        raise damaged(path, f"it does not hold {count} vectors of dimension {dimension}")
    return np.memmap(path, np.float32, "r", len(header), (count, dimension))


def map_table(path: Path, count: int) -> pa.Table:
    """Map a table of ``count`` rows into memory.

    Raises:
        FileNotFoundError: the file is gone.
        InputError: it is damaged or has another number of rows.
    """
    try:
        table = feather.read_table(path.absolute(), memory_map=True)  # pyarrow takes a leading ~ for the home folder
    except pa.ArrowException as error:
        raise damaged(path, str(error)) from None
    if table.num_rows != count:
        raise damaged(path, f"it has {table.num_rows} rows instead of {count}")
    return table


def flat_header(count: int, dimension: int) -> bytes:
    """How the file of a FAISS flat inner-product index begins; the vectors' float32 follow, row by row.

    FAISS itself writes only an index that it holds in memory whole. The fields are: what it is, D, rows, two numbers
    that FAISS no longer reads, trained, the metric (0 is the inner product), how many float32 follow.
    """
    return struct.pack("<4siqqqBiQ", b"IxFI", dimension, count, 1 << 20, 1 << 20, 1, 0, count * dimension)


def damaged(path: Path, reason: str) -> InputError:
    """The error for a file that is not what the manifest says."""
    return InputError(f"{path} is damaged: {reason}; restore the folder, or remove it and make it again")
