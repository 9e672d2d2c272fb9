"""What the bird stands on."""

from dataclasses import dataclass

import numpy as np

from embedder.data.drawing.bare_parts import FEET
from embedder.data.drawing.canvas import Canvas, Colour, mix, shade
from embedder.data.drawing.curves import Points, blades, closed_curve, ellipse, open_curve, points, ribbon
from embedder.data.drawing.pose import Skeleton
from embedder.data.drawing.scene import PLACES, Scene

LEVEL = FEET["near"][1]
_WOOD: tuple[Colour, ...] = ((106, 84, 66), (128, 112, 94), (84, 68, 58), (142, 116, 84))
_LEAF: tuple[Colour, ...] = ((86, 124, 58), (120, 150, 70), (60, 98, 56), (156, 160, 78))


@dataclass(frozen=True)
class _Props:
    """What perches are made with; outlines are given in the bird's coordinates, around its feet."""

    canvas: Canvas
    skeleton: Skeleton
    random: np.random.Generator

    def fill(self, shape: Points, colour: Colour) -> None:
        self.canvas.fill(self.skeleton.foot(shape), colour, of_bird=False)

    def choose(self, colours: tuple[Colour, ...]) -> Colour:
        return shade(colours[self.random.integers(len(colours))], self.random.uniform(0.85, 1.12))


def paint_perch(canvas: Canvas, skeleton: Skeleton, scene: Scene, random: np.random.Generator) -> None:
    """Paint branch, twig, post, rock or ground below the feet."""
    props, ground = _Props(canvas, skeleton, random), PLACES[scene.surroundings].ground
    if scene.perch == "branch":
        _branch(props, random.uniform(0.14, 0.24))
    elif scene.perch == "twig":
        _branch(props, random.uniform(0.06, 0.10))
    elif scene.perch == "post":
        _post(props)
    elif scene.perch == "rock":
        _rock(props, ground)
    elif scene.perch == "ground":
        _ground(props, ground)


def _branch(props: _Props, thickness: float) -> None:
    """A branch across the picture with its bark, side twigs and leaves."""
    random, colour = props.random, props.choose(_WOOD)
    slope, bow = random.uniform(-0.16, 0.16), random.uniform(-0.05, 0.05)
    along = np.array([-4.5, -2.5, -1.2, 0.08, 1.2, 2.5, 4.5])
    axis = LEVEL + thickness / 2 - 0.01 + slope * (along - 0.08) + bow * (along - 0.08) ** 2
    line = open_curve(np.stack([along, axis], axis=1), 4)
    for x in random.uniform(0.5, 2.5, random.integers(0, 4)) * random.choice([-1, 1]):
        _sprig(props, np.array([x, np.interp(x, along, axis)]), colour)
    widths = thickness * random.uniform(0.85, 1.2, 9)
    for lift, share, tone in ((0.0, 1.0, 0.72), (0.13, 0.72, 1.0), (0.30, 0.25, 1.22)):
        props.fill(ribbon(line - np.array([0, lift * thickness]), share * widths), shade(colour, tone))
    bark = random.uniform((-3, -0.4), (3, 0.4), (20, 2))
    spots = np.stack([bark[:, 0], np.interp(bark[:, 0], along, axis) + bark[:, 1] * thickness], axis=1)
    reach = np.array([0.08, 0.08 * slope])
    props.fill(blades(spots - reach, spots + reach, np.full(20, 0.018)), shade(colour, 0.58))


def _sprig(props: _Props, root: Points, wood: Colour) -> None:
    """A side twig with leaves."""
    random, leaf = props.random, props.choose(_LEAF)
    aim = root + random.uniform((-0.6, -0.7), (0.6, 0.7))
    bend = np.stack([root, (root + aim) / 2 + np.array([0, 0.06]), aim])
    props.fill(ribbon(open_curve(bend, 4), [0.05, 0.02]), shade(wood, 0.85))
    count = int(random.integers(2, 6))
    bases = root + random.uniform(0.35, 1, (count, 1)) * (aim - root)
    tips = bases + random.uniform(-0.36, 0.36, (count, 2))
    widths = 0.42 * np.hypot(*(tips - bases).T)
    for blade, tone in zip(blades(bases, tips, widths), random.uniform(0.8, 1.15, count), strict=True):
        props.fill(blade, shade(leaf, tone))
    props.fill(blades(bases, tips, np.full(count, 0.02)), shade(leaf, 0.72))


