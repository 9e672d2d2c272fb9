"""The table of photos that every reader yields, and finding the reader for what was named on the command line."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.data.detect import reader_of
from embedder.data.plugins import plugins
from eval.embeddings import CLASS_TRAINED_ON, PICTURE_HASH, TRAINED_ON
from eval.errors import InputError, unknown
from eval.files import at_home
from eval.images import Box
from eval.rows import repeated, taken

READERS = {
    "aircraft": "embedder.data.aircraft",
    "birds100": "embedder.data.birds100",
    "cars196": "embedder.data.cars196",
    "cars98": "embedder.data.cars98",
    "cifar10": "embedder.data.cifar10",
    "cub200": "embedder.data.cub200",
    "dogs": "embedder.data.dogs",
    "drawn_birds": "embedder.data.drawn_birds",
    "flowers102": "embedder.data.flowers102",
    "folder": "embedder.data.folder",
    "huggingface": "embedder.data.huggingface",
    "inat2018": "embedder.data.inat2018",
    "inat2021": "embedder.data.inat2021",
    "inshop": "embedder.data.inshop",
    "nabirds": "embedder.data.nabirds",
    "sop": "embedder.data.sop",
    "table": "embedder.data.table",
    "webdataset": "embedder.data.webdataset",
}
DATA_SETS = [name for name in READERS if name not in {"folder", "table"}]
"""What people are told of; plain folders and tables are read by their paths alone."""

RESERVED = {"id", TRAINED_ON, CLASS_TRAINED_ON, PICTURE_HASH, "thumbnail_offset", "thumbnail_size"}
"""Columns that embedding and indexing add."""

ROOTLESS = {"drawn_birds"}
"""Readers with a default place."""

ROLE = "role"
"""The column that says of a test photo whether it is a ``query`` or of the ``gallery``, where a data set parts them."""

TYPES = {
    "path": pa.string(),
    "label": pa.dictionary(pa.int32(), pa.string()),
    "split": pa.string(),
    "box": pa.list_(pa.float32(), 4),
    "subject_box": pa.list_(pa.float32(), 4),
    "keypoints": pa.list_(pa.list_(pa.float32(), 3)),
    "group": pa.string(),
}


@dataclass(frozen=True)
class ClassSplit:
    """The classes of a data set's zero-shot protocol.

    Attributes:
        training: trained on.
        validation: held-out training classes, for choices; a final run trains on them too.
        test: never trained on.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Catalog:
    """Photos with what is known about them, one row each.

    Attributes:
        table: the columns of ``TYPES`` (``path`` and ``label`` always, the rest where known), then any others as
            strings. The order of the label's dictionary is the order of classes that protocols count in.
        root: the folder that paths are relative to; made absolute.
        name: the reader's name.
        class_split: the classes of the zero-shot protocol, where the data set has one.
        cut_out: whether the photos have been cut to their subject by whoever made the data set.
        no_split: where such classes are published but not here, what is missing; no others are then taken instead.
        keypoint_names: what the points of ``keypoints`` are, in their order; empty where that is not known.

    Raises:
        InputError: a column is missing or of another type, a split is neither ``train`` nor ``test``, a box has no
            area, or two rows name the same part of the same photo.
    """

    table: pa.Table
    root: Path
    name: str
    class_split: ClassSplit | None = None
    cut_out: bool = False
    no_split: str = ""
    keypoint_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.absolute())
        if not len(self) and pa.types.is_null(self.table.schema[0].type):
            raise InputError(f"{self.root} holds no photos, as the reader {self.name!r} sees it; give another place")
        self._check_columns()
        self._check_boxes()
        self._check_duplicates()

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def paths(self) -> list[str]:
        """The photos' paths relative to ``root``."""
        return self.table["path"].to_pylist()

    @cached_property
    def classes(self) -> list[str]:
        """The names of the classes, in their declared order."""
        return self._label.dictionary.to_pylist()

    @cached_property
    def labels(self) -> list[str | None]:
        """The class of each row; None where unknown."""
        return self._label.to_pylist()

    @cached_property
    def codes(self) -> np.ndarray:
        """The class of each row as its place in ``classes``: int64 [N], -1 where unknown."""
        return pc.fill_null(self._label.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)

    @cached_property
    def rows_by_class(self) -> list[np.ndarray]:
        """The rows of each class, ascending."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.searchsorted(self.codes[order], np.arange(len(self.classes))))[1:]

    @cached_property
    def boxes(self) -> list[Box | None]:
        """Left, top, right, bottom of the subject in pixels; None where the whole photo is the subject."""
        if "box" not in self.table.column_names:
            return [None] * len(self)
        return [None if box is None else tuple(box) for box in self.table["box"].to_pylist()]

    def box(self, row: int) -> Box | None:
        """The box of one row."""
        return self.boxes[row]

    def file(self, row: int) -> Path:
        """The absolute path of one row's photo."""
        return self.root / self.paths[row]

    def select(self, rows: Sequence[int] | np.ndarray) -> "Catalog":
        """The catalog of some rows, in the given order.

        Classes without a row are left out, so that ``codes`` count from 0 without gaps.

        Args:
            rows: row numbers [M], or a mask of bool [N].
        """
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        present = np.unique(self.codes[chosen])
        classes = [self.classes[code] for code in present if code >= 0]
        label = label_column([self.labels[row] for row in chosen], classes)
        table = taken(self.table, chosen)
        return replace(self, table=table.set_column(table.column_names.index("label"), "label", label))

    def check_labelled(self, purpose: str) -> None:
        """Refuse photos without a label.

        Args:
            purpose: what needs the labels, such as ``"training"``.

        Raises:
            InputError: at least one row has no label.
        """
        missing = np.flatnonzero(self.codes < 0)
        if len(missing):
            raise InputError(
                f"{purpose} needs a label for every photo, and {len(missing)} of {len(self)} in {self.root} have none "
                f"(first: {self.paths[missing[0]]}); put the photos of each class into a folder named after it, or "
                "list them in a table with a column 'label'"
            )

    def digest(self) -> str:
        """SHA-256 over every column and each file's size and time of change: what ``made_from`` records."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for name in self.table.column_names:
            digest.update(json.dumps([name, self.table[name].to_pylist()]).encode())
        digest.update(json.dumps([_size_and_time(self.file(row)) for row in range(len(self))]).encode())
        return digest.hexdigest()

    @property
    def _label(self) -> pa.DictionaryArray:
        """The labels as one array."""
        return self.table["label"].combine_chunks()

    def _check_columns(self) -> None:
        """Refuse missing columns, other types and unknown splits."""
        for name in ("path", "label"):
            if name not in self.table.column_names:
                raise InputError(f"{self.root}: the column {name!r} is missing; found: {self.table.column_names}")
        if reserved := RESERVED & {*self.table.column_names}:
            raise InputError(f"{self.root}: the column {min(reserved)!r} is one that Fieldmark adds; call it otherwise")
        for field in self.table.schema:
            expected = TYPES.get(field.name, pa.string())
            if field.type != expected:
                raise InputError(f"{self.root}: the column {field.name!r} is {field.type}; it must be {expected}")
        if None in self.paths or "" in self.paths:
            row = [path or "" for path in self.paths].index("")
            raise InputError(f"{self.root}: row {row} has no path; give it one, or take the row out")
        if "split" in self.table.column_names:
            for name in self.table["split"].unique().to_pylist():
                if name not in {"train", "test", None}:
                    raise InputError(
                        f"{self.root}: the split {name!r} is neither 'train' nor 'test'; make it one of these"
                    )

    def _check_boxes(self) -> None:
        """Refuse boxes without area."""
        for row, box in enumerate(self.boxes):
            if box and not has_area(box):
                raise InputError(
                    f"{self.root}: the box {box} of {self.paths[row]} has no area; it must be left, top, right, bottom "
                    "with left < right and top < bottom"
                )

    def _check_duplicates(self) -> None:
        """Refuse two rows for one subject."""
        if twice := repeated(zip(self.paths, self.boxes, strict=True)):
            raise InputError(f"{self.root}: {self.paths[twice[1]]} is listed twice; leave one of the rows out")


def has_area(box: Sequence[float]) -> bool:
    """Whether a box is left, top, right, bottom of a rectangle with an area."""
    return len(box) == 4 and all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]


def label_column(labels: Sequence[str | None], classes: Sequence[str] | None = None) -> pa.DictionaryArray:
    """The label column of a catalog.

    Args:
        labels: the class of each row; None where unknown.
        classes: all classes in the order that protocols count in; none for the sorted names.
    """
    return label_codes(pa.array(labels, pa.string()), classes)


def label_codes(labels: pa.Array | pa.ChunkedArray, classes: Sequence[str] | None = None) -> pa.DictionaryArray:
    """The same of a column of strings, or of dictionary-coded ones."""
    names = pa.array(classes, pa.string()) if classes is not None else _sorted_names(labels)
    plain = pa.chunked_array([labels]) if isinstance(labels, pa.Array) else labels
    return pa.DictionaryArray.from_arrays(pc.index_in(plain.cast(pa.string()), names).combine_chunks(), names)


def _sorted_names(labels: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The different labels, in the order of their characters."""
    return pa.array(sorted(labels.cast(pa.string()).unique().drop_null().to_pylist()), pa.string())


