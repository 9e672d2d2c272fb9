"""What a drawn species is: a set of field marks, and nothing else."""

from dataclasses import dataclass, fields
from typing import Literal

Tail = Literal["notched", "forked", "rounded", "pointed"]
Bill = Literal["straight", "conical", "decurved", "upturned"]
Length = Literal["short", "medium", "long"]

PALETTE = {
    "amber": (226, 150, 42),
    "ash": (134, 138, 142),
    "azure": (66, 124, 190),
    "black": (38, 36, 40),
    "bone": (214, 202, 176),
    "buff": (206, 168, 116),
    "chestnut": (134, 66, 38),
    "cocoa": (92, 66, 50),
    "coral": (226, 104, 82),
    "cream": (240, 226, 190),
    "crimson": (186, 40, 46),
    "flesh": (218, 150, 132),
    "gold": (238, 192, 50),
    "horn": (112, 98, 86),
    "indigo": (54, 68, 124),
    "lemon": (242, 222, 96),
    "moss": (112, 124, 62),
    "olive": (124, 122, 76),
    "orange": (236, 126, 38),
    "pearl": (226, 226, 222),
    "pine": (54, 88, 66),
    "plum": (112, 54, 92),
    "rose": (216, 116, 128),
    "rust": (182, 88, 42),
    "sand": (186, 160, 122),
    "slate": (88, 98, 112),
    "teal": (42, 124, 128),
    "umber": (124, 92, 64),
    "white": (250, 249, 244),
}


@dataclass(frozen=True)
class Species:
    """The field marks of one species. A colour is a name of ``PALETTE``; a mark that is None is absent.

    Attributes:
        name: its English name; not a mark.
        upperparts: the colour of head and back.
        underparts: the colour of breast and belly.
        wing: the colour of the folded wing.
        tail_colour: the colour of the tail.
        hood: the whole head.
        cap: a cap down to the eye.
        crown_stripe: a stripe along the top of the head.
        crest: long feathers at the back of the crown.
        brow: a stripe above the eye (supercilium).
        eye_line: a stripe through the eye.
        eye_ring: a ring of bare skin or feathers around the eye.
        iris: the colour of the eye; none for dark.
        cheek: a patch behind and below the eye.
        moustache: a stripe from the bill along the throat.
        throat: a patch below the bill.
        collar: a band around the back of the neck.
        breast_band: a band across the breast.
        spots: round spots on breast and flanks.
        streaks: lengthwise streaks on breast and flanks.
        flanks: a patch below the wing.
        vent: the feathers under the base of the tail.
        rump: the patch above the base of the tail.
        wing_bars: how many pale bars cross the wing: 0, 1 or 2.
        wing_panel: a patch on the flight feathers.
        tail: the shape of the tail's end.
        tail_length: its length.
        tail_tip: a band at its end.
        bill: the shape of the bill.
        bill_length: its length.
        bill_colour: its colour.
        legs: the colour of the legs.
    """

    name: str
    upperparts: str
    underparts: str
    wing: str
    tail_colour: str
    hood: str | None = None
    cap: str | None = None
    crown_stripe: str | None = None
    crest: str | None = None
    brow: str | None = None
    eye_line: str | None = None
    eye_ring: str | None = None
    iris: str | None = None
    cheek: str | None = None
    moustache: str | None = None
    throat: str | None = None
    collar: str | None = None
    breast_band: str | None = None
    spots: str | None = None
    streaks: str | None = None
    flanks: str | None = None
    vent: str | None = None
    rump: str | None = None
    wing_bars: int = 0
    wing_panel: str | None = None
    tail: Tail = "notched"
    tail_length: Length = "medium"
    tail_tip: str | None = None
    bill: Bill = "straight"
    bill_length: Length = "medium"
    bill_colour: str = "horn"
    legs: str = "horn"

    @property
    def genus(self) -> str:
        """The last word of the name, which near relatives share."""
        return self.name.split()[-1]


MARKS = tuple(field.name for field in fields(Species) if field.name != "name")


def differences(first: Species, second: Species) -> list[str]:
    """The marks in which two species differ."""
    return [mark for mark in MARKS if getattr(first, mark) != getattr(second, mark)]
