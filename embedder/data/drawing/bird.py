"""Draws one bird: a pure function of the species, the individual and the seed."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.data.drawing.backdrop import backdrop
from embedder.data.drawing.bare_parts import BILL_BASE, FEET, bill_tip, paint_bill, paint_crest, paint_eye, paint_legs
from embedder.data.drawing.body import paint_body
from embedder.data.drawing.canvas import Canvas, Inks
from embedder.data.drawing.cover import paint_cover
from embedder.data.drawing.feathers import paint_tail, paint_wing, tail_tip
from embedder.data.drawing.light import light, photograph
from embedder.data.drawing.markings import EYE
from embedder.data.drawing.painter import Painter
from embedder.data.drawing.perch import paint_perch
from embedder.data.drawing.pose import SHOULDER, TAIL_BASE, Pose, Skeleton, random_pose
from embedder.data.drawing.scene import PLACES, Scene, random_scene
from embedder.data.drawing.species import Species

_BODY_POINTS = {
    "bill base": BILL_BASE,
    "eye": EYE,
    "crown": (0.57, -0.69),
    "nape": (0.25, -0.52),
    "throat": (0.68, -0.28),
    "breast": (0.56, 0.08),
    "belly": (0.05, 0.50),
    "back": (-0.05, -0.22),
    "rump": (-0.46, 0.18),
    "tail base": TAIL_BASE,
}
KEYPOINT_NAMES = ("bill tip", *_BODY_POINTS, "tail tip", "shoulder", "wing tip", "near foot", "far foot")
_WING_TIP = (-0.88, 0.48)

Purpose = Literal["pose", "scene", "backdrop", "perch", "inks", "cover", "noise"]


@dataclass(frozen=True)
class DrawnBird:
    """One picture of a bird, with what is known about it.

    Attributes:
        image: the picture, RGB.
        keypoints: x and y in pixels and 1 where the point can be seen, 0 where something stands before it or it lies
            outside the picture; in the order of ``KEYPOINT_NAMES``: [K, 3].
        box: left, top, right and bottom of the bird in pixels.
        mask: the share of each pixel that the bird covers, as if nothing stood before it, L.
        pose: how it stands.
        scene: its surroundings.
        mark_regions: by mark, the circle x, y, radius in pixels around where it was painted; of marks that the species
            has.
    """

    image: Image.Image
    keypoints: NDArray[np.float64]
    box: tuple[int, int, int, int]
    mask: Image.Image
    pose: Pose
    scene: Scene
    mark_regions: dict[str, tuple[float, float, float]]


def draw_bird(
    species: Species,
    individual: int,
    side: int = 192,
    *,
    seed: int = 0,
    pose: Pose | None = None,
    scene: Scene | None = None,
) -> DrawnBird:
    """Draw one individual of a species.

    Everything but the field marks is a function of ``seed`` and ``individual`` alone, so that two species drawn as the
    same individual stand in the same pose, light and place.

    Args:
        species: its field marks; any combination of them can be drawn.
        individual: which bird, from 0.
        side: width and height of the picture in pixels.
        seed: another seed draws other individuals.
        pose: how it stands, instead of the individual's own pose.
        scene: where it is seen, instead of the individual's own surroundings.
    """
    pose = pose or random_pose(_stream(seed, individual, "pose"))
    scene = scene or random_scene(_stream(seed, individual, "scene"))
    skeleton = Skeleton(pose, side)
    canvas = Canvas(backdrop(PLACES[scene.surroundings], side, _stream(seed, individual, "backdrop")), side)
    paint_perch(canvas, skeleton, scene, _stream(seed, individual, "perch"))
    inks = Inks(1 + scene.jitter * _stream(seed, individual, "inks").standard_normal(3))
    painter = Painter(species, canvas, skeleton, inks)
    for paint in (paint_tail, paint_legs, paint_bill, paint_crest, paint_body, paint_wing, paint_eye):
        paint(painter)
    image, mask = canvas.shrunk()
    light(image, mask, skeleton, scene)
    hidden = paint_cover(image, scene.cover, skeleton, _stream(seed, individual, "cover"))
    image = photograph(image, scene, _stream(seed, individual, "noise"))
    keypoints = _keypoints(species, skeleton, hidden)
    return DrawnBird(image, keypoints, mask.getbbox() or (0, 0, side, side), mask, pose, scene, painter.regions())


def _stream(seed: int, individual: int, purpose: Purpose) -> np.random.Generator:
    """The random numbers of one individual for one purpose."""
    return np.random.default_rng([seed, individual, get_args(Purpose).index(purpose)])


def _keypoints(species: Species, skeleton: Skeleton, hidden: Image.Image) -> NDArray[np.float64]:
    """Where the points of ``KEYPOINT_NAMES`` lie, and whether they can be seen: [K, 3]."""
    places = np.concatenate(
        [
            skeleton.body(np.array([bill_tip(species), *_BODY_POINTS.values()])),
            skeleton.tail(tail_tip(species)[None]),
            skeleton.wing(np.array([SHOULDER, _WING_TIP])),
            skeleton.foot(np.array([FEET["near"], FEET["far"]])),
        ]
    )
    side = hidden.width
    inside = ((places >= 0) & (places < side)).all(axis=1)
    column, row = np.clip(places, 0, side - 1).astype(int).T
    seen = inside & (np.asarray(hidden)[row, column] < 128)
    return np.concatenate([places, seen[:, None]], axis=1)
