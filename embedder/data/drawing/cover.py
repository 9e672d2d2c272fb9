"""What stands in front of the bird, nearer than the lens is focused."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from embedder.data.drawing.canvas import Colour, outlines, shade
from embedder.data.drawing.curves import Points, blades, open_curve, points, rays, ribbon
from embedder.data.drawing.pose import Skeleton
from embedder.data.drawing.scene import Cover

_GREENS: tuple[Colour, ...] = ((92, 132, 60), (128, 156, 74), (66, 102, 56), (150, 140, 70), (170, 120, 60))


def paint_cover(image: Image.Image, cover: Cover, skeleton: Skeleton, random: np.random.Generator) -> Image.Image:
    """Lay what stands in front over ``image``, in place.

    Returns:
        How much of each pixel it hides, L.
    """
    mask = Image.new("L", image.size)
    if cover == "none":
        return mask
    colour = _GREENS[random.integers(len(_GREENS))]
    layer = Image.new("RGB", image.size, colour)
    brush, stencil = ImageDraw.Draw(layer), ImageDraw.Draw(mask)
    for shape, tone in _SHAPES[cover](random):
        (corners,) = outlines(skeleton.foot(shape), 1)
        brush.polygon(corners, fill=shade(colour, tone))
        stencil.polygon(corners, fill=255)
    softness = ImageFilter.GaussianBlur(skeleton.unit * random.uniform(0.012, 0.05))
    mask = mask.filter(softness)
    image.paste(layer.filter(softness), (0, 0), mask)
    return mask


Shapes = list[tuple[Points, float]]


def _leaves(random: np.random.Generator) -> Shapes:
    """A spray of leaves from one side, each with its tone."""
    angle, count = random.uniform(0, 360), int(random.integers(3, 7))
    bases = random.uniform(0.75, 1.05) * rays(angle) + random.normal(0, 0.12, (count, 2))
    lengths = random.uniform(0.3, 0.6, count)
    tips = bases + lengths[:, None] * rays(angle + 180 + random.uniform(-85, 85, count))
    return list(zip(blades(bases, tips, 0.4 * lengths), random.uniform(0.75, 1.15, count).tolist(), strict=True))


def _twig(random: np.random.Generator) -> Shapes:
    """A thin twig across, with a few leaves."""
    angle, offset = random.uniform(-70, 70), random.uniform(-0.45, 0.75)
    along = np.array([-4.0, -1.3, 0.0, 1.3, 4.0])[:, None]
    line = open_curve(along * rays(angle) + np.array([0, offset]) + 0.05 * np.sin(3 * along))
    bases = line[random.integers(5, 20, 4)]
    tips = bases + random.uniform(-0.4, 0.4, (4, 2))
    leaves = blades(bases, tips, 0.4 * np.hypot(*(tips - bases).T))
    return [(ribbon(line, [0.05, 0.06, 0.045]), 0.6), *((leaf, 1.0) for leaf in leaves)]


def _grass(random: np.random.Generator) -> Shapes:
    """Blades of grass from below."""
    stems = []
    for x, lean, height, tone in random.random((int(random.integers(5, 12)), 4)):
        foot, top = 2.4 * x - 1.2, 0.55 - 0.85 * height
        line = points((foot, 3.5), (foot + 0.2 * (lean - 0.5), 1.2), (foot + 0.9 * (lean - 0.5), top))
        stems.append((ribbon(open_curve(line), [0.07, 0.065, 0.05, 0.0]), 0.75 + 0.4 * tone))
    return stems


_SHAPES = {"leaves": _leaves, "twig": _twig, "grass": _grass}