def read_catalog(spec: str | Path) -> Catalog:
    """Read the photos that were named on the command line.

    Args:
        spec: a folder, a .csv or .parquet file, shards (``embedder.data.detect`` tells which), or ``NAME:ROOT`` with
            the name of a reader, of ours or of an installed package. Only known names count, so that ``C:/photos``
            stays a folder; ``drawn_birds`` needs no root. ``~`` is the home folder, and hyphens and underscores are
            equal in names.

    Raises:
        InputError: there is nothing of that name, or its reader does not find what it needs.
    """
    text = str(spec)
    name, colon, root = text.partition(":")
    path = at_home(text)
    named = colon and len(name) > 1 and not {"/", "\\"} & set(name)
    if _key(name) in READERS and (root or _key(name) in ROOTLESS):
        return read_named(name, Path(root) if root else None)
    if named and root and _key(name) in plugins():
        return read_named(name, Path(root))
    if found := reader_of(path):
        return read_named(found, path)
    if _key(name) in READERS or named:
        return read_named(name, None)
    raise InputError(
        f"{text} does not exist; give a folder of photos, a .csv or .parquet table, or NAME:ROOT with one of the names "
        f"{', '.join(DATA_SETS)}"
    )


def read_source(name: str | None, root: str | None) -> Catalog:
    """The catalog that the settings ``data.name`` and ``data.root`` name; drawn birds where neither is given.

    Raises:
        InputError: as for ``read_catalog``.
    """
    if name:
        return read_catalog(f"{name}:{root}" if root else name)
    return read_catalog(root or "drawn_birds")


