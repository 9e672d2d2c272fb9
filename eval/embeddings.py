"""Vectors with the table of what they show, in memory and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import feather

from eval.errors import InputError
from eval.files import MANIFEST, new_folder, write_json
from eval.folders import FORMATS, damaged, map_table, map_vectors, read_index, read_manifest
from eval.rows import Rows, taken

VECTORS, TABLE = "vectors.npy", "table.feather"
FILES = (VECTORS, TABLE, MANIFEST)
"""What an embeddings folder holds."""

TRAINED_ON, CLASS_TRAINED_ON, PICTURE_HASH = "trained_on", "class_trained_on", "picture_hash"
"""Columns of a table: whether the embedder was trained on the photo, whether on its class, and what it looks like."""


TOLERATED, ROUNDING = 1e-3, 2e-6
"""How far a vector's length may be from 1, and how far float32 leaves it."""


@dataclass(frozen=True)
class EmbeddingSet:
    """The vectors of some photos.

    Attributes:
        vectors: ``[N, D]`` float32, each of unit length: those that are off by up to ``TOLERATED``, as half precision
            leaves them, are divided by their length.
        table: one row a vector; ``id`` is needed, ``label`` (null where unknown) and ``path`` are known names.
        fingerprint: names the embedder; vectors of different fingerprints cannot be compared.
        unreadable: how many photos could not be read when the set was made, and so are not in it.

    Raises:
        InputError: shape, type, length or values are wrong.
    """

    vectors: NDArray[np.float32]
    table: pa.Table
    fingerprint: str
    unreadable: int = 0

    def __post_init__(self) -> None:
        vectors = unit_vectors(self.vectors)
        if len(self.vectors) != self.table.num_rows:
            raise InputError(f"{len(self.vectors)} vectors for {self.table.num_rows} rows; each row needs one vector")
        if "id" not in self.table.column_names:
            raise InputError(f"the table has no column 'id', only {', '.join(self.table.column_names) or 'none'}")
        if self.table["id"].null_count:
            raise InputError(f"{self.table['id'].null_count} rows have no id; each row needs one")
        object.__setattr__(self, "vectors", vectors)
        if "label" in self.table.column_names:
            object.__setattr__(self, "table", _with_plain_labels(self.table))

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def ids(self) -> list[str]:
        """The id of each row."""
        return self._column("id").to_pylist()

    @property
    def paths(self) -> list[str | None]:
        """The path of each row's photo; None where it has none."""
        return self._column("path").to_pylist()

    @property
    def names(self) -> pa.ChunkedArray:
        """What photos are called, a string a row: their paths, or else their ids."""
        return pc.coalesce(self._column("path"), self._column("id"))

    def named(self, rows: Rows | Sequence[int]) -> list[str]:
        """What some rows' photos are called."""
        names: list[str] = taken(self.names, rows).to_pylist()
        return names

    @property
    def labels(self) -> list[str | None]:
        """The label of each row; None where it is not known."""
        return self._column("label").to_pylist()

    def labelled(self) -> "EmbeddingSet":
        """The rows that have a label; the set itself where all have."""
        known = self._column("label").is_valid().to_numpy()
        if known.all():
            return self
        return EmbeddingSet(self.vectors[known], self.table.filter(known), self.fingerprint, self.unreadable)

    def label_codes(self) -> tuple[NDArray[np.int64], list[str]]:
        """Labels as numbers: ``[N]`` codes, -1 for null, and the name of each code, in alphabetical order."""
        (codes,), names = common_codes(self)
        return codes, names

    def save(
        self, folder: Path, *, made_from: dict[str, Any], images_root: Path | None, left_out: Sequence[dict[str, str]]
    ) -> None:
        """Write the set as an embeddings folder, replacing the one that is there.

        Args:
            folder: the embeddings folder.
            made_from: what the set was made from, in JSON values.
            images_root: the folder that paths are relative to; none where there is no such folder.
            left_out: photos that could not be read, each as ``{"path": ..., "reason": ...}``.
        """
        _write(folder, [self], self.table, made_from, images_root, left_out)

    @classmethod
    def load(cls, folder: Path) -> "EmbeddingSet":
        """Read an embeddings folder, or the references of an index folder.

        Raises:
            InputError: the folder is missing, of another kind or format, or damaged.
        """
        manifest = read_manifest(folder, "embeddings", "index")
        try:
            if manifest["kind"] == "index":
                return cls(*read_index(folder, partial(_read_index, folder)))
            return cls(*_read_embeddings(folder, manifest))
        except (KeyError, TypeError, IndexError) as error:
            raise damaged(folder / MANIFEST, repr(error)) from None

    def _column(self, name: str) -> pa.ChunkedArray:
        """A column as strings; nulls where the table does not have it."""
        if name not in self.table.column_names:
            return pa.chunked_array([pa.nulls(len(self), pa.string())])
        return self.table[name].cast(pa.string())


