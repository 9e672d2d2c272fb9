"""Explanations as a picture: a photo beside references, with what makes them similar lit up in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from eval.lettering import (
    CARD,
    EMPTY,
    FAINT,
    INK,
    MARGIN,
    SMALL,
    TEXT,
    TITLE,
    Line,
    draw_lines,
    font_of,
    line_height,
    rounded,
    stacked,
    typeface_for,
    wrap,
)
from index.explain import Explanation, Side, Values
from index.light import AGAINST, FOR, Colour, frame, lit, looks_closer, middle, scale_of

PHOTO, COLUMN, SEAM, GAP = 272, 300, 4, 26
"""Pixels: of a photo in a pair, of the column at the left, between the photos of a pair, and between pairs."""

ABREAST = 2
"""Pairs beside each other."""

MARKS, LEAST = 3, 0.2
"""Pairs of places that are marked, and the least share of the strongest's that one has."""

BADGE = 10
"""Half the size of a mark."""

PARTS, TILE = 8, 8
"""Parts beside each other, and pixels between them."""

WHY = {True: "exact", False: "approximate"}
SEEN = {"photo": "", "thumbnail": ", by thumbnail", "none": ""}

Place = tuple[int, int]
"""A row and a column."""


@dataclass(frozen=True)
class Card:
    """A photo and its answer, with explanations by references of the answered label and, in each, by a rival."""

    title: str
    subtitle: str
    explanations: Sequence[Explanation]


def draw(cards: Sequence[Card]) -> Image.Image:
    """Draw one card a photo: the photo, its answer and a legend at the left, then the photo beside each reference."""
    labels = {one.label for card in cards for first in card.explanations for one in (first, first.rival) if one}
    cards = [card for card in cards if card.explanations]
    typeface = typeface_for("".join([*sorted(labels), *(card.title + card.subtitle for card in cards)]))
    return stacked([_card(card, typeface) for card in cards])


def marked(pairs: Values) -> list[tuple[Place, Place]]:
    """Those of pairs [h, w, h', w'] that add most, the strongest first: a place of the photo and one of the reference.

    None is beside an earlier one in either photo: it would say the same again.
    """
    found: list[tuple[Place, Place]] = []
    left, least = pairs.copy(), max(LEAST * float(pairs.max()), 0.0)
    while len(found) < MARKS and left.max() > least:
        row, column, other_row, other_column = map(int, np.unravel_index(left.argmax(), left.shape))
        found.append(((row, column), (other_row, other_column)))
        left[_around(row), _around(column)] = -np.inf
        left[:, :, _around(other_row), _around(other_column)] = -np.inf
    return found


def _around(place: int) -> slice:
    """A row or a column and those beside it."""
    return slice(max(place - 1, 0), place + 2)


