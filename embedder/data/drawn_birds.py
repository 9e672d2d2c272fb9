"""Drawn birds: the data set that the project draws itself, and the command that draws any more of it.

48 species differ in nothing but their field marks; pose, light, surroundings and what stands in front say nothing about
the species. The photos are drawn once, into a cache folder.
"""

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import feather
from tqdm import tqdm

from embedder.data.catalog import TYPES, Catalog, ClassSplit, label_column
from embedder.data.drawing.bird import KEYPOINT_NAMES, DrawnBird, draw_bird
from embedder.data.drawing.field_guide import SPECIES, TEST, TRAINING, VALIDATION
from embedder.data.drawing.plate import plate as draw_plate
from embedder.data.layout import cache_folder
from eval.command import run
from eval.errors import InputError, unknown
from eval.files import MANIFEST, alone, already_made, new_folder, replacing, write_json

KIND = "drawn birds"
VERSION = 1
PHOTOS_PER_SPECIES = 48
SIDE = 160
TABLE = "birds.feather"
CACHED = f"drawn-birds-{VERSION}"


def read(root: Path | None = None) -> Catalog:
    """Read the drawn birds, and draw them first where that has not been done (less than a minute).

    Args:
        root: the folder that they lie in or are to be drawn into; none for the cache folder.

    Raises:
        InputError: ``root`` holds something else.
    """
    folder = root or cache_folder(CACHED)
    if not (folder / MANIFEST).is_file():
        draw_photos(folder, tuple(SPECIES), PHOTOS_PER_SPECIES, SIDE)
    table = feather.read_table(folder / TABLE)
    whole = set(table["label"].unique().to_pylist()) == set(SPECIES)
    classes = ClassSplit(TRAINING, VALIDATION, TEST) if whole else None
    return Catalog(table, folder, "drawn_birds", classes, keypoint_names=KEYPOINT_NAMES)


def draw_photos(
    folder: Path, names: Sequence[str], count: int, side: int, *, seed: int = 0, overwrite: bool = False
) -> None:
    """Draw ``count`` photos of each species into ``folder``, with their table; all of them or none.

    The first photos of a species are the same however many are drawn, and of whichever species.

    Args:
        folder: what to make; two thirds of the photos of each species are the official training photos.
        names: names of ``SPECIES``.
        count: photos of each.
        side: their width and height in pixels.
        seed: another seed draws other birds.
        overwrite: draw anew even if the folder is there.

    Raises:
        InputError: the folder holds something else.
    """
    made_from = {"version": VERSION, "species": list(names), "count": count, "side": side, "seed": seed}
    with alone(folder.parent):  # wait for another process that draws them
        ours = {*map(_file_name, SPECIES), TABLE, MANIFEST}
        if already_made(folder, KIND, made_from, overwrite, names=ours):
            return
        with new_folder(folder) as beside:
            rows = list(_draw_rows(beside, names, count, side, seed))
            feather.write_feather(_table(rows, names), beside / TABLE)
            write_json(beside / MANIFEST, {"kind": KIND, "format": 1, "made_from": made_from})


def individual(name: str, number: int) -> int:
    """The bird on a species' photo ``number``; no two species share one, nor its pose and place."""
    return (zlib.crc32(name.encode()) << 32) + number


def _draw_rows(folder: Path, names: Sequence[str], count: int, side: int, seed: int) -> Iterator[dict[str, Any]]:
    """Draw and save the photos, and yield their rows."""
    pause = 0.2 if sys.stderr.isatty() else 10
    with tqdm(total=len(names) * count, desc="drawing birds", unit=" birds", mininterval=pause) as progress:
        for name in names:
            (folder / _file_name(name)).mkdir()
            for number in range(count):
                bird = draw_bird(SPECIES[name], individual(name, number), side, seed=seed)
                path = f"{_file_name(name)}/{number:04d}.jpg"
                bird.image.save(folder / path, quality=92, subsampling=0)
                os.utime(folder / path, (0, 0))  # drawn again, it is the same photo to whoever goes by its time
                yield _row(name, path, number, bird)
                progress.update()


def _row(name: str, path: str, number: int, bird: DrawnBird) -> dict[str, Any]:
    """What the table says about one photo."""
    split = "test" if number % 3 == 2 else "train"
    return {"path": path, "label": name, "split": split, "subject_box": bird.box, "keypoints": bird.keypoints.tolist()}


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> pa.Table:
    """The columns of a catalog."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    arrays = {
        name: label_column(values, names) if name == "label" else pa.array(values, TYPES[name])
        for name, values in columns.items()
    }
    return pa.table(arrays)


def _file_name(name: str) -> str:
    """A species' name as a folder."""
    return name.replace(" ", "_")


def main(
    out: Path | None = None,
    *,
    species: str | None = None,
    count: int = 20,
    side: int = 256,
    seed: int = 0,
    plate: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw birds: as many photos as you like of any species, or one plate that shows each species once.

    Args:
        out: the folder to draw photos into: one folder a species, and a table with labels, boxes and keypoints.
        species: names of species, separated by commas; none for all.
        count: photos of each species.
        side: width and height of a photo in pixels.
        seed: another seed draws other birds.
        plate: where to write the plate, such as plate.png.
        overwrite: replace what is there.

    Raises:
        InputError: an unknown species, neither ``out`` nor ``plate``, or numbers that cannot be drawn.
    """
    names = list(dict.fromkeys(name.strip() for name in species.split(","))) if species else list(SPECIES)
    for name in names:
        if name not in SPECIES:
            raise unknown("species", name, SPECIES)
    for name, value, least in (("count", count, 1), ("side", side, 32), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name} is {value}; it must be at least {least}")
    if plate:
        with replacing(plate) as beside:
            draw_plate([SPECIES[name] for name in names]).save(beside, "PNG")
    if out:
        draw_photos(out, names, count, side, seed=seed, overwrite=overwrite)
    written = out or plate
    if not written:
        raise InputError("nothing to draw: name a folder for photos, or --plate plate.png")
    print(written)
    return written


if __name__ == "__main__":
    run(main)
