"""One picture of queries and their nearest references: the evidence at a glance."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont, ImageOps

Frame = Literal["right", "wrong", "same", "other"]
"""What a tile's frame says: where the truth is known, whether its label is right or wrong; else, whether it is the same
as the answer."""

Photo = Image.Image | str
"""A photo, or why it cannot be shown."""

Line = tuple[str, ImageFont.FreeTypeFont, str]
"""A line of text with its font and colour."""

_FRAMES = {"right": "#1f9d6b", "wrong": "#d9542b", "same": "#3f6fd1", "other": "#c9ced6"}
_PAPER, _CARD, _EMPTY, _INK, _FAINT = "#eef0f4", "#ffffff", "#e4e7ec", "#1b2430", "#66707d"
_MARGIN, _GAP, _EDGE = 20, 14, 4
_QUERY_SIDE, _TILE_SIDE = 236, 152
_TITLE, _TEXT, _SMALL = 21, 15, 13

# Pillow's own typeface is the best looking and has ASCII only; DejaVu lies in matplotlib's folder (which need not be
# imported for that) and has the alphabets; the others are what systems carry for the rest of the world's scripts.
_SYSTEM_TYPEFACES = ("NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msyh.ttc", "PingFang.ttc")


@dataclass(frozen=True)
class Tile:
    """One of the nearest references: its photo, its label, its cosine, and how its frame is coloured.

    One that is ``ranked`` bears its place among the tiles; another one is there for something else.
    """

    image: Photo
    caption: str
    similarity: float
    frame: Frame = "other"
    ranked: bool = True


@dataclass(frozen=True)
class Row:
    """A query: its photo, the answer, a line about it, and the nearest references, nearest first."""

    query: Photo
    title: str
    subtitle: str
    tiles: Sequence[Tile]


def contact_sheet(rows: Sequence[Row], columns: int = 5) -> Image.Image:
    """Draw one card a query: the query and its answer at the left, then the nearest references in order of rank.

    Args:
        rows: the queries, from top to bottom.
        columns: references side by side; further ones continue below.
    """
    typeface = _typeface("".join(text for row in rows for text in _texts(row)))
    cards = [_card(row, columns, typeface) for row in rows]
    width = max((card.width for card in cards), default=0) + 2 * _MARGIN
    sheet = Image.new("RGB", (width, sum(card.height + _MARGIN for card in cards) + _MARGIN), _PAPER)
    top = _MARGIN
    for card in cards:
        shape = Image.new("RGB", (width - 2 * _MARGIN, card.height), _CARD)
        shape.paste(card)
        sheet.paste(shape, (_MARGIN, top), _rounded(shape.size, 12))
        top += card.height + _MARGIN
    return sheet


def _texts(row: Row) -> list[str]:
    """All that is written about a query."""
    reasons = [photo for photo in (row.query, *(tile.image for tile in row.tiles)) if isinstance(photo, str)]
    return [row.title, row.subtitle, *(tile.caption for tile in row.tiles), *reasons]


def _card(row: Row, columns: int, typeface: str | None) -> Image.Image:
    """Draw one query with its references."""
    title, text = _font(typeface, _TITLE), _font(typeface, _TEXT)
    lines = [(line, title, _INK) for line in _wrap(row.title, title, _QUERY_SIDE, 2)]
    lines += [(line, text, _FAINT) for line in _wrap(row.subtitle, text, _QUERY_SIDE, 3)]
    tile_width = _TILE_SIDE + _GAP
    tile_height = _TILE_SIDE + 2 * _line_height(text) + _line_height(_font(typeface, _SMALL)) + _GAP
    left = _MARGIN + _QUERY_SIDE + 2 * _GAP
    below = sum(_line_height(font) for _, font, _ in lines)
    height = max(_QUERY_SIDE + _GAP + below, ceil(len(row.tiles) / columns) * tile_height - _GAP)
    width = left + min(columns, len(row.tiles)) * tile_width - _GAP + _MARGIN
    card = Image.new("RGB", (width, height + 2 * _MARGIN), _CARD)
    _draw_photo(card, row.query, (_MARGIN, _MARGIN), _QUERY_SIDE, typeface)
    _draw_lines(card, lines, (_MARGIN, _MARGIN + _QUERY_SIDE + _GAP))
    for rank, tile in enumerate(row.tiles):
        corner = (left + rank % columns * tile_width, _MARGIN + rank // columns * tile_height)
        _draw_tile(card, tile, rank + 1, corner, typeface)
    return card


def _draw_lines(card: Image.Image, lines: list[Line], corner: tuple[int, int]) -> None:
    """Draw lines of text below one another."""
    left, top = corner
    for text, font, colour in lines:
        ImageDraw.Draw(card).text((left, top), text, colour, font)
        top += _line_height(font)


def _draw_tile(card: Image.Image, tile: Tile, rank: int, corner: tuple[int, int], typeface: str | None) -> None:
    """Draw one reference: frame, photo, rank, and below them label and similarity."""
    left, top = corner
    frame = Image.new("RGB", (_TILE_SIDE, _TILE_SIDE), _FRAMES[tile.frame])
    card.paste(frame, corner, _rounded(frame.size, 8 + _EDGE))
    _draw_photo(card, tile.image, (left + _EDGE, top + _EDGE), _TILE_SIDE - 2 * _EDGE, typeface)
    text, small = _font(typeface, _TEXT), _font(typeface, _SMALL)
    draw = ImageDraw.Draw(card)
    if tile.ranked:
        badge = Image.new("RGB", (int(small.getlength(str(rank))) + 14, 22), _FRAMES[tile.frame])
        card.paste(badge, (left, top), _rounded(badge.size, 9))
        draw.text((left + badge.width / 2, top + 11), str(rank), _INK if tile.frame == "other" else _CARD, small, "mm")
    lines = [(line, text, _INK) for line in _wrap(tile.caption, text, _TILE_SIDE, 2)]
    _draw_lines(card, [*lines, (f"similarity {tile.similarity:.3f}", small, _FAINT)], (left, top + _TILE_SIDE + 5))


def _draw_photo(card: Image.Image, photo: Photo, corner: tuple[int, int], side: int, typeface: str | None) -> None:
    """Draw a whole photo into a square, or why it cannot be shown."""
    if isinstance(photo, str):
        font = _font(typeface, _SMALL)
        square = Image.new("RGB", (side, side), _EMPTY)
        lines = "\n".join(_wrap(photo, font, side - 2 * _GAP, 6))
        ImageDraw.Draw(square).multiline_text((side / 2, side / 2), lines, _FAINT, font, "mm", align="center")
    else:
        square = ImageOps.pad(photo.convert("RGB"), (side, side), Image.Resampling.LANCZOS, _EMPTY)
    card.paste(square, corner, _rounded(square.size, 8))


@cache
def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """A mask with smooth round corners."""
    mask = Image.new("L", (size[0] * 4, size[1] * 4))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] * 4 - 1, size[1] * 4 - 1), radius * 4, 255)
    return mask.resize(size, Image.Resampling.BOX)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
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


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    """The distance from one line to the next, in pixels."""
    return round(font.size * 1.35)


@cache
def _font(typeface: str | None, size: int) -> ImageFont.FreeTypeFont:
    """A typeface in a size in pixels; none for Pillow's own."""
    font = ImageFont.load_default(size) if typeface is None else ImageFont.truetype(typeface, size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _typeface(text: str) -> str | None:
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
    font = _font(typeface, _TEXT)
    blank = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(character)) == blank for character in set("".join(text.split())))
