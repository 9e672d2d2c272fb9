"""What of a photo a view shows, as one map that moves its pixels and its keypoints alike.

Points are (x, y) with the photo's upper left corner at (0, 0): the centre of its first pixel is (0.5, 0.5).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedder.config import AugmentSettings

Floats = NDArray[np.float64]

CORNERS: Floats = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
"""Of a square of side 1, clockwise from the upper left."""

DISTORTIONS = 10
"""Random numbers that ``distorted`` takes."""

BEYOND = (124, 116, 104)
"""What a view shows where it reaches beyond the photo: the mean colour of ImageNet."""

FINER = 1.125
"""How many pixels are left for each of a view's, across, before they are turned: with fewer the view is blurred, with
more it is jagged (``bench/resampling.py``)."""


def squashed_aspect(settings: AugmentSettings, shape: tuple[int, int]) -> float:
    """Width / height of what becomes a square when it is squashed as a photo of that width and height is."""
    return shape[0] / shape[1] if settings.relative_aspect else 1.0


@dataclass(frozen=True)
class Frame:
    """What of a photo a view shows: a rectangle, whose contents are turned, slanted, seen aslant and mirrored.

    Attributes:
        left: the rectangle's left edge in pixels of the photo; it may reach beyond the photo if it is not upright.
        top: its upper edge.
        width: its width.
        height: its height.
        mirrored: whether left and right change places, last of all.
        turn: degrees, clockwise, about the rectangle's centre.
        shear: degrees by which upright lines then lean to the right.
        corners: the points of the rectangle that become the view's corners, in the order of ``CORNERS`` and as shares
            of its width and height: [4, 2]; None for its own.
    """

    left: float
    top: float
    width: float
    height: float
    mirrored: bool = False
    turn: float = 0.0
    shear: float = 0.0
    corners: Floats | None = None

    @property
    def upright(self) -> bool:
        """Whether the view is the rectangle, perhaps mirrored."""
        return not (self.turn or self.shear) and self.corners is None

    def matrix(self, size: int) -> Floats:
        """The map from the photo to a view of ``size`` x ``size`` pixels, for columns (x, y, 1): [3, 3]."""
        cosine, sine = math.cos(math.radians(self.turn)), math.sin(math.radians(self.turn))
        centred = np.array([[1, 0, -self.left - self.width / 2], [0, 1, -self.top - self.height / 2], [0, 0, 1]])
        turned = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        slanted = np.array([[1, -math.tan(math.radians(self.shear)), 0], [0, 1, 0], [0, 0, 1]])
        square = np.array([[1 / self.width, 0, 0.5], [0, 1 / self.height, 0.5], [0, 0, 1]])
        whole = square @ slanted @ turned @ centred
        if self.corners is not None:
            whole = np.linalg.inv(_from_square(self.corners)) @ whole
        across, shift = (-size, size) if self.mirrored else (size, 0)
        return np.array([[across, 0, shift], [0, size, 0], [0, 0, 1]]) @ whole


def moved(points: Floats, matrix: Floats) -> Floats:
    """Where a map takes points [..., 2]."""
    found = points @ matrix[:, :2].T + matrix[:, 2]
    return found[..., :2] / found[..., 2:]


def distorted(frame: Frame, settings: AugmentSettings, draws: Floats) -> Frame:
    """The frame turned, slanted and seen aslant at random.

    Args:
        frame: an upright one.
        settings: how far at most.
        draws: uniform numbers in [0, 1): [DISTORTIONS].
    """
    turn, shear = np.array([settings.rotate, settings.shear]) * (2 * draws[:2] - 1)
    corners = None
    if settings.perspective:
        inward = settings.perspective / 2 * draws[2:].reshape(4, 2)
        corners = CORNERS + inward * (1 - 2 * CORNERS)
    return replace(frame, turn=float(turn), shear=float(shear), corners=corners)


def seen(image: Image.Image, frame: Frame, size: int, shape: tuple[int, int] | None = None) -> Image.Image:
    """The view of ``size`` x ``size`` pixels.

    Args:
        image: the photo, however many pixels it has been brought to.
        frame: what to show of it.
        size: side of the view.
        shape: width and height of the photo that ``frame`` is in pixels of; none for those of ``image``.
    """
    across, down = (of / full for of, full in zip(image.size, shape or image.size, strict=True))
    if not frame.upright:
        return _transformed(image, frame.matrix(size) @ np.diag([1 / across, 1 / down, 1.0]), size)
    right = min(across * (frame.left + frame.width), image.width)
    bottom = min(down * (frame.top + frame.height), image.height)
    box = (across * frame.left, down * frame.top, right, bottom)
    view = image.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=3.0)
    return view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if frame.mirrored else view


def _transformed(image: Image.Image, matrix: Floats, size: int) -> Image.Image:
    """The view by any map from the image to the view.

    Pillow's transform looks at 4 x 4 pixels whatever the scale is. So what the view shows is first brought to about the
    view's scale by a resize, which looks at all of them.
    """
    back = np.linalg.inv(matrix).astype(np.float64)
    middle = moved(size / 2 + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), back)
    step = np.linalg.norm(middle[1:] - middle[0], axis=0)  # pixels of the image, across and down, for one of the view
    shown = moved(size * CORNERS, back)
    margin = 3 * np.maximum(step, 1)
    low = np.maximum(np.floor(shown.min(axis=0) - margin), 0)
    high = np.minimum(np.ceil(shown.max(axis=0) + margin), image.size)
    if (high <= low).any():  # far outside of the photo
        return Image.new("RGB", (size, size), BEYOND)
    kept = np.ceil((high - low) / np.maximum(step / FINER, 1)).astype(int)
    part = image.resize((int(kept[0]), int(kept[1])), Image.Resampling.BICUBIC, (*low, *high), reducing_gap=3.0)
    into = np.diag([*(kept / (high - low)), 1.0]) @ np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
    found = into @ back
    found /= found[2, 2]
    straight = not found[2, :2].any()
    method = Image.Transform.AFFINE if straight else Image.Transform.PERSPECTIVE
    data = found.ravel()[: 6 if straight else 8].tolist()
    return part.transform((size, size), method, data, Image.Resampling.BICUBIC, fillcolor=BEYOND)


def _from_square(points: Floats) -> Floats:
    """The map that takes ``CORNERS`` to other points [4, 2]: [3, 3]."""
    rows = []
    for (x, y), (to_x, to_y) in zip(CORNERS, points, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -to_x * x, -to_x * y], [0, 0, 0, x, y, 1, -to_y * x, -to_y * y]]
    return np.append(np.linalg.solve(np.array(rows), points.ravel()), 1.0).reshape(3, 3)
