"""Training photos decoded once: each a square of pixels, in one file that is mapped into memory."""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.data.catalog import Catalog
from embedder.prefetch import Result, batched, prefetched
from embedder.preprocess import MARGIN
from embedder.ranks import ALONE, Ranks
from eval.cores import available_cores
from eval.files import MANIFEST, alone, new_folder, read_json, write_json
from eval.images import BadImage, open_scaled, read_id

PIXELS, SIZES = "pixels.npy", "sizes.npy"
FORMAT = 2
"""Of the folder, and of how photos become squares: others are made anew."""

ROUND_TO = 8
AT_ONCE = 32


def square_side(size: int, crop_share: tuple[float, float]) -> int:
    """The side C of squares for views of ``size``: a crop of the mean share has as many pixels as a view."""
    return ROUND_TO * math.ceil(size / math.sqrt(sum(crop_share) / 2) / ROUND_TO)


class Squares:
    """The photos of a catalog as squares of C x C pixels, whatever their shape was.

    Attributes:
        folder: where they lie.
        rows: ``[N]``, which of its squares are the photos.
        sizes: ``[N, 3]``, width and height that the photos had when they were decoded, and how many of their own pixels
            across had become one then.
    """

    def __init__(self, folder: Path, rows: NDArray[np.int64], sizes: NDArray[np.int32]) -> None:
        self.folder, self.rows, self.sizes = folder, rows, sizes

    def __getitem__(self, row: int) -> tuple[Image.Image, tuple[int, int]]:
        """The square of one photo, and the width and height that the photo had."""
        width, height, _ = self.sizes[row].tolist()
        return Image.fromarray(self._pixels[self.rows[row]]), (width, height)

    def scale(self, row: int) -> int:
        """How many of a photo's own pixels across are one of the width that it had."""
        return int(self.sizes[row, 2])

    def select(self, kept: NDArray[np.bool_]) -> "Squares":
        """Some of the photos."""
        return Squares(self.folder, self.rows[kept], self.sizes[kept])

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        """All squares ``[M, C, C, 3]``."""
        pixels: NDArray[np.uint8] = np.load(self.folder / PIXELS, mmap_mode="r")
        return pixels


def make_squares(
    catalog: Catalog, side: int, folder: Path, progress: Callable[[int], object], ranks: Ranks = ALONE
) -> tuple[Squares, list[str | BadImage]]:
    """Decode every photo of a catalog once, or find that this has been done.

    The squares are named by the contents of the photos: what has changed is decoded anew, and several trainings share
    what they have in common.

    Args:
        catalog: the photos.
        side: C, the side of a square.
        folder: where squares are kept, in a folder of their own.
        progress: told how many more photos have been looked at.
        ranks: those of a machine share the reading; the first to come decodes, with the cores of all.

    Returns:
        The squares, and for each photo its id, or why it cannot be read.
    """
    cores = available_cores()

    def name(rows: Sequence[int]) -> list[str | BadImage]:
        return [*_in_threads(partial(_name, catalog), rows, cores, lambda _: None)]

    names = ranks.on_this_machine(name, len(catalog))
    listed = [name if isinstance(name, str) else name.reason for name in names]
    place = folder / hashlib.sha256(json.dumps([FORMAT, side, listed]).encode()).hexdigest()[:16]
    with alone(folder):  # several trainings that begin together decode once
        if (place / MANIFEST).is_file() and not _can_be_read_now(catalog, names, place, side):
            progress(len(catalog))
        else:
            for unfinished in folder.glob(f".{place.name}.*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            _decode(catalog, names, side, place, cores * ranks.local_count, progress)
    unreadable = {int(row): reason for row, reason in read_json(place / MANIFEST)["left_out"].items()}
    outcomes = [
        BadImage(catalog.file(row), unreadable[row]) if row in unreadable else name for row, name in enumerate(names)
    ]
    return Squares(place, np.arange(len(names)), np.load(place / SIZES)), outcomes


def _can_be_read_now(catalog: Catalog, names: list[str | BadImage], place: Path, side: int) -> bool:
    """Whether a photo could not be decoded then and can be now, as when the package for its format has come."""
    for row in map(int, read_json(place / MANIFEST)["left_out"]):
        if isinstance(names[row], str):
            try:
                open_scaled(catalog.file(row), catalog.box(row), round(MARGIN * side))
            except BadImage:
                continue
            return True
    return False


def _decode(
    catalog: Catalog, names: list[str | BadImage], side: int, place: Path, cores: int, progress: Callable[[int], object]
) -> None:
    """Fill a folder with the squares of some photos."""
    sizes = np.zeros((len(names), 3), np.int32)
    left_out: dict[int, str] = {}
    with new_folder(place) as beside:
        pixels = np.lib.format.open_memmap(beside / PIXELS, "w+", np.uint8, (len(names), side, side, 3))
        _take_place(beside / PIXELS)

        def fill(row: int) -> None:
            try:
                if isinstance(name := names[row], BadImage):
                    raise name
                image, scale = open_scaled(catalog.file(row), catalog.box(row), round(MARGIN * side))
            except BadImage as error:
                left_out[row] = error.reason
                return
            sizes[row] = *image.size, scale
            pixels[row] = image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)

        for _ in _in_threads(fill, range(len(names)), cores, progress):
            pass
        pixels.flush()
        np.save(beside / SIZES, sizes)
        write_json(beside / MANIFEST, {"kind": "squares", "side": side, "left_out": left_out})


def _take_place(file: Path) -> None:
    """Have the disk keep room for a whole file: where there is none, writing to a map would end the process."""
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)


def _in_threads(
    function: Callable[[int], Result], rows: Sequence[int], cores: int, progress: Callable[[int], object]
) -> Iterator[Result]:
    """``function`` of each row, in order, worked on by so many cores."""
    batches = batched(rows, AT_ONCE)
    for results in prefetched(lambda batch: [*map(function, batch)], batches, cores, ahead=4 * cores):
        progress(len(results))
        yield from results


def _name(catalog: Catalog, row: int) -> str | BadImage:
    """The id of one photo, or why its file cannot be read."""
    try:
        return read_id(catalog.file(row), catalog.box(row))
    except BadImage as error:
        return error
