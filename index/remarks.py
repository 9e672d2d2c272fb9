"""What is wrong with a photo itself, whatever it shows."""

from PIL import Image

from eval.quality import sharpness

SMALLEST = 0.5
"""The least share of the embedder's input that the shorter side of a photo should have."""

BLURRED = 0.5
"""How much less sharp than nearly all references a photo is that is called blurred: they may be of another camera."""


def remarks(name: str | None, image: Image.Image, input_size: int, least_sharp: float | None) -> list[str]:
    """Say whether a photo is too small or too blurred to be told by.

    Args:
        name: what the photo is called; None where it has no name.
        image: how it looks.
        input_size: the pixels a side that the embedder looks at.
        least_sharp: how sharp nearly all references are; None where that is not known.
    """
    named = f"{name}: " if name else ""
    found = []
    if min(image.size) < input_size * SMALLEST:
        width, height = image.size
        found.append(f"{named}too small: {width} x {height} pixels, and the embedder looks at {input_size}")
    if least_sharp is not None and sharpness(image) < BLURRED * least_sharp:
        found.append(f"{named}too blurred: less than half as sharp as 99 % of the references")
    return found
