"""A picture that is drawn larger than it is and then shrunk, which smooths every edge."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from embedder.data.drawing.curves import Points
from embedder.data.drawing.species import PALETTE

SUPERSAMPLING = 3

Colour = tuple[int, int, int]


class Canvas:
    """A picture and the mask of the bird in it, both drawn at ``SUPERSAMPLING`` times their size.

    Args:
        backdrop: what lies behind, RGB; it is stretched.
        side: side of the picture in pixels.
    """

    def __init__(self, backdrop: Image.Image, side: int) -> None:
        large = (side * SUPERSAMPLING, side * SUPERSAMPLING)
        self.image = backdrop.resize(large, Image.Resampling.BILINEAR)
        self.mask = Image.new("L", large)
        self._brush, self._stencil = ImageDraw.Draw(self.image), ImageDraw.Draw(self.mask)

    def fill(self, shape: Points, colour: Colour, of_bird: bool = True) -> None:
        """Fill one outline [P, 2] or several [F, P, 2], given in pixels of the final picture."""
        for corners in outlines(shape):
            self._brush.polygon(corners, fill=colour)
            if of_bird:
                self._stencil.polygon(corners, fill=255)

    def paste(self, coat: Image.Image, corner: tuple[int, int], shape: Points) -> None:
        """Lay ``coat`` (drawn large; its corner in pixels of the final picture) through one outline [P, 2]."""
        origin = (corner[0] * SUPERSAMPLING, corner[1] * SUPERSAMPLING)
        stencil = Image.new("L", coat.size)
        ImageDraw.Draw(stencil).polygon(outlines(shape - np.array(corner))[0], fill=255)
        self.image.paste(coat, origin, stencil)
        self.mask.paste(255, origin, stencil)

    def shrunk(self) -> tuple[Image.Image, Image.Image]:
        """The picture (RGB) and the share of each pixel that the bird covers (L)."""
        return self.image.reduce(SUPERSAMPLING), self.mask.reduce(SUPERSAMPLING)


def outlines(shape: Points, scale: float = SUPERSAMPLING) -> list[list[float]]:
    """The corners x, y, x, y, ... of one outline [P, 2] or several [F, P, 2], drawn ``scale`` times larger."""
    flat: list[list[float]] = (shape * scale).reshape(-1, 2 * shape.shape[-2]).tolist()
    return flat


def mix(first: Sequence[float], second: Sequence[float], share: float) -> Colour:
    """A colour between two, ``share`` of the way to the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(colour: Sequence[float], factor: float) -> Colour:
    """A darker (``factor`` below 1) or lighter colour."""
    return mix(colour, (0, 0, 0), 1 - factor) if factor < 1 else mix(colour, (255, 255, 255), factor - 1)


class Inks:
    """The palette as one individual wears it.

    Args:
        jitter: what red, green and blue are multiplied with: [3].
    """

    def __init__(self, jitter: NDArray[np.float64]) -> None:
        self._jitter = jitter

    def __getitem__(self, name: str) -> Colour:
        red, green, blue = np.clip(np.array(PALETTE[name]) * self._jitter, 0, 255).astype(int).tolist()
        return red, green, blue
