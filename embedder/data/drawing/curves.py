"""Smooth outlines from a few points: what every drawn shape is made of."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


def points(*values: tuple[float, float]) -> Points:
    """A few points written out: [N, 2]."""
    return np.array(values, dtype=np.float64)


def closed_curve(corners: Points, steps: int = 6) -> Points:
    """The closed Catmull-Rom curve through ``corners`` [N, 2]: [N * steps, 2]."""
    return _spline(np.concatenate([corners[-1:], corners, corners[:2]]), steps)


def open_curve(corners: Points, steps: int = 6) -> Points:
    """The Catmull-Rom curve from the first of ``corners`` [N, 2] to the last: [(N - 1) * steps + 1, 2]."""
    before, after = 2 * corners[0] - corners[1], 2 * corners[-1] - corners[-2]
    curve = _spline(np.concatenate([[before], corners, [after]]), steps)
    return np.concatenate([curve, corners[-1:]])


def ribbon(line: Points, widths: Sequence[float] | NDArray[np.float64]) -> Points:
    """The outline of a stroke along ``line`` [N, 2], its full width running evenly through ``widths``: [2N, 2]."""
    along = np.concatenate([line[1:2] - line[:1], line[2:] - line[:-2], line[-1:] - line[-2:-1]])
    across = _left_of(along)
    places = np.linspace(0, len(widths) - 1, len(line))
    offset = across * np.interp(places, np.arange(len(widths)), widths)[:, None] / 2
    return np.concatenate([line + offset, (line - offset)[::-1]])


def ellipse(centre: tuple[float, float], across: float, down: float, steps: int = 24) -> Points:
    """An ellipse by its half axes: [steps, 2]."""
    angles = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([across * np.cos(angles), down * np.sin(angles)], axis=1) + np.array(centre)


def blades(
    bases: Points, tips: Points, widths: Sequence[float] | NDArray[np.float64], roundness: float = 0.5
) -> Points:
    """Shapes of feathers, leaves or dashes from ``bases`` [F, 2] to ``tips`` [F, 2]: [F, P, 2].

    Args:
        bases: where each blade grows from.
        tips: where it ends.
        widths: its greatest width: [F].
        roundness: where along the blade it is widest; near 1 ends round like a feather, 0.5 is a leaf.
    """
    profile = _blade_profile(roundness)
    along = (tips - bases)[:, None]
    half = np.asarray(widths, dtype=np.float64)[:, None, None] / 2
    return bases[:, None] + profile[:, :1] * along + profile[:, 1:] * half * _left_of(along)


def rays(degrees: NDArray[np.float64] | float) -> Points:
    """Unit vectors at some angles [...], clockwise from straight right: [..., 2]."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


@cache
def _blade_profile(roundness: float) -> Points:
    """One blade along x from 0 to 1, half as wide as +-1."""
    upper = points((0, 0.35), (0.3 * roundness, 0.85), (roundness, 1.0), (0.5 + roundness / 2, 0.72))
    corners = np.concatenate([upper, [[1.0, 0.0]], upper[::-1] * [1, -1]])
    return closed_curve(corners, 2)


def _left_of(along: Points) -> Points:
    """Unit vectors across some directions [..., 2]."""
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    return across / np.maximum(np.sqrt((across**2).sum(axis=-1, keepdims=True)), 1e-9)


def _spline(padded: Points, steps: int) -> Points:
    """Catmull-Rom through all but the first and the last of the points."""
    segments = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], axis=1)
    return (_basis(steps) @ segments).reshape(-1, 2)


@cache
def _basis(steps: int) -> NDArray[np.float64]:
    """The weights of four neighbouring points along one segment: [steps, 4]."""
    along = np.arange(steps) / steps
    return np.stack([np.ones(steps), along, along**2, along**3], axis=1) @ _CATMULL_ROM
