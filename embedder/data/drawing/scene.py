"""What a picture shows beside the bird: surroundings, light, what stands in front, and the lens that sees it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Surroundings = Literal[
    "leaves", "autumn", "sky", "lake", "snow", "reeds", "bark", "meadow", "dusk", "sand", "blossom", "pines", "paper"
]
Perch = Literal["branch", "twig", "post", "rock", "ground", "none"]
Cover = Literal["none", "leaves", "twig", "grass"]
Tone = tuple[int, int, int]


@dataclass(frozen=True)
class Place:
    """What one kind of surroundings looks like.

    Attributes:
        gradient: colours from the top to the bottom.
        blobs: colours of the large soft shapes far behind.
        discs: colours of the small bright discs out of focus.
        strokes: colours of the long shapes behind.
        stroke_angle: their direction in degrees, 0 is level.
        perches: what a bird stands on there.
        ground: the colour of the ground or stone that it stands on.
    """

    gradient: tuple[Tone, ...]
    blobs: tuple[Tone, ...] = ()
    discs: tuple[Tone, ...] = ()
    strokes: tuple[Tone, ...] = ()
    stroke_angle: float = 90.0
    perches: tuple[Perch, ...] = ("branch", "twig")
    ground: Tone = (120, 110, 96)


PLACES: dict[Surroundings, Place] = {
    "leaves": Place(
        ((164, 192, 118), (96, 138, 74), (52, 86, 48)),
        blobs=((134, 176, 88), (70, 112, 56), (190, 206, 130), (40, 70, 42)),
        discs=((214, 230, 160), (160, 200, 110), (240, 244, 200)),
    ),
    "autumn": Place(
        ((226, 190, 120), (196, 128, 62), (116, 70, 42)),
        blobs=((220, 150, 60), (168, 78, 40), (240, 200, 110), (110, 84, 50)),
        discs=((250, 214, 130), (236, 160, 80), (204, 96, 52)),
        perches=("branch", "twig", "post"),
    ),
    "sky": Place(
        ((104, 154, 206), (160, 196, 226), (218, 230, 236)),
        blobs=((240, 244, 246), (206, 222, 234), (130, 172, 214)),
        perches=("twig", "branch", "post"),
    ),
    "lake": Place(
        ((150, 176, 178), (98, 136, 148), (62, 98, 116)),
        blobs=((176, 200, 200), (70, 104, 116)),
        discs=((224, 238, 238), (190, 214, 214)),
        strokes=((190, 212, 212), (60, 94, 108), (120, 156, 160)),
        stroke_angle=0.0,
        perches=("rock", "twig", "post"),
        ground=(112, 116, 114),
    ),
    "snow": Place(
        ((196, 206, 218), (226, 232, 240), (242, 244, 248)),
        blobs=((178, 190, 206), (250, 250, 252), (150, 166, 186)),
        discs=((255, 255, 255), (250, 252, 255)),
        perches=("ground", "branch", "twig"),
        ground=(236, 240, 246),
    ),
    "reeds": Place(
        ((206, 196, 150), (176, 158, 104), (112, 98, 62)),
        blobs=((220, 208, 160), (140, 128, 80)),
        strokes=((222, 206, 150), (150, 132, 80), (116, 112, 66), (190, 170, 110)),
        stroke_angle=84.0,
        perches=("twig", "ground"),
        ground=(126, 112, 78),
    ),
    "bark": Place(
        ((112, 96, 80), (96, 80, 66), (70, 58, 50)),
        blobs=((134, 116, 96), (70, 60, 50), (100, 108, 78)),
        strokes=((60, 48, 40), (138, 120, 100), (88, 74, 60)),
        stroke_angle=97.0,
        perches=("branch",),
    ),
    "meadow": Place(
        ((190, 212, 190), (150, 180, 100), (96, 134, 62)),
        blobs=((176, 198, 110), (110, 146, 70)),
        discs=((246, 220, 90), (238, 238, 240), (214, 110, 150), (250, 236, 150)),
        strokes=((128, 162, 76), (176, 192, 112)),
        stroke_angle=80.0,
        perches=("ground", "post", "rock"),
        ground=(112, 138, 70),
    ),
    "dusk": Place(
        ((92, 86, 130), (196, 128, 128), (238, 178, 126)),
        blobs=((240, 190, 150), (120, 92, 126), (206, 136, 130)),
        discs=((255, 220, 170),),
        perches=("twig", "branch", "post"),
    ),
    "sand": Place(
        ((206, 196, 180), (214, 194, 158), (190, 164, 124)),
        blobs=((226, 208, 174), (170, 148, 116), (150, 150, 140)),
        perches=("ground", "rock"),
        ground=(204, 180, 140),
    ),
    "blossom": Place(
        ((226, 216, 222), (212, 172, 184), (132, 134, 110)),
        blobs=((240, 200, 212), (214, 150, 172), (130, 144, 100)),
        discs=((252, 226, 232), (240, 180, 200), (255, 244, 244)),
    ),
    "pines": Place(
        ((86, 108, 104), (46, 68, 62), (24, 40, 38)),
        blobs=((30, 50, 46), (76, 102, 90), (120, 142, 134)),
        discs=((140, 166, 150), (96, 124, 108)),
        strokes=((24, 36, 34), (60, 84, 74)),
        stroke_angle=90.0,
        perches=("branch", "twig", "rock"),
        ground=(84, 92, 84),
    ),
    "paper": Place(((246, 240, 226), (246, 240, 226)), perches=("twig",)),
}


@dataclass(frozen=True)
class Scene:
    """The surroundings of one picture.

    Attributes:
        surroundings: what lies behind.
        perch: what the bird stands on.
        cover: what stands in front of it.
        light_angle: where the light comes from, in degrees clockwise from the right; -90 is from above.
        shading: how strongly it models the bird.
        warmth: shift towards red (positive) or blue.
        brightness: what the whole picture is multiplied with.
        contrast: how far its tones are spread around the middle.
        vignette: how much darker the corners are.
        blur: radius of the lens's blur, as a share of the side.
        noise: standard deviation of the sensor's noise, of 255.
        jitter: standard deviation of the individual's colour, as a share.
    """

    surroundings: Surroundings = "paper"
    perch: Perch = "none"
    cover: Cover = "none"
    light_angle: float = -115.0
    shading: float = 0.4
    warmth: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    vignette: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jitter: float = 0.0


PAPER = Scene()


def random_scene(random: np.random.Generator) -> Scene:
    """The surroundings of one photo."""
    names = [name for name in PLACES if name != "paper"]
    surroundings = names[random.integers(len(names))]
    perches = PLACES[surroundings].perches
    covers: tuple[Cover, ...] = ("none", "none", "leaves", "twig", "grass")
    return Scene(
        surroundings=surroundings,
        perch=perches[random.integers(len(perches))],
        cover=covers[random.integers(len(covers))],
        light_angle=float(random.uniform(-165, -15)),
        shading=float(random.uniform(0.35, 0.75)),
        warmth=float(random.uniform(-0.1, 0.1)),
        brightness=float(random.uniform(0.78, 1.15)),
        contrast=float(random.uniform(0.85, 1.1)),
        vignette=float(random.uniform(0, 0.3)),
        blur=float(random.uniform(0, 0.0028)),
        noise=float(random.uniform(1, 5)),
        jitter=0.025,
    )
