"""All species on one page, as in a field guide, with lines to the marks that tell each from the first of its genus."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from embedder.data.drawing.bare_parts import FEET
from embedder.data.drawing.bird import DrawnBird, draw_bird
from embedder.data.drawing.canvas import SUPERSAMPLING, outlines
from embedder.data.drawing.curves import Points, points, rays, ribbon
from embedder.data.drawing.pose import Pose, Skeleton
from embedder.data.drawing.scene import PAPER, PLACES
from embedder.data.drawing.species import Species, differences

COLUMNS = 8
CELL = (252, 262)
MARGIN = 30
SIDE = 320
POSE = Pose(x=0.53, y=0.37, size=0.325)
_PAPER = PLACES["paper"].gradient[0]
_DARK, _PALE, _RED = (70, 58, 48), (150, 128, 104), (176, 52, 36)
# Where a line comes from, in degrees clockwise from the right; other marks are pointed at from outside the bird.
_FROM = {
    "wing": -112, "wing_bars": -112, "wing_panel": -112, "eye_ring": -50, "eye_line": -35, "brow": -75, "cheek": 40,
    "collar": -130, "crown_stripe": -100, "moustache": 25, "throat": 10, "legs": 0, "flanks": 75,
    "streaks": 35, "spots": 35,
}  # fmt: skip
_LINE = 0.34

Group = Sequence[Species]


def plate(species: Sequence[Species]) -> Image.Image:
    """Draw species side by side in one pose on paper, grouped by genus, with their names: RGB."""
    groups = [tuple(members) for _, members in groupby(species, lambda one: one.genus)]
    rows = _packed([group[start : start + COLUMNS] for group in groups for start in range(0, len(group), COLUMNS)])
    width = max(sum(map(len, row)) for row in rows) * CELL[0] + 2 * MARGIN
    page = Image.new("RGB", (width, len(rows) * CELL[1] + 2 * MARGIN), _PAPER)
    lines = Image.new("L", (page.width * SUPERSAMPLING, page.height * SUPERSAMPLING))
    for number, row in enumerate(rows):
        left = MARGIN
        for group in row:
            _draw_group(page, ImageDraw.Draw(lines), group, left, MARGIN + number * CELL[1])
            left += len(group) * CELL[0]
    page.paste(_RED, (0, 0), lines.reduce(SUPERSAMPLING))
    return page


def _packed(groups: Sequence[Group]) -> list[list[Group]]:
    """Each group in the first row that has room for it."""
    rows: list[list[Group]] = []
    for group in groups:
        room = [row for row in rows if sum(map(len, row)) + len(group) <= COLUMNS]
        if room:
            room[0].append(group)
        else:
            rows.append([group])
    return rows


def _draw_group(page: Image.Image, lines: ImageDraw.ImageDraw, group: Group, left: int, top: int) -> None:
    """The members of one genus on one perch, with their names below."""
    brush = ImageDraw.Draw(page)
    perch = top + Skeleton(POSE, SIDE).foot(points(FEET["near"]))[0, 1] + 3
    brush.line((left + 20, perch, left + len(group) * CELL[0] - 20, perch), fill=_PALE, width=4)
    for number, species in enumerate(group):
        bird = draw_bird(species, 0, SIDE, pose=POSE, scene=PAPER)
        corner = (left + number * CELL[0] + (CELL[0] - SIDE) // 2, top)
        page.paste(bird.image, corner, bird.mask)
        for mark in differences(group[0], species):
            (stroke,) = outlines(_pointer(bird, mark) + np.array(corner))
            lines.polygon(stroke, fill=255)
        middle, first = corner[0] + SIDE / 2, species.name.removesuffix(species.genus).strip()
        brush.text((middle, perch + 10), first, _DARK, ImageFont.load_default(25), anchor="mt")
        brush.text((middle, perch + 39), species.genus, _PALE, ImageFont.load_default(20), anchor="mt")


def _pointer(bird: DrawnBird, mark: str) -> Points:
    """A tapering line that ends at a mark: [P, 2] pixels of the bird's picture."""
    skeleton = Skeleton(bird.pose, SIDE)
    x, y, radius = bird.mark_regions[mark]
    centre = np.array([x, y])
    outward = centre - skeleton.body(np.array([0.1, 0.05]))
    direction = rays(_FROM.get(mark, float(np.degrees(np.arctan2(outward[1], outward[0])))))
    end = centre + direction * min(0.8 * radius, 0.1 * skeleton.unit)
    return ribbon(np.stack([end + direction * _LINE * skeleton.unit, end]), [2.6, 1.2])
