"""What the parts of a bird are painted with: canvas, pose, the individual's colours, and where each mark went."""

from dataclasses import dataclass, field

import numpy as np

from embedder.data.drawing.canvas import Canvas, Colour, Inks
from embedder.data.drawing.curves import Points
from embedder.data.drawing.pose import Skeleton
from embedder.data.drawing.species import Species


@dataclass
class Painter:
    """One bird being painted.

    Attributes:
        species: its marks.
        canvas: where it is painted.
        skeleton: where its points lie.
        inks: its colours.
        shapes: the corners, in pixels, of what each mark was painted as.
    """

    species: Species
    canvas: Canvas
    skeleton: Skeleton
    inks: Inks
    shapes: dict[str, list[Points]] = field(default_factory=dict)

    def fill(self, shape: Points, colour: Colour, *marks: str) -> None:
        """Fill one outline [P, 2] or several [F, P, 2] in pixels, and note them as where ``marks`` are."""
        self.canvas.fill(shape, colour)
        self.note(shape, *marks)

    def note(self, shape: Points, *marks: str) -> None:
        """Note an outline as a place where ``marks`` are."""
        for mark in marks:
            self.shapes.setdefault(mark, []).append(shape.reshape(-1, 2))

    def regions(self) -> dict[str, tuple[float, float, float]]:
        """The circle (x, y, radius in pixels) around everything that each mark was painted as."""
        return {mark: _circle(np.concatenate(shapes)) for mark, shapes in self.shapes.items()}


def _circle(corners: Points) -> tuple[float, float, float]:
    """A circle around some points [N, 2], about the middle of their box."""
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    x, y = middle.tolist()
    return x, y, float(np.hypot(*(corners - middle).T).max())
