"""Photos for the tests of catalogs."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from embedder.data.catalog import Catalog, ClassSplit, label_column


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Path]:
    """Create empty files below a fresh folder, and return it: readers list photos without opening them."""

    def create(paths: Iterable[str], below: str = "photos") -> Path:
        root = tmp_path / below
        root.mkdir(parents=True, exist_ok=True)
        for path in paths:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
        return root

    return create


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """A photo of one shade as the bytes of a file."""

    def encode(shade: int, kind: str = "PNG") -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", (6, 4), (shade, 0, 0)).save(stream, kind)
        return stream.getvalue()

    return encode


@pytest.fixture
def make_catalog(tmp_path: Path) -> Callable[..., Catalog]:
    """A catalog of photos that need not exist, from rows of (path, label) and further columns."""

    def create(rows: Iterable[tuple[str, str | None]], class_split: ClassSplit | None = None, **columns) -> Catalog:
        paths, labels = zip(*rows, strict=True)
        order = list(dict.fromkeys(label for label in labels if label is not None))
        table = {"path": pa.array(paths), "label": label_column(labels, order), **columns}
        return Catalog(pa.table(table), tmp_path, "test", class_split)

    return create


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Three classes of four photos each, of random pixels and sizes."""
    generator = np.random.default_rng(0)
    for label in ("crow", "raven", "rook"):
        (tmp_path / "corvids" / label).mkdir(parents=True)
        for number in range(4):
            height, width = generator.integers(20, 60, 2)
            pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "corvids" / label / f"{number}.png")
    return tmp_path / "corvids"
