"""One segment of an index on disk: written once, front to back, then only mapped into memory."""

import math
import mmap
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import feather

from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.folders import flat_header, map_table, map_vectors
from index.manifest import Manifest, Segment
from index.scan import Scan


class SegmentWriter:
    """Writes references as they come, so that a segment may be larger than the memory.

    Args:
        folder: where the files go; no other segment may be in the making there.
        fingerprint: of the embedder that makes the vectors.
        dimension: length D of a vector.
    """

    def __init__(self, folder: Path, fingerprint: str, dimension: int) -> None:
        self.count = 0
        self._folder, self._fingerprint, self._dimension = folder, fingerprint, dimension
        self._unfinished = Segment.named(0, 0)
        self._tables: list[pa.Table] = []
        self._vectors = (folder / self._unfinished.vectors).open("wb")
        self._thumbnails = (folder / self._unfinished.thumbnails).open("wb")
        self._vectors.write(flat_header(0, dimension))

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, references: EmbeddingSet, thumbnails: Sequence[bytes]) -> None:
        """Append references.

        Args:
            references: vectors ``[B, D]`` with ``id``, ``label``, ``path`` and what else is known.
            thumbnails: one JPEG a reference.

        Raises:
            InputError: the vectors were made by another embedder.
        """
        check_same_embedder(references, self._fingerprint, self._dimension)
        sizes = np.array([len(thumbnail) for thumbnail in thumbnails], np.int64)
        offsets = self._thumbnails.tell() + np.cumsum(sizes) - sizes
        self._vectors.write(np.ascontiguousarray(references.vectors).data)
        self._thumbnails.write(b"".join(thumbnails))
        table = references.table.append_column("thumbnail_offset", pa.array(offsets))
        self._tables.append(table.append_column("thumbnail_size", pa.array(sizes)))
        self.count += len(references)

    def finish(self, number: int) -> Segment:
        """Complete the files. At least one reference must have been added.

        Args:
            number: the generation that they belong to, which names them.
        """
        self._vectors.seek(0)
        self._vectors.write(flat_header(self.count, self._dimension))
        self._close()
        segment = Segment.named(number, self.count)
        for unfinished, name in zip(self._unfinished.files, segment.files, strict=True):
            if name != segment.references:
                (self._folder / unfinished).rename(self._folder / name)
        _write_table(self._tables, self._folder / segment.references)
        return segment

    def discard(self) -> None:
        """Remove the files: nothing has come of them."""
        self._close()
        for name in (self._unfinished.vectors, self._unfinished.thumbnails):
            (self._folder / name).unlink()

    def _close(self) -> None:
        """Close the files that grow."""
        self._vectors.close()
        self._thumbnails.close()


def joined(parts: Sequence[tuple[Path, Segment]], folder: Path, number: int, dimension: int) -> Segment:
    """Write several segments as one, row after row, the deleted ones among them, so that rows keep their numbers.

    Vectors that are in Milvus stay there.

    Args:
        parts: segments, each with the folder that it lies in.
        folder: where the files go.
        number: the generation that they belong to, which names them.
        dimension: length D of a vector.
    """
    segment = Segment.named(number, sum(part.count for _, part in parts))
    if parts[0][1].vectors:
        _join_vectors(parts, folder / segment.vectors, segment.count, dimension)
    else:
        segment = replace(segment, vectors="")
    tables, offset = [], 0
    with (folder / segment.thumbnails).open("wb") as thumbnails:
        for place, part in parts:
            table = map_table(place / part.references, part.count)
            column = table.column_names.index("thumbnail_offset")
            tables.append(table.set_column(column, "thumbnail_offset", pc.add(table["thumbnail_offset"], offset)))
            with (place / part.thumbnails).open("rb") as file:
                shutil.copyfileobj(file, thumbnails)
            offset = thumbnails.tell()
    _write_table(tables, folder / segment.references)
    return segment


def _join_vectors(parts: Sequence[tuple[Path, Segment]], path: Path, count: int, dimension: int) -> None:
    """Write the vectors of several segments as those of one."""
    with path.open("wb") as vectors:
        vectors.write(flat_header(count, dimension))
        for place, part in parts:
            vectors.write(map_vectors(place / part.vectors, part.count, dimension).data)


def _write_table(tables: Sequence[pa.Table], path: Path) -> None:
    """Write the references of a segment; of a column that some have not known before, the earlier rows have nulls."""
    table = pa.concat_tables(tables, promote_options="default").unify_dictionaries().combine_chunks()
    feather.write_feather(table, path, compression="uncompressed")


