"""The random view of a photo that training sees."""

import math

import numpy as np
from PIL import Image, ImageEnhance

from embedder.augment.geometry import DISTORTIONS, Frame, distorted, seen, squashed_aspect
from embedder.augment.pose import DRAWS, Subject, posed
from embedder.config import AugmentSettings
from embedder.randomness import keyed_generator
from eval.errors import InputError

ERASED_SHARE = (0.02, 0.4)
ERASED_ASPECT = (0.3, 1 / 0.3)
"""Area and shape of an erased rectangle (Zhong et al. 2020, "Random Erasing Data Augmentation", section 4.2)."""

MOST = {
    "mirror": 1.0,
    "erase": 1.0,
    "attended_crop": 1.0,
    "attended_drop": 1.0,
    "attended_since": 1.0,
    "hue": 0.5,
    "brightness": math.inf,
    "contrast": math.inf,
    "saturation": math.inf,
    "rotate": 180.0,
    "shear": 60.0,
    "perspective": 0.6,
    "pose_crop": 1.0,
    "pose_turn": 1.0,
    "pose_facing": 1.0,
    "pose_head": 1.0,
}
"""Greatest value of what is 0 at least. From two thirds of perspective on, what is shown may cross itself."""


def training_view(
    image: Image.Image,
    settings: AugmentSettings,
    size: int,
    generator: np.random.Generator,
    shape: tuple[int, int] | None = None,
    subject: Subject | None = None,
) -> np.ndarray:
    """A random part of a photo, perhaps turned or mirrored, its colours changed, perhaps with a rectangle painted over.

    Every draw is made whatever the settings are, so that changing one thing leaves the others as they were.

    Args:
        image: the photo, RGB.
        settings: what may happen, and how strongly.
        size: side of the view in pixels.
        generator: where all randomness comes from.
        shape: width and height that the photo had before it was squashed to what it is.
        subject: the photo's keypoints, in pixels of that shape.

    Returns:
        The view: uint8 [size, size, 3].
    """
    place, colour, order, erase = np.split(generator.random(18), [5, 9, 13])
    view = seen(image, _frame(settings, place, shape or image.size, subject), size, shape)
    pixels = np.array(_recoloured(view, settings, 2 * colour - 1, order))
    if erase[0] < settings.erase:
        left, top, width, height = map(int, _rectangle(erase[1:], ERASED_SHARE, ERASED_ASPECT, view.size))
        noise = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        pixels[top : top + height, left : left + width] = noise
    return pixels


def view_subject(
    subject: Subject, settings: AugmentSettings, size: int, generator: np.random.Generator, shape: tuple[int, int]
) -> Subject:
    """Where the keypoints of a photo lie in the view that ``training_view`` makes of it."""
    return subject.moved(_frame(settings, generator.random(18)[:5], shape, subject), size)


def check_settings(settings: AugmentSettings) -> None:
    """Refuse settings that describe no view.

    Raises:
        InputError: a share, a probability, a change or a range is not what it can be.
    """
    for name, most in (("crop_share", 1.0), ("crop_aspect", math.inf)):
        low, high = getattr(settings, name)
        if not 0 < low <= high <= most:
            raise InputError(
                f"augment.{name} is {low}, {high}; it must be a least and a greatest value above 0, at most {most}"
            )
    for name, most in MOST.items():
        if not 0 <= getattr(settings, name) <= most:
            raise InputError(f"augment.{name} is {getattr(settings, name)}; it must lie between 0 and {most}")
    if settings.pose_axis and not -180 <= settings.pose_axis[0] <= settings.pose_axis[1] <= 180:
        low, high = settings.pose_axis
        raise InputError(
            f"augment.pose_axis is {low}, {high}; it must be a least and a greatest angle from -180 to 180"
        )
    if settings.pose_turn != 1 and not settings.pose_axis:
        raise InputError(
            f"augment.pose_turn is {settings.pose_turn}, but augment.pose_axis is not set; set it, or leave both out"
        )
    if settings.pose_axis and not settings.pose_turn:
        raise InputError(
            "augment.pose_turn is 0, so nothing is turned into augment.pose_axis; raise it, or leave both out"
        )
    if settings.attended_crop + settings.attended_drop > 1:
        raise InputError(
            f"augment.attended_crop and attended_drop are {settings.attended_crop} and {settings.attended_drop}; a "
            "photo is one or the other, so together they must be at most 1"
        )
    if settings.attended_since == 1 and settings.attended_crop + settings.attended_drop > 0:
        raise InputError("augment.attended_since is 1, so nothing is seen closer or painted over; lower it")


