import io

import numpy as np
import pytest
from PIL import Image

from embedder.data.catalog import read_catalog
from embedder.data.photo_facts import look_at
from eval.images import open_image, photo_id, picture_hash


def test_each_photo_is_seen_as_it_is(photo_folder):
    (photo_folder / "crow" / "1.png").write_bytes((photo_folder / "crow" / "1.png").read_bytes()[:200])
    (photo_folder / "crow" / "2.png").write_bytes(b"")
    catalog = read_catalog(photo_folder)
    facts = look_at(catalog, {0, 1, 5})
    assert {row: facts.reasons[row].split(" (")[0] for row in facts.reasons} == {
        1: "is not an image that can be read",
        2: "is empty",
    }
    assert facts.readable.tolist() == facts.pictured.tolist() == [row not in {1, 2} for row in range(12)]
    for row in np.flatnonzero(facts.readable).tolist():
        image = open_image(catalog.file(row))
        assert facts.ids[row].decode() == photo_id(catalog.file(row).read_bytes())
        assert (*facts.sizes[row],) == image.size
        assert facts.pictures[row] == picture_hash(image)
    assert [*facts.samples] == [0, 5]
    assert Image.open(io.BytesIO(facts.samples[5])).size == open_image(catalog.file(5)).size


def test_of_a_box_the_id_and_the_looks_are_its_own_and_the_size_the_photos(tmp_path, photo_folder):
    (tmp_path / "table.csv").write_text(
        "path,label,box\ncorvids/crow/0.png,crow,1 2 15 16\ncorvids/crow/1.png,crow,900 0 950 20\n"
    )
    facts = look_at(read_catalog(tmp_path / "table.csv"), {0, 1})
    file = photo_folder / "crow" / "0.png"
    assert facts.ids[0].decode() == photo_id(file.read_bytes(), (1, 2, 15, 16))
    assert (*facts.sizes[0],) == open_image(file).size
    assert facts.pictures[0] == picture_hash(open_image(file, (1, 2, 15, 16)))
    assert Image.open(io.BytesIO(facts.samples[0])).size == (14, 14)
    assert (facts.pictured.tolist(), facts.readable.tolist()) == ([True, False], [True, True])
    assert facts.reasons == {}


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_photo_on_its_side_is_seen_upright(tmp_path, side):
    exif = Image.Exif()
    exif[0x0112] = 8 if side == "left" else 6
    (tmp_path / "a").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "a" / "0.jpg", exif=exif)
    assert look_at(read_catalog(tmp_path)).sizes.tolist() == [[40, 60]]