def read_named(name: str, root: Path | None) -> Catalog:
    """Read a data set by its reader's name.

    Args:
        name: a name of ``READERS``, or of an installed package's reader; hyphens and underscores are equal.
        root: where it lies; None for the default place of a reader that has one.

    Raises:
        InputError: there is no such reader, or it does not find what it needs.
    """
    others = plugins() if _key(name) not in READERS else {}
    if _key(name) not in (READERS.keys() | others):
        raise unknown("data set", name, [*DATA_SETS, *others])
    if root is None and _key(name) not in ROOTLESS:
        raise InputError(f"{name} needs the place where it lies: {name}:ROOT, or --data.root of training")
    if root and _key(name) in others:
        catalog = others[_key(name)](at_home(root))
        if not isinstance(catalog, Catalog):
            raise InputError(f"the reader {name!r} has made a {type(catalog).__name__}; it must make a Catalog")
        return catalog
    reader = import_module(READERS[_key(name)])
    return reader.read(root and at_home(root))


def _key(name: str) -> str:
    """A reader's name as it stands in ``READERS``."""
    return name.replace("-", "_")


def _size_and_time(file: Path) -> tuple[int, int]:
    """Bytes and time of change in nanoseconds; of a missing file, -1 and -1."""
    try:
        status = file.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
