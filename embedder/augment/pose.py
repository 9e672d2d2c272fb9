"""What keypoints are good for: views that take the subject's parts, its axis and where it looks into account."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from embedder.augment.geometry import Floats, Frame, moved, squashed_aspect
from embedder.config import AugmentSettings
from embedder.data.catalog import Catalog
from eval.errors import InputError

BEAK = frozenset({"beak", "bill"})
HEAD = BEAK | {"crown", "eye", "forehead", "head", "nape", "throat"}
TAIL = frozenset({"tail"})
"""Words by which the keypoints of a part are known: those that CUB, NABirds and the drawn birds use."""

DRAWS = 9
"""Random numbers that ``posed`` takes."""

HEAD_ROOM = (1.4, 2.2)
"""Side of a head view, as a multiple of the longer side of the box around the visible points of the head; of the photo
as it is squashed, where crops are (``relative_aspect``)."""

LEAST_HEAD = 0.05
"""The same at least, as a share of the photo's shorter side, or, squashed, of its height: where points nearly meet."""


@dataclass(frozen=True)
class Subject:
    """The keypoints of one photo.

    Attributes:
        points: x and y in pixels, and 1 where the point can be seen, else 0: [K, 3].
        names: what they are called; empty where that is not known.
    """

    points: Floats
    names: tuple[str, ...] = ()

    def seen(self, words: frozenset[str] | None = None) -> Floats:
        """The points that can be seen: [M, 2].

        Args:
            words: only those that have one of these in their name; none for all.
        """
        points = self.points if words is None else self.points[_named(self.names, words)]
        return points[points[:, 2] > 0, :2]

    def axis(self) -> Floats | None:
        """The way from the tail to the head: [2]; None where either cannot be seen."""
        head, tail = self.seen(HEAD), self.seen(TAIL)
        return head.mean(axis=0) - tail.mean(axis=0) if len(head) and len(tail) else None

    def looks_right(self, frame: Frame | None = None) -> bool | None:
        """Whether the beak lies right of the rest of the head; None where either cannot be seen.

        Args:
            frame: in whose view; none for the photo itself.
        """
        beak, rest = self.seen(BEAK), self.seen(HEAD - BEAK)
        if not (len(beak) and len(rest)):
            return None
        middles = np.stack([beak.mean(axis=0), rest.mean(axis=0)])
        there = middles if frame is None else moved(middles, frame.matrix(1))
        return bool(there[0, 0] > there[1, 0])

    def head(self) -> Floats | None:
        """Left, top and right, bottom of the visible points of the head: [2, 2]; None where there are less than two."""
        head = self.seen(HEAD)
        return np.stack([head.min(axis=0), head.max(axis=0)]) if len(head) > 1 else None

    def within(self, low: Sequence[float], high: Sequence[float]) -> "Subject":
        """The same, but what lies outside of a box, from its corner ``low`` to ``high``, cannot be seen."""
        points = self.points.copy()
        points[:, 2] *= ((points[:, :2] >= low) & (points[:, :2] <= high)).all(axis=1)
        return replace(self, points=points)

    def moved(self, frame: Frame, size: int) -> "Subject":
        """The same in a view: what lies outside of it cannot be seen, and in a mirror left and right change places."""
        places = moved(self.points[:, :2], frame.matrix(size))
        inside = ((places >= 0) & (places < size)).all(axis=1)
        points = np.concatenate([places, (self.points[:, 2] * inside)[:, None]], axis=1)
        return replace(self, points=points[mirror_order(self.names)] if frame.mirrored and self.names else points)


NEEDS: dict[str, tuple[str, Callable[[Subject], bool]]] = {
    "pose_crop": ("a keypoint", lambda subject: len(subject.seen()) > 0),
    "pose_axis": ("a head and a tail", lambda subject: subject.axis() is not None),
    "pose_facing": ("a beak and another point of the head", lambda subject: subject.looks_right() is not None),
    "pose_head": ("two points of the head", lambda subject: subject.head() is not None),
}
"""What of a photo can be seen if an option is to do something with it."""


def subjects(catalog: Catalog) -> list[Subject | None]:
    """The keypoints of each photo, in pixels of the whole of it, seen within its box alone; None where there are none.

    Raises:
        InputError: there are more or fewer of them than names.
    """
    if "keypoints" not in catalog.table.column_names:
        return [None] * len(catalog)
    names = catalog.keypoint_names
    found = [points and np.array(points, np.float64) for points in catalog.table["keypoints"].to_pylist()]
    for row, points in enumerate(found):
        if names and points is not None and len(points) not in (0, len(names)):
            raise InputError(
                f"{catalog.root}: {catalog.paths[row]} has {len(points)} keypoints, and {len(names)} have names "
                f"({', '.join(names)}); name each of them, in their order"
            )
    all_seen = [None if points is None or not len(points) else Subject(points, names) for points in found]
    return [
        subject.within(box[:2], box[2:]) if subject and box else subject
        for subject, box in zip(all_seen, catalog.boxes, strict=True)
    ]


