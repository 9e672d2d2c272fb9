"""The 48 drawn species: twelve genera whose members share everything but one to three field marks."""

from dataclasses import replace
from typing import Any

from embedder.data.drawing.species import Species


def _genus(typical: Species, kinds: dict[str, dict[str, Any]]) -> list[Species]:
    """The species of one genus, by the first word of their name and the marks in which they are not typical."""
    return [replace(typical, name=f"{kind} {typical.name}", **marks) for kind, marks in kinds.items()]


_TRAINING = [
    _genus(
        Species("Marshfinch", "umber", "cream", "umber", "cocoa", bill="conical", bill_length="short", legs="flesh"),
        {
            "Common": {},
            "Browed": {"brow": "cream"},
            "Streaked": {"streaks": "cocoa"},
            "Russet-capped": {"streaks": "cocoa", "cap": "rust"},
            "Ashen": {"upperparts": "ash", "streaks": "slate", "wing_bars": 1},
        },
    ),
    _genus(
        Species("Glenwarbler", "olive", "lemon", "olive", "olive", bill_length="short"),
        {
            "Olive": {},
            "Spectacled": {"eye_ring": "white"},
            "Masked": {"eye_line": "black"},
            "Two-barred": {"wing_bars": 2},
            "Necklaced": {"wing_bars": 2, "spots": "cocoa"},
        },
    ),
    _genus(
        Species("Emberchat", "slate", "rust", "slate", "slate", bill_length="short", legs="black", bill_colour="black"),
        {
            "Slaty": {},
            "White-throated": {"throat": "white"},
            "Pale-rumped": {"throat": "white", "rump": "white"},
            "Black-hooded": {"hood": "black", "iris": "lemon", "wing_panel": "white"},
        },
    ),
    _genus(
        Species(
            "Skyflit", "azure", "white", "indigo", "indigo", bill_length="short", bill_colour="black", legs="black"
        ),
        {
            "Azure": {},
            "Banded": {"breast_band": "indigo"},
            "Swallow-tailed": {"breast_band": "indigo", "tail": "forked", "tail_length": "long"},
            "Rusty-flanked": {"flanks": "rust", "brow": "white"},
        },
    ),
    _genus(
        Species("Honeybill", "moss", "bone", "moss", "pine", bill="decurved", bill_length="long", bill_colour="black"),
        {
            "Mossy": {},
            "Lancet": {"bill": "straight"},
            "Ruby-throated": {"throat": "crimson", "tail_tip": "white"},
            "Amber-vented": {"vent": "amber", "cheek": "white"},
        },
    ),
    _genus(
        Species("Hillthrush", "cocoa", "cream", "cocoa", "cocoa", spots="cocoa", tail="rounded", legs="flesh"),
        {
            "Speckled": {},
            "Moustached": {"moustache": "black"},
            "Yellow-billed": {"bill_colour": "amber", "legs": "amber"},
            "Chestnut-collared": {"collar": "rust", "crown_stripe": "cream"},
        },
    ),
]
_VALIDATION = [
    _genus(
        Species("Tuftlet", "ash", "pearl", "slate", "slate", crest="slate", bill="conical", bill_length="short"),
        {
            "Grey": {},
            "Flame-crested": {"crest": "orange"},
            "Buff-flanked": {"flanks": "buff", "eye_ring": "white"},
        },
    ),
    _genus(
        Species("Duneling", "sand", "white", "umber", "umber", bill="upturned", bill_colour="black", legs="black"),
        {
            "Pale": {},
            "Long-billed": {"bill_length": "long"},
            "Black-collared": {"collar": "black", "tail_tip": "white"},
        },
    ),
]
_TEST = [
    _genus(
        Species("Reedsinger", "buff", "cream", "umber", "umber", tail="rounded", legs="flesh"),
        {
            "Tawny": {},
            "White-browed": {"brow": "white"},
            "Pencilled": {"brow": "white", "streaks": "cocoa"},
            "Black-lored": {"eye_line": "black", "rump": "rust"},
        },
    ),
    _genus(
        Species("Bloomfinch", "rose", "pearl", "cocoa", "cocoa", bill="conical", bill_length="short", legs="flesh"),
        {
            "Rosy": {},
            "White-winged": {"wing_bars": 2},
            "Bibbed": {"wing_bars": 2, "throat": "black"},
            "Crimson-capped": {"cap": "crimson", "flanks": "rose"},
        },
    ),
    _genus(
        Species("Frosttit", "ash", "white", "slate", "slate", cap="black", bill_length="short", bill_colour="black"),
        {
            "Black-capped": {},
            "Brown-capped": {"cap": "chestnut"},
            "Gorgeted": {"breast_band": "black"},
            "Ochre-vented": {"vent": "amber", "wing_panel": "white"},
        },
    ),
    _genus(
        Species("Tealcreeper", "teal", "bone", "teal", "pine", bill="decurved", tail="pointed", bill_colour="black"),
        {
            "Plain": {},
            "Ringed": {"eye_ring": "white"},
            "Ribbon-tailed": {"eye_ring": "white", "tail_length": "long"},
            "Spot-breasted": {"spots": "pine", "moustache": "white"},
        },
    ),
]


def _names(genera: list[list[Species]]) -> tuple[str, ...]:
    return tuple(species.name for genus in genera for species in genus)


SPECIES: dict[str, Species] = {
    species.name: species for genus in (*_TRAINING, *_VALIDATION, *_TEST) for species in genus
}
TRAINING, VALIDATION, TEST = _names(_TRAINING), _names(_VALIDATION), _names(_TEST)

# Pairs of species that differ in exactly one mark; both of a pair are trained on, or both are not.
LOOK_ALIKES = (
    ("Common Marshfinch", "Browed Marshfinch", "brow"),
    ("Common Marshfinch", "Streaked Marshfinch", "streaks"),
    ("Streaked Marshfinch", "Russet-capped Marshfinch", "cap"),
    ("Olive Glenwarbler", "Spectacled Glenwarbler", "eye_ring"),
    ("Olive Glenwarbler", "Masked Glenwarbler", "eye_line"),
    ("Olive Glenwarbler", "Two-barred Glenwarbler", "wing_bars"),
    ("Two-barred Glenwarbler", "Necklaced Glenwarbler", "spots"),
    ("Slaty Emberchat", "White-throated Emberchat", "throat"),
    ("White-throated Emberchat", "Pale-rumped Emberchat", "rump"),
    ("Azure Skyflit", "Banded Skyflit", "breast_band"),
    ("Mossy Honeybill", "Lancet Honeybill", "bill"),
    ("Speckled Hillthrush", "Moustached Hillthrush", "moustache"),
    ("Grey Tuftlet", "Flame-crested Tuftlet", "crest"),
    ("Pale Duneling", "Long-billed Duneling", "bill_length"),
    ("Tawny Reedsinger", "White-browed Reedsinger", "brow"),
    ("White-browed Reedsinger", "Pencilled Reedsinger", "streaks"),
    ("Rosy Bloomfinch", "White-winged Bloomfinch", "wing_bars"),
    ("White-winged Bloomfinch", "Bibbed Bloomfinch", "throat"),
    ("Black-capped Frosttit", "Brown-capped Frosttit", "cap"),
    ("Black-capped Frosttit", "Gorgeted Frosttit", "breast_band"),
    ("Plain Tealcreeper", "Ringed Tealcreeper", "eye_ring"),
    ("Ringed Tealcreeper", "Ribbon-tailed Tealcreeper", "tail_length"),
)
