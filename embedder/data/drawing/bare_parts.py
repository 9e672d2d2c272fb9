"""Bill, eye, legs and crest: what stands out of the plumage."""

import numpy as np

from embedder.data.drawing.canvas import shade
from embedder.data.drawing.curves import Points, blades, ellipse, open_curve, points, ribbon
from embedder.data.drawing.markings import EYE
from embedder.data.drawing.painter import Painter
from embedder.data.drawing.species import Bill, Length, Species

BILL_BASE = (0.765, -0.43)
BILL_LENGTH: dict[Length, float] = {"short": 0.17, "medium": 0.29, "long": 0.48}
# How deep the bill is at its base, and how far its tip drops as a share of its length.
BILL_FORM: dict[Bill, tuple[float, float]] = {
    "straight": (0.10, 0.06),
    "conical": (0.19, 0.10),
    "decurved": (0.11, 0.55),
    "upturned": (0.11, -0.30),
}
FEET = {"far": (0.17, 0.855), "near": (0.03, 0.87)}
_HIPS = {"far": (0.13, 0.50), "near": (0.01, 0.52)}
_TOES = ((0.17, 0.03), (0.13, 0.06), (-0.10, 0.04))


def paint_bill(painter: Painter) -> None:
    """Both halves of the bill, with a gloss along its ridge."""
    species, place = painter.species, painter.skeleton.body
    colour, line = painter.inks[species.bill_colour], _bill_line(species)
    taper = 1 - np.linspace(0, 1, len(line)) ** 1.4
    half = np.stack([np.zeros(len(line)), taper * BILL_FORM[species.bill][0] / 2], axis=1)
    for above, below, tone in ((-0.12, 0.85, 0.72), (-1.05, 0.12, 1.0), (-0.85, -0.5, 1.3)):
        shape = np.concatenate([line + above * half, (line + below * half)[::-1]])
        painter.fill(place(shape), shade(colour, tone), "bill", "bill_length", "bill_colour")


def bill_tip(species: Species) -> Points:
    """Where the bill ends: [2]."""
    return _bill_line(species)[-1]


def paint_eye(painter: Painter) -> None:
    """A dark eye with a gleam, or an iris around its pupil."""
    species, place = painter.species, painter.skeleton.body
    x, y = EYE
    painter.fill(place(ellipse(EYE, 0.068, 0.066)), (24, 20, 20))
    if species.iris:
        painter.fill(place(ellipse(EYE, 0.060, 0.058)), painter.inks[species.iris], "iris")
    else:
        painter.fill(place(ellipse((x - 0.006, y + 0.012), 0.046, 0.042)), (58, 42, 34))
    painter.fill(place(ellipse(EYE, 0.038, 0.038)), (16, 14, 16))
    painter.fill(place(ellipse((x + 0.018, y - 0.024), 0.017, 0.016, steps=10)), (250, 250, 250))


def paint_legs(painter: Painter) -> None:
    """Both legs: from the hip, which leans with the body, to the foot, which does not."""
    skeleton, unit = painter.skeleton, painter.skeleton.unit
    for which, tone in (("far", 0.68), ("near", 1.0)):
        colour = shade(painter.inks[painter.species.legs], tone)
        x, y = FEET[which]
        ankle, hip = skeleton.foot(points((x, y), (x - 0.05, y))), skeleton.body(np.array(_HIPS[which]))
        knee = (hip + ankle[1]) / 2 + (ankle[1] - ankle[0]) / 2
        leg = open_curve(np.stack([hip, knee, ankle[0]]), 4)
        painter.fill(ribbon(leg, np.array([0.066, 0.040, 0.042]) * unit), colour, "legs")
        for reach, drop in _TOES:
            toe = open_curve(points((x - 0.01, y - 0.01), (x + 0.6 * reach, y - 0.012), (x + reach, y + drop)), 3)
            painter.fill(skeleton.foot(ribbon(toe, [0.042, 0.036, 0.02])), colour, "legs")


def paint_crest(painter: Painter) -> None:
    """Long feathers at the back of the crown."""
    if painter.species.crest:
        bases = points((0.53, -0.60), (0.46, -0.62), (0.38, -0.58))
        tips = points((0.36, -0.95), (0.25, -0.88), (0.15, -0.76))
        feathers = painter.skeleton.body(blades(bases, tips, [0.13, 0.13, 0.12]))
        colour = painter.inks[painter.species.crest]
        for feather, tone in zip(feathers, (0.82, 0.92, 1.0), strict=True):
            painter.fill(feather, shade(colour, tone), "crest")


def _bill_line(species: Species) -> Points:
    """The line between the halves of the bill, from inside the head to its tip: [9, 2]."""
    length, drop = BILL_LENGTH[species.bill_length], BILL_FORM[species.bill][1]
    along = np.linspace(-0.06 / length, 1, 9)
    fall = drop * np.clip(along, 0, 1) ** 2 + 0.08 * along
    return np.array(BILL_BASE) + length * np.stack([along, fall], axis=1)