def check_keypoints(settings: AugmentSettings, catalog: Catalog) -> None:
    """Refuse options that no photo has the keypoints for.

    Raises:
        InputError: names the option.
    """
    for option, photos in useful(settings, catalog).items():
        if not photos:
            raise InputError(f"augment.{option} {_why_useless(option, catalog)}")


def useful(settings: AugmentSettings, catalog: Catalog) -> dict[str, int]:
    """In how many photos each option that is set finds the keypoints that it needs."""
    wanted = [option for option in NEEDS if getattr(settings, option)]
    found = [subject for subject in subjects(catalog) if subject] if wanted else []
    return {option: sum(map(NEEDS[option][1], found)) for option in wanted}


def _why_useless(option: str, catalog: Catalog) -> str:
    """Why no photo has the keypoints for an option, and what to do."""
    names, known = catalog.keypoint_names, HEAD | TAIL
    if not any(subjects(catalog)):
        return (
            f"needs keypoints, and the photos in {catalog.root} have none; leave it out (augment.rotate, augment.shear "
            "and augment.perspective need none)"
        )
    if option != "pose_crop" and not names:
        return (
            f"needs to know which keypoint is which, and {catalog.root} does not say; name them in their order: "
            "--data.keypoint_names '[beak, left eye, right eye, tail]'"
        )
    if option != "pose_crop" and not _named(names, known):
        return (
            f"knows keypoints by words in their names ({', '.join(sorted(known))}), and those of {catalog.root} have "
            f"none of these: {', '.join(names)}; name them so"
        )
    return (
        f"needs photos in which {NEEDS[option][0]} can be seen, and none of the {len(catalog)} in {catalog.root} is "
        "one; leave it out"
    )


def posed(frame: Frame, settings: AugmentSettings, draws: Floats, subject: Subject, shape: tuple[int, int]) -> Frame:
    """The frame with what is known of the subject in place of what was drawn without knowing it.

    Args:
        frame: drawn without knowing the subject.
        settings: what may happen, and how often.
        draws: uniform numbers in [0, 1): [DRAWS].
        subject: in pixels of the photo; what cannot be seen of it changes nothing.
        shape: width and height of the photo.
    """
    facing, turning, heading, cropping, which, room, *aside, turned = draws.tolist()
    if settings.pose_axis and turned < settings.pose_turn and (axis := subject.axis()) is not None:
        low, high = settings.pose_axis
        frame = replace(frame, turn=_turn(axis, low + turning * (high - low)))
    if facing < settings.pose_facing:
        looks_right = subject.looks_right(replace(frame, mirrored=False))
        frame = frame if looks_right is None else replace(frame, mirrored=looks_right)
    if heading < settings.pose_head and (head := subject.head()) is not None:
        (low, high), aspect = HEAD_ROOM, squashed_aspect(settings, shape)
        longest = max(float((np.ptp(head, axis=0) / (aspect, 1)).max()), LEAST_HEAD * min(shape[0] / aspect, shape[1]))
        height = min((low + room * (high - low)) * longest, shape[0] / aspect, shape[1])
        square = replace(frame, width=aspect * height, height=height)
        return _about(square, head.mean(axis=0), np.array(aside), 0.2, shape)
    if cropping < settings.pose_crop and len(points := subject.seen()):
        return _about(frame, points[int(which * len(points))], np.array(aside), 0.5, shape)
    return frame


def _turn(axis: Floats, angle: float) -> float:
    """The degrees, clockwise, by which an axis is turned for its head to lie ``angle`` degrees above its tail."""
    across, down = axis
    above = math.degrees(math.atan2(-down, abs(across)))
    return above - angle if across >= 0 else angle - above


def _about(frame: Frame, place: Floats, aside: Floats, most: float, shape: tuple[int, int]) -> Frame:
    """The frame moved to have a place at its middle, or aside by up to half a share ``most`` of its sides.

    An upright one stays within the photo.
    """
    sides = np.array([frame.width, frame.height])
    corner = place - sides * (0.5 + most * (aside - 0.5))
    if frame.upright:
        corner = np.maximum(np.minimum(corner, np.array(shape) - sides), 0)
    return replace(frame, left=float(corner[0]), top=float(corner[1]))


@cache
def _named(names: tuple[str, ...], words: frozenset[str]) -> list[int]:
    """The places of the names that hold one of some words."""
    return [place for place, name in enumerate(names) if words & {*re.findall(r"[a-z]+", name.lower())}]


@cache
def mirror_order(names: Sequence[str]) -> NDArray[np.int64]:
    """Which keypoint has each one's place in a mirror: the right eye that of the left eye, and so on: [K]."""
    names = [name.lower() for name in names]
    twins = [re.sub("left|right", lambda side: "right" if side[0] == "left" else "left", name) for name in names]
    return np.array(
        [names.index(twin) if twin in names and twin != names[place] else place for place, twin in enumerate(twins)]
    )