def _frame(settings: AugmentSettings, draws: np.ndarray, shape: tuple[int, int], subject: Subject | None) -> Frame:
    """What of a photo a view shows.

    What came after the crops draws from a generator of its own: crops are the same without it as they were before.

    Args:
        settings: what may happen.
        draws: uniform numbers in [0, 1): those of the rectangle, mirroring.
        shape: width and height of the photo.
        subject: its keypoints, in pixels of that shape.
    """
    (low, high), square = settings.crop_aspect, squashed_aspect(settings, shape)
    rectangle = _rectangle(draws[:4], settings.crop_share, (low * square, high * square), shape)
    frame = Frame(*rectangle, mirrored=bool(draws[4] < settings.mirror))
    more = keyed_generator("geometry", float(draws[0]).hex()).random(DISTORTIONS + DRAWS)
    frame = distorted(frame, settings, more[:DISTORTIONS])
    return posed(frame, settings, more[DISTORTIONS:], subject, shape) if subject else frame


def _rectangle(
    draws: np.ndarray, share: tuple[float, float], aspect: tuple[float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """A random rectangle (left, top, width, height) within ``size``.

    Its share of the area is uniform and its width / height log-uniform (Szegedy et al. 2015, "Going deeper with
    convolutions", section 6), among the aspects that fit at that area; where none does, the largest rectangle of the
    nearest aspect. Asking for what fits takes a fixed number of draws, unlike trying until it does.

    Args:
        draws: uniform numbers in [0, 1): area, aspect, left, top.
        share: least and greatest share of the area.
        aspect: least and greatest width / height.
        size: width and height of the whole.
    """
    whole = size[0] / size[1]
    kept = share[0] + draws[0] * (share[1] - share[0])
    low, high = max(aspect[0], whole * kept), min(aspect[1], whole / kept)
    chosen = low * (high / low) ** draws[1] if low <= high else float(np.clip(whole, *aspect))
    width = min(math.sqrt(kept * size[0] * size[1] * chosen), size[0], size[1] * chosen)
    height = min(width / chosen, size[1])
    return draws[2] * (size[0] - width), draws[3] * (size[1] - height), width, height


def _recoloured(image: Image.Image, settings: AugmentSettings, changes: np.ndarray, order: np.ndarray) -> Image.Image:
    """The image with its colours changed, one after another in the order of the ranks of ``order`` [4].

    Args:
        image: the image.
        settings: the greatest changes.
        changes: uniform numbers in [-1, 1): of brightness, contrast, saturation and hue.
        order: random numbers.
    """
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    most = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    for change in np.argsort(order):
        if not most[change]:
            continue
        if change < len(enhancers):
            image = enhancers[change](image).enhance(max(0.0, 1 + most[change] * changes[change]))
        else:
            image = _turned_hue(image, most[change] * changes[change])
    return image


def _turned_hue(image: Image.Image, turn: float) -> Image.Image:
    """The image with every hue turned by a share of the full circle."""
    hue, saturation, value = image.convert("HSV").split()
    turned = (np.asarray(hue).astype(np.int16) + round(turn * 256)) % 256
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8)), saturation, value)).convert("RGB")