class MappedReferences:
    """What is known of a segment's references, mapped into memory: opening reads next to nothing.

    The files may even be removed after. Rows are counted over all segments of the index.

    Attributes:
        start: its first row.
        end: the first row of the segment after it.
        table: the references, one row a vector.

    Args:
        folder: the index folder.
        segment: what the manifest says about it.
        start: its first row.

    Raises:
        FileNotFoundError: a file is gone.
        InputError: a file is damaged.
    """

    def __init__(self, folder: Path, segment: Segment, start: int) -> None:
        self.table = map_table(folder / segment.references, segment.count)
        self._thumbnails = _map(folder / segment.thumbnails)
        self.start, self.end = start, start + segment.count

    def thumbnail(self, row: int) -> bytes:
        """The JPEG of one reference."""
        start, size = (self.table[f"thumbnail_{name}"][row - self.start].as_py() for name in ("offset", "size"))
        return self._thumbnails[start : start + size]


class MappedSegment(MappedReferences):
    """The same with the segment's vectors.

    Attributes:
        vectors: float32 ``[N, D]``.

    Args:
        folder: the index folder.
        segment: what the manifest says about it.
        dimension: length D of a vector.
        start: its first row.
        deleted: rows of the index that are no longer references.

    Raises:
        FileNotFoundError: a file is gone.
        InputError: a file is damaged.
    """

    def __init__(self, folder: Path, segment: Segment, dimension: int, start: int, deleted: NDArray[np.int64]) -> None:
        super().__init__(folder, segment, start)
        path = folder / segment.vectors
        self.vectors = map_vectors(path, segment.count, dimension).view(np.ndarray)
        self._scan = Scan(path, self.vectors, deleted[(deleted >= start) & (deleted < start + segment.count)] - start)

    def candidates(self, queries: NDArray[np.float32], k: int, first: int = 0) -> NDArray[np.int64]:
        """Rows ``[Q, C]`` of the index, as those of the segment; see ``index.scan.Scan.candidates``."""
        rows = self._scan.candidates(queries, k, max(0, first - self.start))
        return np.where(rows < 0, -1, self.start + rows)


@dataclass(frozen=True)
class MappedVectors:
    """The vectors of all segments, each in a file of its own; see ``index.vectors.Vectors``.

    Attributes:
        segments: in the order that rows are counted in.
        dimension: length D of a vector.
    """

    segments: tuple[MappedSegment, ...]
    dimension: int

    def candidates(self, queries: NDArray[np.float32], k: int, first: int = 0) -> NDArray[np.int64]:
        """Rows ``[Q, C]`` that hold the k nearest of each query, among those from a row on."""
        parts = [segment.candidates(queries, k, first) for segment in self.segments if segment.end > first]
        return np.hstack(parts) if parts else np.empty((len(queries), 0), np.int64)

    def at(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors ``[C, D]`` of some rows, not to be written to; deleted rows have theirs."""
        if len(self.segments) == 1:
            vectors = self.segments[0].vectors
            whole = len(rows) == len(vectors) and np.array_equal(rows, np.arange(len(rows)))
            return vectors if whole else vectors[rows]
        vectors = np.empty((len(rows), self.dimension), np.float32)
        for segment in self.segments:
            inside = (rows >= segment.start) & (rows < segment.end)
            vectors[inside] = segment.vectors[rows[inside] - segment.start]
        return vectors


def check_vectors(manifest: Manifest, folder: Path) -> None:
    """Verify the checksums of vectors and what is known of them, before anything is made of them that stays.

    Args:
        manifest: names the files; those that have not been committed yet have just been written, and are passed over.
        folder: the index folder.

    Raises:
        InputError: a file is damaged.
    """
    for segment in manifest.segments:
        for name in filter(manifest.files.get, (segment.vectors, segment.references)):
            manifest.files[name].check(folder / name, limit=math.inf)


def check_same_embedder(vectors: EmbeddingSet, fingerprint: str, dimension: int) -> None:
    """Refuse vectors that cannot be compared with those of an index.

    Raises:
        InputError: their fingerprint or dimension is not the index's.
    """
    if vectors.fingerprint != fingerprint:
        raise InputError(
            f"the vectors were made by the embedder {vectors.fingerprint[:16]}, those of the index by "
            f"{fingerprint[:16]}; embed the photos with the embedder of the index"
        )
    check_dimension(vectors.vectors, dimension)


def check_dimension(vectors: NDArray[np.float32], dimension: int) -> None:
    """Refuse vectors of another length than those of an index.

    Raises:
        InputError: their dimension is not the index's.
    """
    if vectors.shape[1] != dimension:
        raise InputError(
            f"the vectors have dimension {vectors.shape[1]}, those of the index {dimension}; "
            "embed the photos with the embedder of the index"
        )


def _map(path: Path) -> mmap.mmap | bytes:
    """Map a file into memory, which cannot be done with an empty one."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
