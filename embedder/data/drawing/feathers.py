"""Tail and folded wing, feather by feather."""

import numpy as np

from embedder.data.drawing.canvas import Colour, mix, shade
from embedder.data.drawing.curves import Points, blades, points, rays
from embedder.data.drawing.painter import Painter
from embedder.data.drawing.pose import TAIL_BASE
from embedder.data.drawing.species import Length, Species, Tail

TAIL_LENGTH: dict[Length, float] = {"short": 0.38, "medium": 0.58, "long": 0.94}
TAIL_AXIS = 148.0
# Length of the middle feathers and of the outer ones, how it runs between them, half the fan in degrees, feather width.
TAIL_FAN: dict[Tail, tuple[float, float, float, float, float]] = {
    "notched": (0.90, 1.0, 1.0, 11, 0.15),
    "forked": (0.50, 1.0, 1.3, 14, 0.14),
    "rounded": (1.0, 0.72, 2.0, 20, 0.18),
    "pointed": (1.05, 0.45, 0.9, 7, 0.09),
}
_FROM_MIDDLE = np.array([-1.0, 1.0, -0.6, 0.6, -0.2, 0.2])

# Rows of feathers from their lowest to their uppermost one: where the bases lie, and the tips.
Row = tuple[Points, Points]
PRIMARIES: Row = (points((0.04, 0.27), (-0.02, 0.20)), points((-0.50, 0.47), (-0.90, 0.50)))
SECONDARIES: Row = (points((0.22, 0.25), (0.02, 0.04)), points((-0.14, 0.39), (-0.54, 0.33)))
GREATER_COVERTS: Row = (points((0.34, 0.16), (0.10, -0.05)), points((0.13, 0.29), (-0.19, 0.13)))
MEDIAN_COVERTS: Row = (points((0.40, 0.08), (0.17, -0.10)), points((0.26, 0.21), (-0.01, 0.03)))
LESSER_COVERTS: Row = (points((0.43, 0.00), (0.24, -0.15)), points((0.34, 0.13), (0.10, -0.05)))
SCAPULARS: Row = (points((0.30, -0.16), (-0.04, -0.08)), points((0.20, 0.00), (-0.26, 0.12)))
WING_OUTLINE = points(
    (0.43, 0.03), (0.30, -0.14), (0.05, -0.12), (-0.25, 0.10), (-0.55, 0.30), (-0.90, 0.50), (-0.5, 0.48),
    (-0.15, 0.41), (0.15, 0.31), (0.37, 0.17),
)  # fmt: skip


def paint_tail(painter: Painter) -> None:
    """The tail: a fan of feathers with the middle ones on top."""
    species, inks, place = painter.species, painter.inks, painter.skeleton.tail
    colour = inks[species.tail_colour]
    feathers = place(_fan(species))
    for edge, middle, side in zip(feathers, place(_fan(species, slim=0.7)), _FROM_MIDDLE, strict=True):
        tone = shade(colour, 0.84 if side < 0 else 0.96)
        painter.fill(edge, mix(tone, (255, 246, 232), 0.22))
        painter.fill(middle, tone)
    painter.note(feathers, "tail", "tail_length", "tail_colour")
    if species.tail_tip:
        painter.fill(place(_fan(species, start=0.74)), inks[species.tail_tip], "tail_tip")


def tail_tip(species: Species) -> Points:
    """Where the tail ends on its axis: [2]."""
    return np.array(TAIL_BASE) + TAIL_LENGTH[species.tail_length] * TAIL_FAN[species.tail][0] * rays(TAIL_AXIS)


def paint_wing(painter: Painter) -> None:
    """The folded wing: flight feathers, then the coverts that overlap them row by row up to the shoulder."""
    species, inks = painter.species, painter.inks
    wing, bar = inks[species.wing], inks["pearl"]
    _paint_row(painter, PRIMARIES, 6, 0.15, shade(wing, 0.62))
    _paint_row(painter, SECONDARIES, 6, 0.15, shade(wing, 0.8))
    if species.wing_panel:
        panel = _row(painter, SECONDARIES, 6, 0.16, (0.42, 0.86))[:5]
        painter.fill(panel, inks[species.wing_panel], "wing_panel")
    _paint_row(painter, GREATER_COVERTS, 6, 0.135, shade(wing, 0.88))
    if species.wing_bars >= 1:
        painter.fill(_row(painter, GREATER_COVERTS, 6, 0.135, (0.64, 1.04)), bar, "wing_bars")
    _paint_row(painter, MEDIAN_COVERTS, 5, 0.13, wing)
    if species.wing_bars == 2:
        painter.fill(_row(painter, MEDIAN_COVERTS, 5, 0.13, (0.62, 1.04)), bar, "wing_bars")
    _paint_row(painter, LESSER_COVERTS, 4, 0.13, shade(wing, 1.03))
    _paint_row(painter, SCAPULARS, 5, 0.16, mix(wing, inks[species.upperparts], 0.75))
    painter.note(painter.skeleton.wing(WING_OUTLINE), "wing")


def _paint_row(painter: Painter, row: Row, count: int, width: float, colour: Colour) -> None:
    """One row of overlapping feathers with paler edges."""
    edges, middles = _row(painter, row, count, width), _row(painter, row, count, 0.76 * width, (0.0, 0.95))
    for number, (edge, middle) in enumerate(zip(edges, middles, strict=True)):
        tone = shade(colour, 0.97 + 0.06 * (number % 2))
        painter.fill(edge, mix(tone, (255, 246, 232), 0.22))
        painter.fill(middle, tone)


def _row(painter: Painter, row: Row, count: int, width: float, span: tuple[float, float] = (0.0, 1.0)) -> Points:
    """The part ``span`` of each feather of a row, from its base at 0 to its tip at 1: [F, P, 2] pixels."""
    along = np.linspace(0, 1, count)[:, None]
    bases, tips = (ends[0] + along * (ends[1] - ends[0]) for ends in row)
    start, stop = (bases + share * (tips - bases) for share in span)
    return painter.skeleton.wing(blades(start, stop, [width] * count, 0.85))


def _fan(species: Species, start: float = 0.0, slim: float = 1.0) -> Points:
    """The feathers of the tail, from ``start`` (a share of their length) to their ends: [6, P, 2]."""
    middle, outer, power, spread, width = TAIL_FAN[species.tail]
    share = middle + (outer - middle) * np.abs(_FROM_MIDDLE) ** power
    reach = TAIL_LENGTH[species.tail_length] * share[:, None]
    direction = rays(TAIL_AXIS + spread * _FROM_MIDDLE)
    bases = np.array(TAIL_BASE) + 0.06 * _FROM_MIDDLE[:, None] * rays(TAIL_AXIS + 90)
    tips = bases + (0.97 if slim < 1 else 1.0) * reach * direction
    return blades(bases + start * reach * direction, tips, np.full(6, slim * width), 0.85)
