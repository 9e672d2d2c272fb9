"""How one bird stands: its pose, and where each point of the bird then lies in the picture.

The bird at rest has its own coordinates: x forward, y down, the body's centre at (0, 0), about 2.2 units from the tip
of the bill to the tip of the tail.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from embedder.data.drawing.curves import Points, points

NECK = (0.36, -0.30)
HEAD = (0.53, -0.45)
HIP = (0.02, 0.36)
TAIL_BASE = (-0.58, 0.36)
SHOULDER = (0.30, 0.0)

# The farthest points of the largest bird: the room that any species needs, so that a pose says nothing about species.
_FARTHEST_BODY = points((0.15, -0.76), (0.36, -0.95), (-0.2, -0.15), (-0.2, 0.62), (1.28, -0.40), (1.24, -0.12))
_FARTHEST_TAIL = points((-1.51, 0.66), (-1.43, 0.90), (-1.28, 1.08))
_FARTHEST_FOOT = points((-0.1, 0.93), (0.35, 0.93))
_MARGIN = 0.03


@dataclass(frozen=True)
class Pose:
    """How a bird stands in the picture. Angles are in degrees.

    Attributes:
        x: where the body's centre lies, as a share of the picture's side from the left.
        y: the same from the top.
        size: one unit of the bird's coordinates, as a share of the picture's side; the whole bird is about 2.2 times
            as long.
        facing: where the bill points.
        angle: turns bird and perch in the picture's plane, clockwise.
        tilt: leans the body forward over its feet; negative leans it back.
        nod: lowers the bill against the body; negative raises it.
        turn: turns the head towards the viewer, which shortens it.
        wing: lowers the folded wing's tip; negative raises it.
        tail: lowers the tail; negative cocks it.
    """

    x: float = 0.5
    y: float = 0.5
    size: float = 0.36
    facing: Literal["left", "right"] = "right"
    angle: float = 0.0
    tilt: float = 0.0
    nod: float = 0.0
    turn: float = 0.0
    wing: float = 0.0
    tail: float = 0.0

    def mirrored(self) -> "Pose":
        """The same pose seen in a mirror: what lay at x now lies at 1 - x."""
        return replace(self, x=1 - self.x, facing="left" if self.facing == "right" else "right", angle=-self.angle)

    def rotated(self, degrees: float) -> "Pose":
        """The same pose with bird and perch turned clockwise about the body's centre."""
        return replace(self, angle=self.angle + degrees)


def random_pose(random: np.random.Generator, sizes: tuple[float, float] = (0.24, 0.38)) -> Pose:
    """A pose with the whole bird, whatever its species, inside the picture.

    Args:
        random: what draws it.
        sizes: least and greatest size.
    """
    pose = Pose(
        x=0.0,
        y=0.0,
        size=float(random.uniform(*sizes)),
        facing="left" if random.random() < 0.5 else "right",
        angle=float(random.uniform(-9, 9)),
        tilt=float(random.uniform(-28, 30)),
        nod=float(random.uniform(-24, 26)),
        turn=float(random.uniform(0, 38)),
        wing=float(random.uniform(-7, 12)),
        tail=float(random.uniform(-28, 18)),
    )
    reach = Skeleton(pose, 1).farthest()
    shrink = min(1.0, (1 - 2 * _MARGIN) / float(np.ptp(reach, axis=0).max()))
    lowest, highest = _MARGIN - shrink * reach.min(axis=0), 1 - _MARGIN - shrink * reach.max(axis=0)
    x, y = lowest + random.random(2) * (highest - lowest)
    return replace(pose, x=float(x), y=float(y), size=pose.size * shrink)


class Skeleton:
    """Maps points of the bird at rest to pixels.

    Args:
        pose: how the bird stands.
        side: side of the picture in pixels.
    """

    def __init__(self, pose: Pose, side: float) -> None:
        self.unit = pose.size * side
        mirror = -1.0 if pose.facing == "left" else 1.0
        place = np.array([[self.unit, 0, 0], [0, self.unit, 0], [pose.x * side, pose.y * side, 1]])
        self._foot = np.diag([mirror, 1, 1]) @ _turn(pose.angle) @ place
        self._body = _turn(pose.tilt, HIP) @ self._foot
        self._wing = _turn(-pose.wing, SHOULDER) @ self._body
        self._tail = _turn(-pose.tail, TAIL_BASE) @ self._body
        self._nod = _turn(pose.nod, NECK)
        self._shortening = np.array([1 - np.cos(np.radians(pose.turn)), 0.0])

    def body(self, shape: Points) -> Points:
        """Body, head and bill [..., 2]; the neck bends smoothly between body and head."""
        along_neck = np.clip((shape @ np.array([0.78, -0.62]) - 0.30) / 0.30, 0, 1)[..., None]
        weight = along_neck**2 * (3 - 2 * along_neck)
        turned = shape - weight * self._shortening * (shape - HEAD)
        return _apply(turned + weight * (_apply(turned, self._nod) - turned), self._body)

    def wing(self, shape: Points) -> Points:
        """The folded wing [..., 2], which turns about the shoulder."""
        return _apply(shape, self._wing)

    def tail(self, shape: Points) -> Points:
        """The tail [..., 2], which turns about its base."""
        return _apply(shape, self._tail)

    def foot(self, shape: Points) -> Points:
        """Feet and perch [..., 2], which stay where they are while the body leans."""
        return _apply(shape, self._foot)

    def farthest(self) -> Points:
        """The farthest points of the largest bird in this pose: [N, 2]."""
        return np.concatenate([self.body(_FARTHEST_BODY), self.tail(_FARTHEST_TAIL), self.foot(_FARTHEST_FOOT)])


def _turn(degrees: float, pivot: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.float64]:
    """The turn about ``pivot``, clockwise on a screen, for rows (x, y, 1): [3, 3]."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    matrix[2, :2] = pivot - np.array(pivot) @ matrix[:2, :2]
    return matrix


def _apply(shape: Points, matrix: NDArray[np.float64]) -> Points:
    """Map points [..., 2] by a matrix for rows (x, y, 1)."""
    return shape @ matrix[:2, :2] + matrix[2, :2]