def _card(card: Card, typeface: str | None) -> Image.Image:
    """Draw one photo with its pairs."""
    first = card.explanations[0]
    every = [*card.explanations, *([first.rival] if first.rival else [])]
    tall = max(frame(side, PHOTO).height for one in every for side in (one.query, one.reference) if side)
    pairs = [_pair(one, one.query.shares.clip(0), FOR, "123", tall, typeface) for one in card.explanations]
    if first.rival is not None and first.difference is not None:
        pairs.append(_pair(first.rival, first.difference, AGAINST, "abc", tall, typeface))
    column = _column(card, typeface)
    height = max(pair.height for pair in pairs) + GAP
    left, rows = MARGIN + COLUMN + GAP, -(-len(pairs) // ABREAST)
    across = min(ABREAST, len(pairs)) * (2 * PHOTO + SEAM + GAP) - GAP
    parts = _parts(first, across, font_of(typeface, SMALL))
    below = rows * height + (parts.height if parts else -GAP)
    made = Image.new("RGB", (left + across + MARGIN, max(column.height, below) + 2 * MARGIN), CARD)
    made.paste(column, (MARGIN, MARGIN))
    if parts:
        made.paste(parts, (left, MARGIN + rows * height))
    for place, pair in enumerate(pairs):
        made.paste(pair, (left + place % ABREAST * (pair.width + GAP), MARGIN + place // ABREAST * height))
    return made


def _pair(one: Explanation, values: Values, hue: Colour, marks: str, tall: int, typeface: str | None) -> Image.Image:
    """The photo with some values lit up, and the reference with what it is similar by, each ``tall`` pixels high."""
    text, small = font_of(typeface, TEXT), font_of(typeface, SMALL)
    places = [] if one.pairs is None else marked(one.pairs)
    side = -1 if hue == AGAINST else 1
    (label, *_) = wrap(one.label, text, PHOTO, 1) or [""]
    similar = f"similarity {one.similarity:.3f}, {WHY[one.exact]}{SEEN[one.reference_seen]}"
    what = "what speaks for the answer, and for this rival" if hue == AGAINST else "what makes the two similar"
    told, lit_by = ([(line, small, FAINT) for line in wrap(each, small, PHOTO, 2)] for each in (similar, what))
    below = max(line_height(text) + len(told) * line_height(small), 2 + len(lit_by) * line_height(small))
    made = Image.new("RGB", (2 * PHOTO + SEAM, tall + 6 + below), CARD)
    shown = _marked(lit(one.query, values, PHOTO), one.query, [first for first, _ in places], hue, marks, small)
    made.paste(_panel(shown, tall), (0, 0))
    if one.reference is None:
        other = Image.new("RGB", (PHOTO, tall), EMPTY)
        ImageDraw.Draw(other).text((PHOTO / 2, tall / 2), "its photo is not at hand", FAINT, small, "mm")
    else:
        shown = lit(one.reference, side * one.reference.shares.clip(0), PHOTO)
        other = _marked(shown, one.reference, [second for _, second in places], hue, marks, small)
    made.paste(_panel(other, tall), (PHOTO + SEAM, 0))
    draw_lines(made, [(label, text, INK), *told], (PHOTO + SEAM, tall + 6))
    draw_lines(made, lit_by, (0, tall + 8))
    return made


def _parts(one: Explanation, width: int, font: ImageFont.FreeTypeFont) -> Image.Image | None:
    """Where the embedder sees its parts, beside each other; None where it has none."""
    if one.query.parts is None:
        return None
    size, top = (width + TILE) // PARTS - TILE, line_height(font) + 6
    tiles = [_part(one, number, size, font) for number in range(len(one.query.parts))]
    height = tiles[0].height + TILE
    made = Image.new("RGB", (width, top - (-len(tiles) // PARTS) * height - TILE), CARD)
    told = "parts that the embedder has found by itself: in the photo" + ", and below it in the first reference" * (
        one.reference is not None
    )
    draw_lines(made, [(line, font, FAINT) for line in wrap(told, font, width, 1)], (0, 0))
    for place, tile in enumerate(tiles):
        made.paste(tile, (place % PARTS * (size + TILE), top + place // PARTS * height))
    return made


def _part(one: Explanation, number: int, size: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Where the embedder sees one part, in the photo and below it in the reference."""
    sides = [(side, side.parts) for side in (one.query, one.reference) if side]
    shown = [lit(side, parts[number].astype(np.float64), size) for side, parts in sides if parts is not None]
    made = Image.new("RGB", (size, sum(each.height + SEAM for each in shown) - SEAM), CARD)
    top = 0
    for each in shown:
        made.paste(each, ((size - each.width) // 2, top), rounded(each.size, 6))
        top += each.height + SEAM
    _mark(made, str(number + 1), (BADGE, BADGE), FOR, font)
    return made


def _panel(photo: Image.Image, tall: int) -> Image.Image:
    """A photo in the middle of a panel with round corners."""
    panel, shape = (Image.new("RGB", (PHOTO, tall), colour) for colour in (EMPTY, CARD))
    panel.paste(photo, ((PHOTO - photo.width) // 2, (tall - photo.height) // 2))
    shape.paste(panel, (0, 0), rounded(panel.size, 8))
    return shape


def _marked(
    photo: Image.Image, side: Side, places: Sequence[Place], hue: Colour, marks: str, font: ImageFont.FreeTypeFont
) -> Image.Image:
    """A photo with marks on some of its places."""
    for mark, place in zip(marks, places, strict=False):
        _mark(photo, mark, middle(side, place, photo.size), hue, font)
    return photo


def _mark(picture: Image.Image, mark: str, at: tuple[float, float], hue: Colour, font: ImageFont.FreeTypeFont) -> None:
    """Draw a mark on a round badge, which stays inside of the picture."""
    x, y = (round(min(max(one, BADGE + 1), most - BADGE - 2)) for one, most in zip(at, picture.size, strict=True))
    side = 2 * BADGE + 1
    for colour, radius in (("#ffffff", BADGE), (hue, BADGE - 2)):
        disc = Image.new("RGB", (2 * radius + 1, 2 * radius + 1), colour)
        picture.paste(disc, (x - radius, y - radius), rounded(disc.size, side // 2))
    ImageDraw.Draw(picture).text((x, y), mark, INK, font, "mm")


def _column(card: Card, typeface: str | None) -> Image.Image:
    """The photo as it is, its answer, and what light and marks mean."""
    title, text, small = (font_of(typeface, size) for size in (TITLE, TEXT, SMALL))
    photo = ImageOps.contain(card.explanations[0].query.image, (COLUMN, COLUMN), Image.Resampling.LANCZOS)
    lines: list[Line] = [(line, title, INK) for line in wrap(card.title, title, COLUMN, 2)]
    lines += [(line, text, FAINT) for line in wrap(card.subtitle, text, COLUMN, 3)]
    legend = _legend(card.explanations, small)
    below = photo.height + 12 + sum(line_height(font) for _, font, _ in lines)
    made = Image.new("RGB", (COLUMN, below + 18 + sum(one.height + 6 for one in legend)), CARD)
    made.paste(photo, (0, 0), rounded(photo.size, 8))
    draw_lines(made, lines, (0, photo.height + 12))
    top = below + 18
    for one in legend:
        made.paste(one, (0, top))
        top += one.height + 6
    return made


def _legend(explanations: Sequence[Explanation], font: ImageFont.FreeTypeFont) -> list[Image.Image]:
    """What light and marks mean."""
    scales = [_scale(0, "adds nothing", "adds most", font)]
    if explanations[0].rival is not None:
        scales.append(_scale(-1, "speaks for the rival", "for the answer", font))
    exact = "exact: all places together add up to the similarity"
    about = "approximate: about where the similarity comes from"
    sides = [side for one in explanations for side in (one.query, one.reference) if side]
    return [
        *scales,
        _noted("1", "places that together add most", font),
        _noted("", exact if all(one.exact for one in explanations) else about, font),
        *([_noted("", "frame: what the network looks at", font)] if any(map(looks_closer, sides)) else []),
    ]


def _scale(low: float, least: str, most: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A scale of the light with what its ends mean."""
    bar = scale_of(COLUMN, 12, low)
    made = Image.new("RGB", (COLUMN, 14 + line_height(font)), CARD)
    made.paste(bar, (0, 0), rounded(bar.size, 5))
    pen = ImageDraw.Draw(made)
    for text, across, anchor in ((least, 0, "la"), (most, COLUMN, "ra")):
        pen.text((across, 15), next(iter(wrap(text, font, COLUMN // 2 - 6, 1)), ""), FAINT, font, anchor)
    return made


def _noted(mark: str, text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """A line of the legend, behind a mark where there is one."""
    left = 2 * BADGE + 8 if mark else 0
    lines: list[Line] = [(line, font, FAINT) for line in wrap(text, font, COLUMN - left, 2)]
    made = Image.new("RGB", (COLUMN, max(2 * BADGE + 2 if mark else 0, 4 + len(lines) * line_height(font))), CARD)
    if mark:
        _mark(made, mark, (BADGE, BADGE), FOR, font)
    draw_lines(made, lines, (left, 3))
    return made
