"""Does a first look at what is attended to help where subjects are small in their photos? Drawn birds.

    python -m bench.small_subjects FOLDER [--seeds 3] [--ways whole,look,...] [--held-out] [--results FILE]

FOLDER gets the photos and the trainings. In photos of 448 pixels a side, birds take a fifth to a third of it, anywhere.
All train by configs/lanes/cpu.yaml. "whole" sees the whole photos, "larger" with 1.6 times the pixels, "largest" with
twice as many. "look" sees the square that the network attends to, cut out of photos twice as large, and "side" a square
of half the photo's side around the middle of that, in training and afterwards; a query of "look" costs 2.5 times as
much, of "side" 2.0 times, of "larger" 1.45 times. "box" sees the birds cut out by their boxes, which nothing can do
better, and "half" every second bird by its box and the others as "side" does, in training and afterwards. Tested are
species never trained on, each photo among the others.
For choices, --held-out leaves the test species out: each quarter of the others is the test of a training on the rest.
Each training's results are lines of bench/measured/small_subjects.jsonl, or of --results; what has them is not trained
again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.differences import Result, scores
from bench.drawn import compare, folders, read_options, save, square
from bench.recipes import recipe
from embedder import Embedder
from embedder.batches import embed_whole
from embedder.config import Config
from embedder.data.catalog import TYPES, read_catalog
from embedder.data.drawing.bird import DrawnBird, draw_bird
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.pose import random_pose
from embedder.data.drawn_birds import individual

SIDE = 448
LANE = "configs/lanes/cpu.yaml"
LOOK = ("--model.look", "first", "--model.look_detail", "2")
SIDE_LOOK = (*LOOK, "--model.look_side", "0.5")
WAYS: dict[str, tuple[str, ...]] = {
    "whole": (),
    "larger": ("--data.size", "176", "--data.test_size", "288"),
    "largest": ("--data.size", "208", "--data.test_size", "320"),
    "look": LOOK,
    "side": SIDE_LOOK,
    "box": (),
    "half": SIDE_LOOK,
}
"""What is other than in the lane."""

TABLES = {"box": "boxes", "half": "half"}
"""The tables of ways that know of boxes."""


def main() -> None:
    options = read_options(__doc__, [*WAYS])
    compare(options, folders(options.folder, draw, options.held_out), settings, measured)


def draw(folder: Path, trained: Sequence[str], tested: Sequence[str]) -> None:
    """Photos of the species trained on and of the others, with tables that know all boxes, every second, or none."""
    for name, species, count, first in (("train", trained, 32, 0), ("test", tested, 24, 100)):
        known, whole, half = (folder / f"{name}-{boxes}.parquet" for boxes in ("boxes", "whole", "half"))
        if not known.exists():
            save(folder, known.stem, birds(species, count, first), lambda drawn: square(drawn.box))
        table = pq.read_table(known)
        if not whole.exists():
            pq.write_table(table.drop_columns(["box"]), whole)
        if not half.exists():
            place, boxes = table.column_names.index("box"), table["box"].to_pylist()
            every_second = pa.array([box if row % 2 else None for row, box in enumerate(boxes)], TYPES["box"])
            pq.write_table(table.set_column(place, "box", every_second), half)


def birds(species: Sequence[str], count: int, first: int) -> Iterator[tuple[str, DrawnBird]]:
    """So many individuals of each species, from the first on, small in their photos."""
    for label in species:
        for bird in (individual(label, first + number) for number in range(count)):
            pose = random_pose(np.random.default_rng([bird, 9]), sizes=(0.1, 0.15))
            yield label, draw_bird(SPECIES[label], bird, SIDE, pose=pose)


def table_of(folder: Path, part: str, way: str) -> Path:
    """What a way sees: the photos to train on ("train") or those to test by ("test")."""
    return folder / f"{part}-{TABLES.get(way, 'whole')}.parquet"


def settings(folder: Path, way: str, seed: int) -> Config:
    """One training's."""
    photos = ("--data.root", str(table_of(folder, "train", way)), "--data.protocol", "closed-set")
    fixed = ("--data.validation", "none", "--train.accelerator", "cpu")
    return recipe("--config", LANE, *photos, *fixed, *WAYS[way], "--seed", str(seed))


def measured(run: Path, folder: Path, way: str) -> dict[str, Result]:
    """What is found of each photo among the others."""
    vectors, _ = embed_whole(Embedder.open(run), read_catalog(table_of(folder, "test", way)))
    return {"species never trained on": scores(vectors)}


if __name__ == "__main__":
    main()
