import numpy as np
import pytest
from PIL import Image, ImageDraw

from embedder.data.catalog import read_catalog
from embedder.data.findings import Looked
from embedder.data.photo_facts import look_at
from embedder.data.same_pictures import BITS, same_pictures
from eval.copies import look_alikes


def picture(seed, size=(120, 90)):
    """Something with edges, different for each seed."""
    draw = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(draw.integers(0, 256, 3).tolist()))
    for _ in range(12):
        left, top = draw.integers(0, size)
        width, height = draw.integers(10, 60, 2)
        colour = tuple(draw.integers(0, 256, 3).tolist())
        ImageDraw.Draw(image).ellipse((left - width, top - height, left + width, top + height), colour)
    return image


def same(folder):
    """The paths of the pairs that are found."""
    catalog = read_catalog(folder)
    everything = np.ones(len(catalog), bool)
    pairs = same_pictures(Looked(catalog, look_at(catalog), everything, ~everything))
    return sorted((catalog.paths[one], catalog.paths[other]) for one, other in pairs.T.tolist())


@pytest.mark.parametrize("at_once", [1, 1000])
def test_copies_in_another_size_and_quality(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("embedder.data.same_pictures.AT_ONCE", at_once)
    (tmp_path / "a").mkdir()
    for seed in range(20):
        picture(seed).save(tmp_path / "a" / f"{seed:02}.png")
    for seed in (3, 8):
        picture(seed).resize((80, 60)).save(tmp_path / "a" / f"small{seed}.jpg", quality=50)
        (tmp_path / "a" / f"twin{seed}.png").write_bytes((tmp_path / "a" / f"{seed:02}.png").read_bytes())
    assert same(tmp_path) == [("a/03.png", "a/small3.jpg"), ("a/08.png", "a/small8.jpg")]


def test_plain_photos_are_not_the_same_though_their_hashes_are(tmp_path):
    """A speck in the sky: nearly all of the hash is of nothing."""
    (tmp_path / "a").mkdir()
    for number in range(6):
        image = Image.new("RGB", (160, 160), (90, 140, 220 - number))
        ImageDraw.Draw(image).ellipse((20 * number, 130 - 20 * number, 20 * number + 9, 135 - 20 * number), "black")
        image.save(tmp_path / "a" / f"{number}.png")
        Image.new("RGB", (160, 160), (90, 140, 220 - number)).save(tmp_path / "a" / f"plain{number}.png")
    catalog = read_catalog(tmp_path)
    pictures = look_at(catalog).pictures
    assert (np.bitwise_count(pictures[:, None] ^ pictures) <= BITS).all()
    assert same(tmp_path) == []


def test_thousands_of_plain_photos_are_dropped_before_they_are_paired(tmp_path, monkeypatch):
    """All pairs of them would be millions; what is not plain among them is still found."""
    (tmp_path / "a").mkdir()
    for number in range(40):
        noise = np.random.default_rng(number).integers(120, 123, (90, 120), np.uint8)
        Image.fromarray(noise).save(tmp_path / "a" / f"plain{number:02}.png")
    picture(1).save(tmp_path / "a" / "one.png")
    picture(1).resize((80, 60)).save(tmp_path / "a" / "two.png")
    asked = []
    monkeypatch.setattr(
        "embedder.data.same_pictures.look_alikes",
        lambda hashes, bits: asked.append(len(hashes)) or look_alikes(hashes, bits),
    )
    assert same(tmp_path) == [("a/one.png", "a/two.png")]
    assert asked[-1] == 2


def test_copies_whose_hashes_are_equal(tmp_path):
    (tmp_path / "a").mkdir()
    picture(5).save(tmp_path / "a" / "one.png")
    picture(5).save(tmp_path / "a" / "two.jpg", quality=98)
    pictures = look_at(read_catalog(tmp_path)).pictures
    assert pictures[0] == pictures[1]
    assert same(tmp_path) == [("a/one.png", "a/two.jpg")]
