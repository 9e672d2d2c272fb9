"""The photo of each row of embeddings and index folders, as far as it can be had; many of them on a few sheets."""

import io
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from eval.cores import available_cores
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.folders import map_table, named_by_contents, read_index, read_manifest
from eval.images import BadImage, open_image, open_named, thumbnail
from eval.rows import taken

SIDES = (96, 80, 64, 48, 40, 32)
"""Sides of the small photos on sheets, in pixels; the largest for which all stay within the budget is taken."""

COLUMNS = 16
"""Photos across a sheet, and down it."""

SAMPLE = 128
"""Photos by which the size of all is foretold."""

PLACE = ("thumbnail_offset", "thumbnail_size")
"""Columns of an index's tables: where the thumbnail of a reference lies in the file of its segment."""

Opener = Callable[[int, int], Image.Image]
"""From a row, and the pixels that the shorter side needs not exceed, to its photo; raises ``BadImage``."""


@dataclass(frozen=True)
class Pictures:
    """Photos by their number.

    Attributes:
        sizes: how many photos each of the sources has; numbers are counted through all sources.
        openers: of each source.
    """

    sizes: tuple[int, ...]
    openers: tuple[Opener, ...]

    @classmethod
    def of(cls, folders: Sequence[Path], sets: Sequence[EmbeddingSet]) -> "Pictures":
        """The photos of some folders, one after another.

        Args:
            folders: embeddings or index folders.
            sets: what has been read from each.

        Raises:
            InputError: an index is another one by now.
        """
        openers = tuple(_opener(folder, one) for folder, one in zip(folders, sets, strict=True))
        return cls(tuple(map(len, sets)), openers)

    def open(self, number: int, enough: int) -> Image.Image | None:
        """A photo, of which no more than ``enough`` pixels are needed across; none where it cannot be had."""
        for size, opener in zip(self.sizes, self.openers, strict=True):
            if number < size:
                try:
                    return opener(number, enough)
                except BadImage:
                    return None
            number -= size
        raise IndexError(number)

    def jpegs(self, numbers: Sequence[int], side: int) -> dict[int, bytes]:
        """The photos of some numbers, whole, with a longer side of at most ``side``; those that can be had."""
        with ThreadPoolExecutor(available_cores()) as pool:
            found = pool.map(partial(self._jpeg, side=side), numbers)
            return {number: picture for number, picture in zip(numbers, found, strict=True) if picture}

    def _jpeg(self, number: int, side: int) -> bytes | None:
        """One photo as a JPEG."""
        image = self.open(number, side)
        return None if image is None else thumbnail(image, side)


def _opener(folder: Path, embeddings: EmbeddingSet) -> Opener:
    """What opens the photos of a folder."""
    manifest = read_manifest(folder, "embeddings", "index")
    if manifest["kind"] == "index":
        return read_index(folder, partial(_of_index, folder, embeddings))
    root, paths = manifest.get("images_root"), embeddings.paths
    ids = embeddings.ids if named_by_contents(manifest) else None
    has_boxes = "box" in embeddings.table.column_names
    boxes: list[Any] = embeddings.table["box"].to_pylist() if has_boxes else [None] * len(embeddings)

    def open_file(row: int, enough: int) -> Image.Image:
        if root is None or paths[row] is None:
            raise BadImage(None, "nobody says where it is")
        file, box = Path(root) / str(paths[row]), boxes[row] and tuple(boxes[row])
        return open_named(file, ids[row], box, enough) if ids else open_image(file, box, enough)

    return open_file


