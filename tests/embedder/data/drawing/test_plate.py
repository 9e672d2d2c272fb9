import numpy as np

from embedder.data.drawing import plate as room
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.plate import plate


def test_genera_are_packed_into_rows_of_eight():
    groups = [["a"] * 5, ["b"] * 5, ["c"] * 4, ["d"] * 3, ["e"] * 2, ["f"] * 4]
    rows = room._packed(groups)
    assert [[group[0] for group in row] for row in rows] == [["a", "d"], ["b", "e"], ["c", "f"]]


def test_the_plate_shows_each_species_in_its_place():
    finches = [species for species in SPECIES.values() if species.genus == "Marshfinch"][:2]
    page = plate(finches)
    width, height = room.CELL
    assert page.size == (2 * width + 2 * room.MARGIN, height + 2 * room.MARGIN)
    first, second = np.split(np.asarray(page, int)[:, room.MARGIN : -room.MARGIN], 2, axis=1)
    changed = np.abs(first - second).max(axis=2) > 40
    assert changed.any()
    assert np.nonzero(changed[: height // 2])[0].max() < height // 2 - 20  # of the birds themselves only the brow
