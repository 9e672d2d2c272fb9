"""What lies behind the bird, out of focus."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from embedder.data.drawing.canvas import outlines
from embedder.data.drawing.curves import blades, rays
from embedder.data.drawing.scene import Place, Tone


def backdrop(place: Place, side: int, random: np.random.Generator) -> Image.Image:
    """The surroundings without bird and perch: RGB, at half of ``side``, because nothing in it is sharp."""
    side //= 2
    image = _gradient(place, side, random)
    if place.blobs:
        _discs(image, place.blobs, random, 14, (0.08, 0.30), (0.3, 0.7))
        image = image.filter(ImageFilter.GaussianBlur(0.05 * side))
    if place.strokes:
        _strokes(image, place, random)
        image = image.filter(ImageFilter.GaussianBlur(0.014 * side))
    if place.discs:
        _discs(image, place.discs, random, int(random.integers(6, 26)), (0.015, 0.07), (0.15, 0.55))
        image = image.filter(ImageFilter.GaussianBlur(0.008 * side))
    return image


def _gradient(place: Place, side: int, random: np.random.Generator) -> Image.Image:
    """The colours from top to bottom, a little aslant."""
    slope, shift = random.uniform(-0.4, 0.4), random.uniform(-0.2, 0.2)
    across, down = np.linspace(-0.5, 0.5, side), np.linspace(0, 1, side)[:, None]
    depth = np.clip(down + slope * across + shift, 0, 1)
    stops = np.linspace(0, 1, len(place.gradient))
    channels = [np.interp(depth, stops, channel) for channel in zip(*place.gradient, strict=True)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


def _discs(
    image: Image.Image,
    colours: tuple[Tone, ...],
    random: np.random.Generator,
    count: int,
    sizes: tuple[float, float],
    strength: tuple[float, float],
) -> None:
    """See-through discs at random places, their radius a share of the side."""
    brush = ImageDraw.Draw(image, "RGBA")
    low, high = np.array([0, 0, sizes[0], strength[0]]), np.array([1, 1, sizes[1], strength[1]])
    draws = low + random.random((count, 4)) * (high - low)
    for (x, y, radius, opacity), colour in zip(draws.tolist(), random.integers(len(colours), size=count), strict=True):
        corners = [image.width * edge for edge in (x - radius, y - radius, x + radius, y + radius)]
        brush.ellipse(corners, fill=(*colours[colour], round(255 * opacity)))


def _strokes(image: Image.Image, place: Place, random: np.random.Generator, count: int = 26) -> None:
    """See-through stems, furrows or ripples."""
    brush = ImageDraw.Draw(image, "RGBA")
    middle, half = random.random((count, 2)), random.uniform(0.12, 0.62, count)[:, None]
    reach = half * rays(random.uniform(-8, 8, count) + place.stroke_angle)
    widths = 0.008 + 0.035 * random.random(count) ** 2
    colours, opacities = random.integers(len(place.strokes), size=count), random.uniform(0.35, 0.82, count)
    shapes = outlines(blades(middle - reach, middle + reach, widths), image.width)
    for corners, colour, opacity in zip(shapes, colours, opacities, strict=True):
        brush.polygon(corners, fill=(*place.strokes[colour], round(255 * opacity)))
