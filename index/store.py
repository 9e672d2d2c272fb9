"""The index folder: opening one generation whole, from the manifest and the files that it names."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa

from embedder.runtime import Embedder
from eval.errors import InputError
from eval.files import MANIFEST, read_json
from eval.folders import map_table, parse_manifest, read_index
from index.candidates import SearchFile
from index.manifest import KIND, Manifest
from index.milvus import MilvusSearch, MilvusVectors
from index.segment import MappedReferences, MappedSegment, MappedVectors
from index.vectors import Proposals, Vectors

OURS = re.compile(
    r"(vectors|references|thumbnails|calibration|search|map)-\d{6,}\.(faiss|feather|bin|npy)|(embedder|trained_on)-\w+\.(onnx|npy)"
    r"|\.?manifest(-\d{6,})?\.json(\.\d+(-[0-9a-f]{8})?\.part)?|index\.lock|journal\.jsonl"
)
"""Names that a commit gives to files: no others are ever removed."""

STAGING = re.compile(r"staging-\w{8}")
"""Names of the folders that a commit's files are made in."""


@dataclass(frozen=True)
class Store:
    """An index folder opened at one generation.

    Attributes:
        folder: where it lies.
        manifest: what it holds.
        segments: the references, mapped into memory; they stay readable whatever is committed later.
        vectors: those of the references, mapped likewise or in Milvus.
        search: what proposes candidates, in the same place; None where search is exact.
        scores: what label sets need of the calibration; None while there is none.
    """

    folder: Path
    manifest: Manifest
    segments: tuple[MappedReferences, ...]
    vectors: Vectors
    search: Proposals | None
    scores: pa.Table | None

    @classmethod
    def open(cls, folder: Path) -> "Store":
        """Open the current generation; start again where a file is gone because writers have been faster.

        Sizes, headers and the checksums of the smallest files are verified, 16 MB in all; those of others are not, as
        that takes reading them.

        Raises:
            InputError: there is no index, or it is damaged or of a newer version.
        """
        return read_index(folder, lambda contents: cls.of(Manifest.from_json(contents), folder))

    @classmethod
    def of(cls, manifest: Manifest, folder: Path, new_files: Path | None = None) -> "Store":
        """A generation as its manifest says, which may not have been committed yet.

        Args:
            manifest: what it holds.
            folder: the index folder.
            new_files: where those of its files are that have not been committed.
        """
        folders = [*filter(None, (new_files, folder))]
        scores = None
        if manifest.calibration:
            path = _place(folders, manifest.calibration["file"])
            scores = map_table(path, manifest.calibration["scores"])
        return cls(folder, manifest, *_map(manifest, folders), scores)

    def verify(self) -> None:
        """Verify the checksums of all references: what is damaged must not be written anew as if it were right.

        Raises:
            InputError: a file is damaged.
        """
        for segment in self.manifest.segments:
            for name in segment.files:
                self.manifest.files[name].check(self.folder / name, limit=math.inf)


def open_embedder(folder: Path, manifest: Manifest, cores: int | None = None) -> Embedder:
    """The network that made the vectors of a generation.

    Args:
        folder: the index folder.
        manifest: of the generation.
        cores: as for ``Embedder.open``.

    Raises:
        InputError: its file is gone, damaged, or of another network.
    """
    path = folder / manifest.embedder
    try:
        manifest.files[path.name].check(path, limit=math.inf)
    except FileNotFoundError:
        raise InputError(f"{path} is gone; if the index has been given another embedder, open it again") from None
    embedder = Embedder.open(path, cores)
    if embedder.fingerprint != manifest.fingerprint:
        raise InputError(
            f"{path} is the embedder {embedder.fingerprint}, but the references were made by {manifest.fingerprint}; "
            "build the index again"
        )
    return embedder


def _place(folders: Sequence[Path], name: str) -> Path:
    """A file in the first folder that has it."""
    return next((one / name for one in folders if (one / name).exists()), folders[-1] / name)


def _map(manifest: Manifest, folders: Sequence[Path]) -> tuple[tuple[MappedReferences, ...], Vectors, Proposals | None]:
    """The references of a generation, each segment from the first folder that has it, and where their vectors are."""
    places = [_place(folders, segment.references).parent for segment in manifest.segments]
    starts = accumulate((segment.count for segment in manifest.segments), initial=0)
    parts = list(zip(places, manifest.segments, starts, strict=False))
    dimension, search = manifest.dimension, manifest.search
    deleted = np.array(manifest.deleted, np.int64)
    if manifest.milvus and not any(segment.vectors for segment in manifest.segments):
        references = tuple(MappedReferences(*part) for part in parts)
        ids = pa.chunked_array([chunk for one in references for chunk in one.table["id"].chunks], pa.string())
        far = MilvusVectors(manifest.milvus, dimension, ids, deleted)
        return references, far, MilvusSearch(far, search, len(ids) - len(deleted)) if search.factory else None
    segments = tuple(MappedSegment(place, segment, dimension, start, deleted) for place, segment, start in parts)
    file = SearchFile(_place(folders, search.file), search, dimension, deleted) if search.file else None
    return segments, MappedVectors(segments, dimension), file


def current(folder: Path) -> Manifest | None:
    """The current generation of an index; None where nothing has been committed to the folder.

    Raises:
        InputError: the folder holds something else, or the index is damaged or of a newer version.
    """
    if (folder / MANIFEST).exists():
        return Manifest.read(folder)
    if folder.exists() and not (folder.is_dir() and all(map(is_ours, folder.iterdir()))):
        raise InputError(f"{folder} exists and is not an index; choose another name")
    return None


def kept_name(generation: int) -> str:
    """The name under which a manifest is kept when it is no longer the current one."""
    return f"manifest-{generation:06}.json"


def kept_before(folder: Path, generation: int) -> Manifest | None:
    """The generation before one, which is kept for readers and for taking a change back; None where none is.

    Raises:
        InputError: its manifest is damaged or of a newer version.
    """
    path = folder / kept_name(generation - 1)
    return Manifest.from_json(parse_manifest(path, read_json(path), KIND)) if path.is_file() else None


def is_ours(path: Path) -> bool:
    """Whether a file or folder of an index folder is called as a commit calls such."""
    return not path.is_symlink() and bool((STAGING if path.is_dir() else OURS).fullmatch(path.name))