def _post(props: _Props) -> None:
    """The top of a weathered post."""
    random, colour = props.random, props.choose(_WOOD)
    half, middle = random.uniform(0.26, 0.42), 0.08
    left, right = middle - half, middle + half
    props.fill(points((left, LEVEL), (right, LEVEL), (right, 5), (left, 5)), colour)
    props.fill(points((right - 0.16, LEVEL), (right, LEVEL), (right, 5), (right - 0.12, 5)), shade(colour, 0.74))
    tops = random.uniform((left + 0.04, LEVEL), (right - 0.04, LEVEL + 1.2), (14, 2))
    props.fill(blades(tops, tops + np.array([0.0, 0.9]), np.full(14, 0.022)), shade(colour, 0.68))
    props.fill(ellipse((middle, LEVEL + 0.005), half, 0.06), shade(colour, 1.2))


def _rock(props: _Props, ground: Colour) -> None:
    """A boulder."""
    left, right = props.random.uniform(0.6, 1.6, 2)
    top = closed_curve(points(
        (-left - 0.5, LEVEL + 1.4), (-left, LEVEL + 0.32), (-0.3, LEVEL + 0.03), (0.4, LEVEL), (right, LEVEL + 0.22),
        (right + 0.5, LEVEL + 1.4), (right + 0.4, 5), (-left - 0.4, 5),
    ))  # fmt: skip
    for inset, lift, tone in ((1.0, 0.0, 0.70), (0.97, 0.02, 0.84), (0.93, 0.05, 0.95), (0.87, 0.09, 1.04)):
        squeezed = np.stack([top[:, 0] * inset, LEVEL + lift / 2 + (top[:, 1] - LEVEL) * (inset - 3 * lift)], axis=1)
        props.fill(squeezed, shade(ground, tone))
    _specks(props, ground, (-left, LEVEL + 0.15), (right, LEVEL + 1.2))
    _shadow(props, ground)


def _ground(props: _Props, ground: Colour) -> None:
    """Open ground, down to the picture's lower edge."""
    along = np.linspace(-5, 5, 21)
    for depth, tone in ((-0.16, 1.06), (0.0, 1.0), (0.22, 0.94), (0.6, 0.88)):
        edge = np.stack([along, LEVEL + depth + props.random.uniform(-0.03, 0.03, 21)], axis=1)
        props.fill(np.concatenate([open_curve(edge, 3), points((5, 6), (-5, 6))]), shade(ground, tone))
    _specks(props, ground, (-2.5, LEVEL - 0.1), (2.5, LEVEL + 1.4))
    _shadow(props, ground)


def _specks(props: _Props, ground: Colour, low: tuple[float, float], high: tuple[float, float]) -> None:
    """Grains and pebbles, darker and lighter than the ground."""
    for tone in (0.8, 0.9, 1.12):
        places = props.random.uniform(low, high, (18, 2))
        size = 0.016 + 0.03 * (places[:, 1:] - low[1])
        reach = np.concatenate([1.6 * size, np.zeros_like(size)], axis=1)
        props.fill(blades(places - reach, places + reach, 1.6 * size[:, 0]), shade(ground, tone))


def _shadow(props: _Props, ground: Colour) -> None:
    """The bird's shadow, in steps from its edge to its middle."""
    for step in range(5):
        size = 1 - 0.16 * step
        shadow = mix(ground, (40, 38, 48), 0.10 + 0.07 * step)
        props.fill(ellipse((0.02, LEVEL + 0.07), 0.62 * size, 0.085 * size), shadow)
