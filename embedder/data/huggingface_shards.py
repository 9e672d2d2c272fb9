"""The photos inside of the Arrow and Parquet files of Hugging Face ``datasets``."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedder.data.detect import SUFFIXES
from embedder.data.listing import LISTS, is_plain
from embedder.data.unpacking import Packed
from eval.errors import InputError

AT_ONCE = 32
"""Rows of a Parquet file that are read at once: their photos are held in memory."""

END = b"\xff\xff\xff\xff\0\0\0\0"
"""How a stream of Arrow ends; without it reading would end quietly where a download has broken off."""

BEGINNINGS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp", b"GIF8": ".gif", b"BM": ".bmp"}
"""Suffixes by a photo's first bytes, for photos that have no name."""


@dataclass(frozen=True)
class Features:
    """What the columns of a file are.

    Attributes:
        image: the column of the photos.
        label: that of their classes.
        others: those that are carried along.
        names: of columns that hold numbers of classes, the names of these.
    """

    image: str
    label: str | None
    others: tuple[str, ...]
    names: dict[str, list[str]]

    @property
    def classes(self) -> list[str] | None:
        """The names of all classes in their order; None where they are not declared."""
        return self.names.get(self.label or "")


def features_of(file: Path, said: Any = None) -> Features:
    """What the columns of a file are, by what is written down of them in its schema.

    Args:
        file: the file.
        said: what is written down elsewhere, and counts before that.

    Raises:
        InputError: the file is damaged, or has no photos, or it is not clear which column is the label.
    """
    schema = _schema(file)
    features = said if isinstance(said, dict) else _written_down(schema)
    images = [name for name in schema.names if _is_image(schema.field(name).type, features.get(name))]
    if len(images) != 1 and "image" not in images:
        fault = (
            f"several columns of photos ({', '.join(images)}); call one 'image'" if images else "no column of photos"
        )
        raise InputError(f"{file} has {fault}; it has {', '.join(schema.names)}")
    names = {
        name: [str(one) for one in feature["names"]]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
    }
    label = "label" if "label" in schema.names else next(iter(names), None)
    if label != "label" and len(names) > 1:
        raise InputError(f"{file} has labels in {', '.join(names)}; call the one that is meant 'label'")
    image = images[0] if len(images) == 1 else "image"
    others = [
        name
        for name in schema.names
        if name not in (image, label) and (is_plain(schema.field(name).type) or name in LISTS)
    ]
    return Features(image, label, tuple(others), names)


def photos_of(file: Path, features: Features, split: str | None) -> Iterator[Packed]:
    """Yield the photos of a file.

    Raises:
        InputError: names the first row that has no photo, or a class without a name; or the file is damaged.
    """
    columns = [one for one in (features.image, features.label, *features.others) if one is not None]
    number = 0
    for batch in _batches(file, columns):
        for row in batch.select(columns).to_pylist():
            place = f"row {number + 1}"
            photo = row.pop(features.image)
            content, name = _content(photo)
            if not content:
                away = f"only the path {name!r}; embed the photos into the data set" if name else "no photo"
                raise InputError(f"{file}, {place} holds {away}")
            values = {column: _named(file, place, value, features.names.get(column)) for column, value in row.items()}
            known = {"source_path" if column == "path" else column: value for column, value in values.items()}
            if features.label:
                known["label"] = known.pop(features.label)
            if split:
                known["split"] = split
            yield Packed(f"{number:06}{_suffix(content, name)}", content, known, place)
            number += 1


def _schema(file: Path) -> pa.Schema:
    """The columns of a file with their types."""
    try:
        if file.suffix == ".parquet":
            return pq.read_schema(file)
        with pa.memory_map(str(file)) as mapped:
            return pa.ipc.open_stream(mapped).schema
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(file, error) from None


def _batches(file: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A file piece by piece."""
    try:
        if file.suffix == ".parquet":
            yield from pq.ParquetFile(file).iter_batches(AT_ONCE, columns=columns)
            return
        with file.open("rb") as stream:
            stream.seek(-len(END), 2)
            if stream.read() != END:
                raise InputError(f"{file} is cut short; load the data set anew")
        with pa.memory_map(str(file)) as mapped:
            yield from pa.ipc.open_stream(mapped)
    except (pa.ArrowInvalid, OSError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> InputError:
    """The error for a file that cannot be read."""
    kind = "Parquet" if file.suffix == ".parquet" else "Arrow"
    return InputError(f"{file} is no {kind} file, cut short or damaged ({error}); load it anew")


def _written_down(schema: pa.Schema) -> dict[str, Any]:
    """What ``datasets`` has written into a schema."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def _is_image(kind: pa.DataType, feature: Any) -> bool:
    """Whether a column holds photos: it is said so, or nothing is said and it holds bytes with a path."""
    if isinstance(feature, dict):
        return feature.get("_type") == "Image"
    return pa.types.is_struct(kind) and {"bytes", "path"} == {
        kind.field(number).name for number in range(kind.num_fields)
    }


def _named(file: Path, place: str, value: Any, names: list[str] | None) -> Any:
    """A value, or the name of the class that it is the number of; -1 stands for unknown."""
    if names is None or value is None or value == -1:
        return value if names is None else None
    if value in names:
        return value
    if not isinstance(value, int) or not 0 <= value < len(names):
        raise InputError(f"{file}, {place}: the class {value!r} has no name; there are {len(names)}, from 0")
    return names[value]


def _content(photo: Any) -> tuple[bytes | None, str | None]:
    """A photo's bytes and its path, as far as they are there."""
    known = photo if isinstance(photo, dict) else {"bytes" if isinstance(photo, bytes) else "path": photo}
    content, path = known.get("bytes"), known.get("path")
    return content if isinstance(content, bytes) else None, path if isinstance(path, str) else None


def _suffix(content: bytes, name: str | None) -> str:
    """The suffix that a photo's file is to have."""
    suffix = Path(name or "").suffix.lower()
    if suffix in SUFFIXES:
        return suffix
    return next((one for beginning, one in BEGINNINGS.items() if content.startswith(beginning)), "")