def _of_index(folder: Path, embeddings: EmbeddingSet, manifest: dict[str, Any]) -> Opener:
    """What opens the thumbnails that lie in an index.

    Raises:
        InputError: its references are not those of ``embeddings``.
    """
    tables = [map_table(folder / one["references"], one["count"]) for one in manifest["segments"]]
    sizes = [*map(len, tables)]
    kept = np.setdiff1d(np.arange(sum(sizes)), manifest["deleted"])
    places = taken(pa.concat_tables([one.select(["id", *PLACE]) for one in tables]), kept)
    if len(kept) != len(embeddings) or not places.equals(embeddings.table.select(places.column_names)):
        raise InputError(f"{folder} has been changed meanwhile; start again")
    segments = np.repeat(np.arange(len(sizes)), sizes)[kept]
    files = [folder / one["thumbnails"] for one in manifest["segments"]]
    maps = [np.memmap(file, np.uint8, "r") if file.stat().st_size else b"" for file in files]
    starts, lengths = (places[name].to_numpy() for name in PLACE)

    def open_thumbnail(row: int, enough: int) -> Image.Image:
        part = maps[segments[row]][starts[row] : starts[row] + lengths[row]]
        return open_image(bytes(part), None, enough)

    return open_thumbnail


@dataclass(frozen=True)
class Sheets:
    """Many small square photos in few pictures, row by row.

    Attributes:
        pictures: the sheets, each of ``COLUMNS`` x ``COLUMNS`` photos.
        kind: their type, such as ``image/webp``.
        side: of a photo, in pixels.
        places: ``[N]`` int32, the place of each photo, counted through all sheets; -1 for those without one.
        asked: how many photos were wanted; fewer than N where all would not have stayed within the budget.
        missing: how many of these could not be had.
    """

    pictures: list[bytes]
    kind: str
    side: int
    places: NDArray[np.int32]
    asked: int
    missing: int


def sheets(pictures: Pictures, numbers: NDArray[np.int64], budget: int, progress: bool = False) -> Sheets:
    """Put photos on sheets, as large as a budget allows; at the smallest side only some of them, evenly drawn.

    Args:
        pictures: all photos.
        numbers: ``[N]``, those that are wanted.
        budget: bytes that the sheets may take, about.
        progress: show a bar on standard error.
    """
    from tqdm import tqdm  # noqa: PLC0415 - not for those who ask for no pictures

    side, chosen = _chosen(pictures, numbers, budget)
    each = COLUMNS * COLUMNS
    parts = [numbers[chosen[start : start + each]] for start in range(0, len(chosen), each)]
    with ThreadPoolExecutor(available_cores()) as pool:
        done = pool.map(partial(_sheet, pictures, side=side), parts)
        made = list(tqdm(done, "small photos", len(parts), unit="sheet", disable=not progress, file=sys.stderr))
    places = np.full(len(numbers), -1, np.int32)
    there = np.concatenate([mask for _, mask in made]) if made else np.empty(0, bool)
    places[chosen[there]] = np.flatnonzero(there)
    return Sheets([sheet for sheet, _ in made], f"image/{_format()}", side, places, len(chosen), int((~there).sum()))


def _chosen(pictures: Pictures, numbers: NDArray[np.int64], budget: int) -> tuple[int, NDArray[np.int64]]:
    """The side of the photos, and which of the N there is room for."""
    every = np.arange(len(numbers))
    some = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), SAMPLE)).astype(int)]
    for side in SIDES:
        sheet, _ = _sheet(pictures, some, side)
        room = int(max(budget, 0) * len(some) / len(sheet))
        if room >= len(numbers):
            return side, every
    return side, np.unique(np.linspace(0, len(numbers) - 1, room).astype(int))


def _sheet(pictures: Pictures, numbers: NDArray[np.int64], side: int) -> tuple[bytes, NDArray[np.bool_]]:
    """One sheet, and which of its photos could be had."""
    sheet = Image.new("RGB", (COLUMNS * side, COLUMNS * side))
    there = np.zeros(len(numbers), bool)
    for place, number in enumerate(numbers):
        image = pictures.open(int(number), side)
        if image is not None:
            square = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC, centering=(0.5, 0.4))
            sheet.paste(square, (place % COLUMNS * side, place // COLUMNS * side))
            there[place] = True
    buffer = io.BytesIO()
    options = {"quality": 72, "method": 2} if _format() == "webp" else {"quality": 75}
    sheet.save(buffer, _format(), **options)
    return buffer.getvalue(), there


def _format() -> str:
    """WebP takes two thirds of the room of JPEG; not every Pillow can write it."""
    return "webp" if features.check("webp") else "jpeg"