def join(parts: Sequence[Path], folder: Path, *, made_from: dict[str, Any], images_root: Path | None) -> None:
    """Write the sets of some embeddings folders as one, in their order, without having all vectors in memory.

    Args:
        parts: embeddings folders of one fingerprint, at least one, whose tables have the same columns.
        folder: as for ``EmbeddingSet.save``, like the others.
        made_from: what the whole was made from, in JSON values.
        images_root: the folder that paths are relative to.

    Raises:
        InputError: one of the folders is damaged or of another embedder.
    """
    sets = [EmbeddingSet.load(part) for part in parts]
    if others := [part for part, one in zip(parts, sets, strict=True) if one.fingerprint != sets[0].fingerprint]:
        raise InputError(f"{others[0]} was made by another embedder than {parts[0]}; make it anew")
    left_out = [photo for part in parts for photo in read_manifest(part, "embeddings")["left_out"]]
    table = pa.concat_tables([one.table for one in sets]).unify_dictionaries()
    _write(folder, sets, table, made_from, images_root, left_out)


def common_codes(*sets: EmbeddingSet) -> tuple[list[NDArray[np.int64]], list[str]]:
    """Number the labels of several sets alike.

    Labels are compared as strings.

    Returns:
        Codes ``[N]`` for each set, -1 for null, and the name of each code, in alphabetical order.
    """
    columns = [one._column("label") for one in sets]
    together = pa.chunked_array([chunk for column in columns for chunk in column.chunks], pa.string())
    names = pc.drop_null(pc.unique(together)).sort()
    codes = pc.fill_null(pc.index_in(together, names), -1).to_numpy().astype(np.int64)
    return np.split(codes, np.cumsum([len(one) for one in sets])[:-1]), names.to_pylist()


def common_ids(*sets: EmbeddingSet) -> list[NDArray[np.int64]]:
    """The ids of several sets as numbers ``[N]``, the same for the same id."""
    numbers: NDArray[np.int64] = np.unique([name for one in sets for name in one.ids], return_inverse=True)[1]
    return np.split(numbers, np.cumsum([len(one) for one in sets])[:-1])


def _write(
    folder: Path,
    sets: Sequence[EmbeddingSet],
    table: pa.Table,
    made_from: dict[str, Any],
    images_root: Path | None,
    left_out: Sequence[dict[str, str]],
) -> None:
    """Write an embeddings folder with the vectors of some sets, one after another, and their table."""
    shape = (table.num_rows, sets[0].vectors.shape[1])
    manifest = {
        "kind": "embeddings",
        "format": FORMATS["embeddings"],
        "fingerprint": sets[0].fingerprint,
        "count": shape[0],
        "dimension": shape[1],
        "images_root": None if images_root is None else str(images_root),
        "left_out": list(left_out),
        "made_from": made_from,
    }
    with new_folder(folder) as beside:
        with (beside / VECTORS).open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for one in sets:
                one.vectors.tofile(file)
        feather.write_feather(table, beside / TABLE, compression="uncompressed")
        write_json(beside / MANIFEST, manifest)


