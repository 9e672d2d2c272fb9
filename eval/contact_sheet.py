"""One picture of queries and their nearest references: the evidence at a glance."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from PIL import Image, ImageDraw, ImageOps

from eval.images import BadImage, open_image
from eval.lettering import (
    CARD,
    EMPTY,
    FAINT,
    INK,
    MARGIN,
    SMALL,
    TEXT,
    TITLE,
    draw_lines,
    font_of,
    line_height,
    rounded,
    stacked,
    typeface_for,
    wrap,
)

Frame = Literal["right", "wrong", "same", "other"]
"""What a tile's frame says: where the truth is known, whether its label is right or wrong; else, whether it is the same
as the answer."""

Photo = Image.Image | str
"""A photo, or why it cannot be shown."""

_FRAMES = {"right": "#1f9d6b", "wrong": "#d9542b", "same": "#3f6fd1", "other": "#c9ced6"}
_GAP, _EDGE = 14, 4
_QUERY_SIDE, _TILE_SIDE = 236, 152


def kept_photo(content: bytes) -> Photo:
    """A picture that is kept beside vectors, from its file's bytes: perhaps none, or one that somebody else made."""
    try:
        return open_image(content) if content else "no picture"
    except BadImage as error:
        return error.reason


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
    typeface = typeface_for("".join(text for row in rows for text in _texts(row)))
    return stacked([_card(row, columns, typeface) for row in rows])


def _texts(row: Row) -> list[str]:
    """All that is written about a query."""
    reasons = [photo for photo in (row.query, *(tile.image for tile in row.tiles)) if isinstance(photo, str)]
    return [row.title, row.subtitle, *(tile.caption for tile in row.tiles), *reasons]


def _card(row: Row, columns: int, typeface: str | None) -> Image.Image:
    """Draw one query with its references."""
    title, text = font_of(typeface, TITLE), font_of(typeface, TEXT)
    lines = [(line, title, INK) for line in wrap(row.title, title, _QUERY_SIDE, 2)]
    lines += [(line, text, FAINT) for line in wrap(row.subtitle, text, _QUERY_SIDE, 3)]
    tile_width = _TILE_SIDE + _GAP
    tile_height = _TILE_SIDE + 2 * line_height(text) + line_height(font_of(typeface, SMALL)) + _GAP
    left = MARGIN + _QUERY_SIDE + 2 * _GAP
    below = sum(line_height(font) for _, font, _ in lines)
    height = max(_QUERY_SIDE + _GAP + below, ceil(len(row.tiles) / columns) * tile_height - _GAP)
    width = left + min(columns, len(row.tiles)) * tile_width - _GAP + MARGIN
    card = Image.new("RGB", (width, height + 2 * MARGIN), CARD)
    _draw_photo(card, row.query, (MARGIN, MARGIN), _QUERY_SIDE, typeface)
    draw_lines(card, lines, (MARGIN, MARGIN + _QUERY_SIDE + _GAP))
    for rank, tile in enumerate(row.tiles):
        corner = (left + rank % columns * tile_width, MARGIN + rank // columns * tile_height)
        _draw_tile(card, tile, rank + 1, corner, typeface)
    return card


def _draw_tile(card: Image.Image, tile: Tile, rank: int, corner: tuple[int, int], typeface: str | None) -> None:
    """Draw one reference: frame, photo, rank, and below them label and similarity."""
    left, top = corner
    frame = Image.new("RGB", (_TILE_SIDE, _TILE_SIDE), _FRAMES[tile.frame])
    card.paste(frame, corner, rounded(frame.size, 8 + _EDGE))
    _draw_photo(card, tile.image, (left + _EDGE, top + _EDGE), _TILE_SIDE - 2 * _EDGE, typeface)
    text, small = font_of(typeface, TEXT), font_of(typeface, SMALL)
    draw = ImageDraw.Draw(card)
    if tile.ranked:
        badge = Image.new("RGB", (int(small.getlength(str(rank))) + 14, 22), _FRAMES[tile.frame])
        card.paste(badge, (left, top), rounded(badge.size, 9))
        draw.text((left + badge.width / 2, top + 11), str(rank), INK if tile.frame == "other" else CARD, small, "mm")
    lines = [(line, text, INK) for line in wrap(tile.caption, text, _TILE_SIDE, 2)]
    draw_lines(card, [*lines, (f"similarity {tile.similarity:.3f}", small, FAINT)], (left, top + _TILE_SIDE + 5))


def _draw_photo(card: Image.Image, photo: Photo, corner: tuple[int, int], side: int, typeface: str | None) -> None:
    """Draw a whole photo into a square, or why it cannot be shown."""
    if isinstance(photo, str):
        font = font_of(typeface, SMALL)
        square = Image.new("RGB", (side, side), EMPTY)
        lines = "\n".join(wrap(photo, font, side - 2 * _GAP, 6))
        ImageDraw.Draw(square).multiline_text((side / 2, side / 2), lines, FAINT, font, "mm", align="center")
    else:
        square = ImageOps.pad(photo.convert("RGB"), (side, side), Image.Resampling.LANCZOS, EMPTY)
    card.paste(square, corner, rounded(square.size, 8))
