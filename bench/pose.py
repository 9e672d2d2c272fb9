"""Does pose help where test birds stand in poses that are rare in training? Drawn birds, ways against each other.

    python -m bench.pose FOLDER [--seeds 3] [--ways base,axis,...] [--held-out] [--results FILE]

FOLDER gets the photos and the trainings. Birds are trained on in common poses, the drawn birds' own, level to upright;
but 3 of a kind's 32 photos show rare ones, turned by 50 to 130 degrees either way: climbing, or head down. Tested are
64 species that are made for it and never trained on: references in common poses, queries in rare and in common ones.
"base" trains by configs/lanes/cpu.yaml, "axis" by cpu-pose.yaml, which is the same but for augment, as are all others.
For choices, --held-out leaves the test species out: each quarter of those to train on is the test of a training on the
rest. Its photos and trainings are kept apart. Each training's results are lines of bench/measured/pose.jsonl, or of
--results; what has them is not trained again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import dist
from pathlib import Path
from typing import get_args

import numpy as np

from bench.differences import Result, scores
from bench.drawn import compare, folders, read_options, save, square
from bench.recipes import recipe
from embedder import Embedder
from embedder.batches import embed_whole
from embedder.config import Config
from embedder.data.catalog import read_catalog
from embedder.data.drawing.bird import KEYPOINT_NAMES, DrawnBird, draw_bird
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.pose import Pose, random_pose
from embedder.data.drawing.species import MARKS, PALETTE, Bill, Species
from embedder.data.drawn_birds import individual

TESTS = ("rare", "common")
SIDE = 224
RARE_ONE_IN = 12
LANE = "configs/lanes/cpu-pose.yaml"
NO_POSE = ("--augment.pose_axis", "null")
CROP, FACING = ("--augment.pose_crop", "0.3"), ("--augment.pose_facing", "0.3")
HEAD = ("--augment.pose_head", "0.1")
WAYS: dict[str, tuple[str, ...]] = {
    "base": NO_POSE,
    "axis": (),
    "axis-half": ("--augment.pose_turn", "0.5"),
    "axis-above": ("--augment.pose_turn", "0.5", "--augment.pose_axis", "[-90, 90]"),
    "crop": (*NO_POSE, *CROP),
    "facing": (*NO_POSE, *FACING),
    "head": (*NO_POSE, *HEAD),
    "all": (*CROP, *FACING, *HEAD),
    "rotate": (*NO_POSE, "--augment.rotate", "180"),
}
"""What is other than in the lane."""

BODY = ("upperparts", "underparts", "wing", "tail_colour")
MARKS_OF_COLOUR = tuple(mark for mark in MARKS if getattr(Species("", *BODY), mark) is None)
CLEARLY = 60
"""By how much of 255 the colour of a made species's mark is another one than those of its body."""


def made_species(genera: int) -> dict[str, Species]:
    """Species that are in no guide, by their names: genera of four, whose members differ in one to three marks."""
    random = np.random.default_rng(0)
    made: dict[str, Species] = {}
    for genus in range(genera):
        body = dict(zip(BODY, random.choice([*PALETTE], len(BODY)).tolist(), strict=True))
        typical = Species(f"Plain Made-{genus}", **body, bill=random.choice(get_args(Bill)))
        clear = [one for one in PALETTE if min(_apart(one, body[part]) for part in BODY) > CLEARLY]
        members = [typical]
        for kind in ("First", "Second", "Third"):
            marks = random.choice(MARKS_OF_COLOUR, random.integers(1, 4), replace=False).tolist()
            colours = dict(zip(marks, random.choice(clear, len(marks)).tolist(), strict=True))
            members.append(replace(typical, name=f"{kind} Made-{genus}", **colours))
        made |= {species.name: species for species in members}
    return made


def _apart(one: str, other: str) -> float:
    """How far two colours are from each other."""
    return dist(PALETTE[one], PALETTE[other])


MADE = made_species(16)
KINDS = {**SPECIES, **MADE}


def main() -> None:
    options = read_options(__doc__, [*WAYS])
    compare(options, folders(options.folder, draw, options.held_out, [*MADE]), settings, measured)


def draw(folder: Path, trained: Sequence[str], tested: Sequence[str]) -> None:
    """The photos of the species trained on and of the others, with their tables."""
    for name, species, count, first in (
        ("train", trained, 32, 0),
        ("references", tested, 8, 0),
        ("rare", tested, 10, 100),
        ("common", tested, 10, 200),
    ):
        if not (folder / f"{name}.parquet").exists():
            save(folder, name, birds(name, species, count, first), lambda drawn: square(drawn.box))


def birds(name: str, species: Sequence[str], count: int, first: int) -> Iterator[tuple[str, DrawnBird]]:
    """So many individuals of each species, from the first on."""
    for label in species:
        for number in range(count):
            rare = name == "rare" or (name == "train" and number % RARE_ONE_IN == 0)
            bird = individual(label, first + number)
            yield label, draw_bird(KINDS[label], bird, SIDE, pose=pose_of(np.random.default_rng([bird, 7]), rare))


def pose_of(random: np.random.Generator, rare: bool) -> Pose:
    """How a bird stands: as the drawn birds do, in the middle and small enough to be turned; perhaps turned."""
    pose = replace(random_pose(random), size=random.uniform(0.2, 0.27), x=0.5, y=0.5)
    turn = random.uniform(50, 130) * random.choice([-1, 1])
    return pose.rotated(float(turn)) if rare else pose


def settings(folder: Path, way: str, seed: int) -> Config:
    """One training's."""
    photos = ("--data.root", str(folder / "train.parquet"), "--data.keypoint_names", str([*KEYPOINT_NAMES]))
    fixed = ("--data.protocol", "closed-set", "--data.validation", "none", "--train.accelerator", "cpu")
    return recipe("--config", LANE, *photos, *fixed, *WAYS[way], "--seed", str(seed))


def measured(run: Path, folder: Path, way: str) -> dict[str, Result]:
    """What is found of the queries in rare and in common poses."""
    embedder = Embedder.open(run)
    sets = {name: embed_whole(embedder, read_catalog(folder / f"{name}.parquet"))[0] for name in ("references", *TESTS)}
    return {f"{test} poses": scores(sets[test], sets["references"]) for test in TESTS}


if __name__ == "__main__":
    main()
