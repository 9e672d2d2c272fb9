"""Text in pictures, in whatever script a label is, and what all pictures have in common."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Line = tuple[str, ImageFont.FreeTypeFont, str]
"""A line of text with its font and colour."""

PAPER, CARD, EMPTY, INK, FAINT = "#eef0f4", "#ffffff", "#e4e7ec", "#1b2430", "#66707d"
TITLE, TEXT, SMALL = 21, 15, 13
"""Sizes of fonts, in pixels."""

MARGIN = 20
"""Around a card, and within it."""

# Pillow's own typeface is the best looking and has ASCII only; DejaVu lies in matplotlib's folder (which need not be
# imported for that) and has the alphabets; the others are what systems carry for the rest of the world's scripts.
_SYSTEM_TYPEFACES = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "PingFang.ttc")


def stacked(cards: Sequence[Image.Image]) -> Image.Image:
    """Cards below one another on paper, equally wide."""
    width = max((card.width for card in cards), default=0) + 2 * MARGIN
    sheet = Image.new("RGB", (width, sum(card.height + MARGIN for card in cards) + MARGIN), PAPER)
    top = MARGIN
    for card in cards:
        shape = Image.new("RGB", (width - 2 * MARGIN, card.height), CARD)
        shape.paste(card)
        sheet.paste(shape, (MARGIN, top), rounded(shape.size, 12))
        top += card.height + MARGIN
    return sheet


def draw_lines(card: Image.Image, lines: list[Line], corner: tuple[int, int]) -> None:
    """Draw lines of text below one another."""
    left, top = corner
    for text, font, colour in lines:
        ImageDraw.Draw(card).text((left, top), text, colour, font)
        top += line_height(font)


@cache
def rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A mask with smooth round corners."""
    mask = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), radius * 4, 255)
    return mask.resize(size, Image.Resampling.BOX)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """Break a text into at most ``most`` lines that fit into ``width`` pixels; what is cut off leaves an ellipsis."""
    text = " ".join(text.split())
    lines: list[str] = []
    while font.getlength(text) > width:
        last = len(lines) == most - 1
        room = width - font.getlength("…") if last else width
        fitting = max(1, bisect_right(range(1, len(text)), room, key=lambda length: font.getlength(text[:length])))
        if last:
            return [*lines, text[:fitting].rstrip() + "…"]
        space = max(text.rfind(" ", 0, fitting + 1), *(text.rfind(mark, 0, fitting) + 1 for mark in "_-/."))
        lines.append(text[: space if space > 0 else fitting])
        text = text[len(lines[-1]) :].lstrip()
    return [*lines, text] if text else lines


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """The distance from one line to the next, in pixels."""
    return round(font.size * 1.35)


@cache
def font_of(typeface: str | None, size: int) -> ImageFont.FreeTypeFont:
    """A typeface in a size in pixels; none for Pillow's own."""
    font = ImageFont.load_default(size) if typeface is None else ImageFont.truetype(typeface, size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def typeface_for(text: str) -> str | None:
    """The first typeface that has all characters of a text, else the one that lacks the fewest; none for Pillow's."""
    matplotlib = find_spec("matplotlib")
    folder = Path(matplotlib.origin or "").parent / "mpl-data/fonts/ttf" if matplotlib else Path()
    missing: dict[str | None, int] = {None: _missing(None, text)}
    for typeface in (str(folder / "DejaVuSans.ttf"), *_SYSTEM_TYPEFACES):
        if min(missing.values()) > 0:
            with suppress(OSError):
                missing[typeface] = _missing(typeface, text)
    return min(missing, key=lambda typeface: missing[typeface])


def _missing(typeface: str | None, text: str) -> int:
    """How many different characters of a text a typeface does not have."""
    font = font_of(typeface, TEXT)
    blank = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(character)) == blank for character in set("".join(text.split())))
