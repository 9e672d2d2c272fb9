"""A photo lit up where something is found in it, and dark elsewhere."""

import numpy as np
from PIL import Image, ImageDraw

from embedder.closer import Region
from index.explain import Side, Values

Colour = tuple[int, int, int]

FOR, AGAINST, NIGHT = (255, 171, 25), (70, 150, 255), (9, 14, 26)
"""The hues of what speaks for a label and of what speaks against it, which every colour vision tells apart; and of what
does neither."""

DARKEST, LIGHTEST, TINT, FADED = 0.42, 1.15, 0.4, 0.7
"""What a photo's brightness is multiplied by where there is nothing and where there is most; the share of the hue where
there is most; and how much of the photo's own colours is gone where there is nothing."""


EDGE = 0.01
"""Of a photo's side: so much outside of what a network looks at is worth a frame around that."""


def frame(side: Side, size: int) -> Image.Image:
    """What the network sees of a photo, its longer side ``size`` pixels."""
    width, height = side.image.size
    left, right = side.square[0] * width, side.square[2] * width
    top, bottom = side.square[1] * height, side.square[3] * height
    scale = size / max(right - left, bottom - top)
    shape = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    return side.image.resize(shape, Image.Resampling.LANCZOS, box=(left, top, right, bottom))


def lit(side: Side, values: Values, size: int) -> Image.Image:
    """Light on what adds to a similarity: in one hue where values are positive, in another where they are negative.

    Lightness grows evenly with a value, up to the greatest. Where a network looks closer, all around is dark, with a
    thin frame between.

    Args:
        side: the photo.
        values: [h, w], of its places.
        size: of the picture's longer side.
    """
    photo = frame(side, size)
    strength = _smooth(values, side.region, photo.size)[..., None]
    pixels, hue = np.asarray(photo, np.float64), np.where(strength < 0, AGAINST, FOR)
    shone = Image.fromarray(np.rint(_shone(pixels, np.abs(strength), hue)).astype(np.uint8))
    if looks_closer(side):
        left, top, width, height = _within(side.region, photo.size)
        pen = ImageDraw.Draw(shone)
        pen.rectangle((left - 1, top - 1, left + width, top + height), outline="#202020")
        pen.rectangle((left, top, left + width - 1, top + height - 1), outline="#f0f0f0")
    return shone


def looks_closer(side: Side) -> bool:
    """Whether a network looks at a part of a photo alone."""
    return side.region[2] < 1 - EDGE


def scale_of(width: int, height: int, low: float) -> Image.Image:
    """The colours of values from ``low``, 0 or -1, to 1."""
    values = np.broadcast_to(np.linspace(low, 1, width)[:, None], (height, width, 1))
    hue = np.where(values < 0, AGAINST, FOR)
    return Image.fromarray(np.rint(_shone(np.full((height, width, 3), 190.0), np.abs(values), hue)).astype(np.uint8))


def middle(side: Side, place: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    """Where the middle of a place, a row and a column, lies in a picture of ``frame``."""
    left, top, share = side.region
    (row, column), (height, width) = place, side.shares.shape
    return (left + share * (column + 0.5) / width) * shape[0], (top + share * (row + 0.5) / height) * shape[1]


def _shone(pixels: Values, light: Values, hue: Values) -> Values:
    """Pixels [H, W, 3] with light of a hue on them, [H, W, 1] between 0 and 1."""
    grey = (pixels @ (0.299, 0.587, 0.114))[..., None]
    dark = NIGHT + DARKEST * (pixels + FADED * (grey - pixels) - NIGHT)
    bright = NIGHT + LIGHTEST * (pixels - NIGHT)
    bright = bright + TINT * (hue - bright)
    shone: Values = dark + light * (bright - dark)
    return shone.clip(0, 255)


def _within(region: Region, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """A region in pixels of a picture: left, top, width and height."""
    left, top = round(region[0] * shape[0]), round(region[1] * shape[1])
    width = min(max(round(region[2] * shape[0]), 1), shape[0] - left)
    height = min(max(round(region[2] * shape[1]), 1), shape[1] - top)
    return left, top, width, height


def _smooth(values: Values, region: Region, shape: tuple[int, int]) -> Values:
    """Values between -1 and 1 for each pixel [H, W] of a picture; 0 outside of the region."""
    left, top, width, height = _within(region, shape)
    fine = Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.zeros(shape[::-1])
    strength[top : top + height, left : left + width] = fine
    most = float(np.abs(strength).max())
    return strength / most if most > 0 else strength