def _read_embeddings(folder: Path, manifest: dict[str, Any]) -> tuple[NDArray[np.float32], pa.Table, str, int]:
    """The vectors, the table, the fingerprint and the number of unreadable photos of an embeddings folder."""
    path = folder / VECTORS
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; make {folder} anew") from None
    except (ValueError, EOFError) as error:
        raise damaged(path, str(error)) from None
    try:
        table = _whole(folder / TABLE, manifest["count"])
    except FileNotFoundError:
        raise InputError(f"{folder / TABLE} is missing; make {folder} anew") from None
    if vectors.shape != (manifest["count"], manifest["dimension"]):
        raise damaged(path, f"its shape is {list(vectors.shape)}")
    return vectors, table, manifest["fingerprint"], len(manifest.get("left_out") or [])


def _read_index(folder: Path, manifest: dict[str, Any]) -> tuple[NDArray[np.float32], pa.Table, str, int]:
    """The same of an index folder, all segments in order, as changed since they were written."""
    segments = manifest["segments"]
    if not segments:
        raise InputError(f"{folder} holds no references; build it again with index.build")
    if not all(one["vectors"] for one in segments):
        raise InputError(f"the vectors of {folder} are in Milvus; give an embeddings folder, made by embedder.embed")
    parts = [map_vectors(folder / one["vectors"], one["count"], manifest["dimension"]) for one in segments]
    vectors = parts[0] if len(parts) == 1 else np.concatenate(parts)
    tables = [_whole(folder / one["references"], one["count"]) for one in segments]
    table = pa.concat_tables(tables, promote_options="default")
    if changes := manifest["label_changes"]:
        labels = table["label"].to_pylist()
        for row, label in changes.items():
            labels[int(row)] = label
        table = table.set_column(table.column_names.index("label"), "label", pa.array(labels).dictionary_encode())
    kept = np.ones(len(vectors), bool)
    kept[manifest["deleted"]] = False
    if not kept.all():
        vectors, table = vectors[kept], table.filter(kept)
    return vectors, table, manifest["fingerprint"], len(manifest.get("left_out") or [])


def _whole(path: Path, count: int) -> pa.Table:
    """A table of ``count`` rows, of which every value can be read."""
    table = map_table(path, count)
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise damaged(path, str(error)) from None
    return table


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors divided by their lengths; they themselves, and no copy, where that changes nothing.

    Args:
        vectors: ``[N, D]``, of nearly unit length.

    Raises:
        InputError: shape or type are wrong, a vector is not finite, or its length is off by more than ``TOLERATED``.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0 or vectors.dtype != np.float32:
        found = f"{vectors.dtype} of shape {list(vectors.shape)}"
        raise InputError(f"vectors must be float32 of shape [N, D] with D at least 1, not {found}")
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float32))
    errors = np.abs(lengths - 1)
    wrong = np.flatnonzero(~(errors <= TOLERATED))
    if len(wrong) == 0:
        return vectors if errors.max(initial=0) <= ROUNDING else vectors / lengths[:, None]
    row, length = wrong[0], lengths[wrong[0]]
    if not np.isfinite(length):
        raise InputError(f"vector {row} holds values that are not finite; leave it out, or see what its embedder does")
    raise InputError(
        f"vector {row} has length {length:.4g} and {len(wrong)} in all are not of unit length; "
        "divide each by its length: vectors / np.linalg.norm(vectors, axis=1, keepdims=True)"
    )


def _with_plain_labels(table: pa.Table) -> pa.Table:
    """A table whose labels are names or numbers, with null where one is not a number.

    Raises:
        InputError: the labels are of another type.
    """
    place, label = table.column_names.index("label"), table["label"]
    of = label.type.value_type if pa.types.is_dictionary(label.type) else label.type
    if pa.types.is_floating(of):
        return table.set_column(place, "label", pc.if_else(pc.is_nan(label), None, label))
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean, pa.types.is_null)
    if not any(one(of) for one in plain):
        raise InputError(f"the labels are of the type {label.type}; give names or whole numbers, one a photo")
    return table
