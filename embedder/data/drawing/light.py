"""Light on the bird, and the lens that sees it."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from embedder.data.drawing.curves import rays
from embedder.data.drawing.pose import Skeleton
from embedder.data.drawing.scene import Scene

_TEXTURE_SIDE = 384
_TEXTURE_REACH = 1.5


def light(image: Image.Image, mask: Image.Image, skeleton: Skeleton, scene: Scene) -> None:
    """Light the bird as if it were round, in place: brighter where it faces the light, darker where it turns away.

    Args:
        image: the picture, RGB.
        mask: the share of each pixel that the bird covers, L.
        skeleton: where the bird's points lie.
        scene: where the light comes from, and how strong it is.
    """
    box = mask.getbbox()
    if box:
        factor = 1 + scene.shading * np.clip(_facing(mask, skeleton.unit, scene.light_angle), -0.7, 0.32)
        left, top, right, bottom = box
        factor = factor[top:bottom, left:right] * _texture_on(skeleton, box)
        colours = np.asarray(image.crop(box), np.float32) * factor[..., None]
        image.paste(Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8)), (left, top), mask.crop(box))


def photograph(image: Image.Image, scene: Scene, random: np.random.Generator) -> Image.Image:
    """The colour of the light, the lens's blur and vignette, and the sensor's noise."""
    side = image.width
    if scene.blur:
        image = image.filter(ImageFilter.GaussianBlur(scene.blur * side))
    tint = scene.brightness * np.array([1 + scene.warmth, 1.0, 1 - scene.warmth], np.float32)
    colours = np.asarray(image, np.float32) * (scene.contrast * tint)
    colours += 128 * (1 - scene.contrast) * tint
    if scene.vignette:
        colours *= 1 - scene.vignette * _distance_from_middle(side)
    if scene.noise:
        colours += scene.noise * random.standard_normal((side, side, 1), np.float32)
    return Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))


def _facing(mask: Image.Image, unit: float, light_angle: float) -> NDArray[np.floating]:
    """How far the bird's surface faces the light, about -1 to 1: [side, side].

    The height of the surface is a blurred mask: high in the middle of the bird, falling towards its outline.
    """
    half = mask.reduce(2)
    height = np.zeros((half.height, half.width), np.float32)
    for radius, weight in ((0.24, 1.0), (0.10, 0.45)):
        height += weight * radius * np.asarray(half.filter(ImageFilter.GaussianBlur(radius * unit / 2)), np.float32)
    down, across = np.gradient(height * (unit / 2 / 255))
    x, y = rays(light_angle)
    return np.asarray(Image.fromarray(-2.2 * (across * np.float32(x) + down * np.float32(y))).resize(mask.size))


def _texture_on(skeleton: Skeleton, box: tuple[int, int, int, int]) -> NDArray[np.floating]:
    """The texture of feathers as it lies on the bird, around 1: [height, width] of ``box``."""
    origin, ahead, below = skeleton.foot(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    matrix = np.linalg.inv(np.stack([ahead - origin, below - origin], axis=1)) * _TEXTURE_SIDE / (2 * _TEXTURE_REACH)
    shift = matrix @ (np.array(box[:2]) - origin) + _TEXTURE_SIDE / 2
    placed = _texture().transform(
        (box[2] - box[0], box[3] - box[1]),
        Image.Transform.AFFINE,
        (*matrix[0], shift[0], *matrix[1], shift[1]),
        Image.Resampling.BILINEAR,
        fillcolor=128,
    )
    return 1 + 0.24 * (np.asarray(placed, np.float32) / 255 - 0.5)


@cache
def _texture() -> Image.Image:
    """Fine strokes along the body: noise that is smeared in one direction, L."""
    noise = np.random.default_rng(7).normal(128, 90, (2 * _TEXTURE_SIDE, 2 * _TEXTURE_SIDE)).clip(0, 255)
    smeared = Image.fromarray(noise.astype(np.uint8)).filter(ImageFilter.GaussianBlur((4.5, 0.9)))
    quarter = _TEXTURE_SIDE // 2
    strokes = np.asarray(smeared.rotate(-38, Image.Resampling.BICUBIC), np.float32)[quarter:-quarter, quarter:-quarter]
    spread = (strokes - strokes.mean()) / (4 * strokes.std()) + 0.5
    return Image.fromarray((np.clip(spread, 0, 1) * 255).astype(np.uint8))


@cache
def _distance_from_middle(side: int) -> NDArray[np.floating]:
    """Squared distance of each pixel from the middle, 1 in the corners: [side, side, 1]."""
    axis = np.linspace(-1, 1, side, dtype=np.float32) ** 2 / 2
    return (axis[:, None] + axis)[..., None]
