"""The one way from an upright RGB photo to the pixels that the network sees, outside of training's random views.

It travels inside ``embedder.onnx``, so that it cannot drift away from the weights. Torch is not needed.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.cores import available_cores
from eval.errors import InputError, unknown
from eval.stages import stage

GREATEST_SIZE = 8192
"""Of the square's side, in pixels: beyond it a slip of the keys."""

STRIP = 1 << 16
"""Pixels of a photo that are worth a thread of their own."""

Fit = Literal["crop", "squash"]
Interpolation = Literal["bicubic", "bilinear"]

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

MARGIN = 2.9
"""How many pixels a photo that is decoded at a reduced size has at least for each that is kept. These are then the same
to one grey level, 98 of 100, or to three. For the usual 256, photos of 12 megapixels are decoded at a quarter."""

LEAST = 512
"""And at least so many in all, for a thumbnail."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize a photo to a square; normalisation is the network's own first step.

    Attributes:
        size: side S of the square, in pixels.
        fit: crop resizes the shorter side to S / crop_share and cuts the centre square; squash resizes the whole photo
            to the square, whatever its aspect.
        crop_share: share of the shorter side that crop keeps, in (0, 1].
        interpolation: the filter, widened where the photo shrinks (so without aliasing).
        detail: how many times larger the square is, a side, than what the network sees of it: for one that looks
            closer at a part of it.
        marked: whether a fourth channel says where the subject is known to be: 255 in what is cut out by a box, 0 where
            the network is to look for it.
    """

    size: int
    fit: Fit = "crop"
    crop_share: float = 0.875
    interpolation: Interpolation = "bicubic"
    detail: int = 1
    marked: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the pixels of one photo."""
        return self.size, self.size, 3 + self.marked

    @property
    def seen(self) -> int:
        """The side, in pixels, of what the network sees: of the whole square, or of a part of it."""
        return self.size // self.detail

    def __post_init__(self) -> None:
        if not 1 <= self.size <= GREATEST_SIZE:
            raise InputError(f"size is {self.size}; it must be at least 1 pixel and at most {GREATEST_SIZE}")
        if not 0 < self.crop_share <= 1:
            raise InputError(f"crop_share is {self.crop_share}; it must be above 0 and at most 1")
        for kind, name, known in (
            ("fit", self.fit, get_args(Fit)),
            ("interpolation", self.interpolation, get_args(Interpolation)),
        ):
            if name not in known:
                raise unknown(kind, name, known)

    def __call__(self, image: Image.Image, cores: int = 1, boxed: bool = False) -> NDArray[np.uint8]:
        """Turn one photo into pixels.

        Args:
            image: an RGB photo of any size and aspect.
            cores: how many work on it, each on a strip. The pixels are the same to one grey level.
            boxed: whether a box has been cut out.

        Returns:
            uint8 ``[S, S, 3]``, or 4 where ``marked``.
        """
        pixels = self._resized(image, cores)
        if not self.marked:
            return pixels
        return np.concatenate([pixels, np.full((self.size, self.size, 1), 255 * boxed, np.uint8)], axis=2)

    def _resized(self, image: Image.Image, cores: int) -> NDArray[np.uint8]:
        """What is kept of one photo, uint8 ``[S, S, 3]``."""
        with stage("preprocess"):
            left, top, right, bottom = self.square(*image.size)
            strips = min(cores, self.size, 1 + image.width * image.height // STRIP)
            edges = [self.size * strip // strips for strip in range(strips + 1)]
            height = (bottom - top) / self.size

            def resized(first: int, last: int) -> NDArray[np.uint8]:
                box = (left, top + first * height, right, bottom if last == self.size else top + last * height)
                return np.array(image.resize((self.size, last - first), FILTERS[self.interpolation], box=box))

            if strips == 1:
                return resized(0, self.size)
            others = [_helpers().submit(resized, *ends) for ends in pairwise(edges[1:])]
            return np.concatenate([resized(*edges[:2]), *(other.result() for other in others)])

    @property
    def enough(self) -> int:
        """Pixels that the shorter side of a photo needs not exceed, whatever is kept of it."""
        return max(LEAST, round(MARGIN * (self.size if self.fit == "squash" else self._shorter)))

    def stack(self, images: Iterable[Image.Image]) -> NDArray[np.uint8]:
        """Turn photos into one batch, uint8 ``[B, S, S, 3]``, or 4 where ``marked``, none of them cut out by a box."""
        return np.stack([self(image) for image in images])

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values, for ``from_json``; the last two where they are set: they change fingerprints."""
        later = {"detail": Preprocessing.detail, "marked": Preprocessing.marked}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}

    @classmethod
    def from_json(cls, settings: dict[str, Any]) -> "Preprocessing":
        """Read what ``to_json`` wrote.

        Raises:
            InputError: an unknown key, or a value out of range.
        """
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise unknown("preprocessing key", key, known)
        return cls(**settings)

    @property
    def _shorter(self) -> int:
        """The shorter side of a photo of which the centre is kept, in pixels of the size at which it is."""
        return round(self.size / self.crop_share)

    def square(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What is kept of a photo, in its own pixels: left, top, right, bottom.

        So one resize computes no pixel that a cut throws away.
        """
        if self.fit == "squash":
            return 0.0, 0.0, float(width), float(height)
        side = min(width, height) * self.size / self._shorter
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


@cache
def _helpers() -> ThreadPoolExecutor:
    """The threads that all strips but the first are resized in; they wait for the next photo."""
    return ThreadPoolExecutor(available_cores(), "strips")
