"""Body and head: the coat of plumage with its marks, cut out along the silhouette."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from embedder.data.drawing.canvas import SUPERSAMPLING, Colour, mix, outlines, shade
from embedder.data.drawing.curves import Points, closed_curve
from embedder.data.drawing.feathers import WING_OUTLINE
from embedder.data.drawing.markings import DETAILS, EAR, PATCHES, SILHOUETTE
from embedder.data.drawing.painter import Painter

_WING_SHADOW = closed_curve(WING_OUTLINE + np.array([0.01, 0.055]))


def paint_body(painter: Painter) -> None:
    """Soft patches first, then the marks with clear edges."""
    species, inks = painter.species, painter.inks
    upper, under = inks[species.upperparts], inks[species.underparts]
    silhouette = painter.skeleton.body(SILHOUETTE)
    coat = _Coat(painter, silhouette, upper)
    coat.veil(EAR, shade(upper, 0.93), 0.6)
    for mark, shape in PATCHES.items():
        coat.paint(mark, shape)
    coat.veil(_WING_SHADOW, shade(mix(under, upper, 0.4), 0.55), 0.45)
    coat.soften(0.022 * painter.skeleton.unit)
    for mark, shape in DETAILS.items():
        coat.paint(mark, shape)
    painter.canvas.paste(coat.image, coat.corner, silhouette)
    painter.note(silhouette, "upperparts")


class _Coat:
    """The plumage of body and head as one picture without an outline, so that patches may reach over the edge.

    Args:
        painter: whose bird it is.
        silhouette: what the coat must cover, in pixels of the final picture.
        colour: its ground.
    """

    def __init__(self, painter: Painter, silhouette: Points, colour: Colour) -> None:
        self._painter = painter
        left, top = np.floor(silhouette.min(axis=0)).astype(int).tolist()
        right, bottom = np.ceil(silhouette.max(axis=0)).astype(int).tolist()
        self.corner = (left - 1, top - 1)
        self.image = Image.new("RGB", (right - left + 2, bottom - top + 2), colour)
        self._scale = 1

    def paint(self, mark: str, shape: Points) -> None:
        """Fill one outline [P, 2] or several [F, P, 2] of the bird at rest, if the species has the mark."""
        colour = getattr(self._painter.species, mark)
        if colour:
            placed = self._painter.skeleton.body(shape)
            self._fill(ImageDraw.Draw(self.image), placed, self._painter.inks[colour])
            self._painter.note(placed, mark)

    def veil(self, shape: Points, colour: Colour, strength: float) -> None:
        """Fill one outline [P, 2] of the bird at rest, see-through."""
        fill = (*colour, round(255 * strength))
        self._fill(ImageDraw.Draw(self.image, "RGBA"), self._painter.skeleton.body(shape), fill)

    def soften(self, radius: float) -> None:
        """Blur what is painted so far, and go on at the canvas's scale."""
        soft = self.image.filter(ImageFilter.GaussianBlur(radius))
        self._scale = SUPERSAMPLING
        self.image = soft.resize((soft.width * self._scale, soft.height * self._scale), Image.Resampling.BILINEAR)

    def _fill(self, brush: ImageDraw.ImageDraw, placed: Points, fill: tuple[int, ...]) -> None:
        """Fill outlines given in pixels of the final picture."""
        for corners in outlines(placed - np.array(self.corner), self._scale):
            brush.polygon(corners, fill=fill)
