from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from embedder.augment.pose import Subject
from embedder.augment.views import _rectangle, check_settings, training_view, view_subject
from embedder.config import AugmentSettings
from embedder.randomness import keyed_generator
from eval.errors import InputError

STILL = AugmentSettings(
    crop_share=(1.0, 1.0), crop_aspect=(0.01, 100.0), mirror=0, brightness=0, contrast=0, saturation=0
)
"""Settings under which a view is the whole photo, squashed to a square."""


@pytest.fixture(scope="module")
def photo():
    """Smooth colours that differ everywhere, so that every crop, flip and tint shows."""
    across, down = np.meshgrid(np.linspace(30, 220, 80), np.linspace(30, 220, 60))
    return Image.fromarray(np.stack([across, down, 250 - across], axis=-1).astype(np.uint8))


def view(photo, settings, key=0, size=32):
    return training_view(photo, settings, size, keyed_generator("test", key))


def test_shape_and_determinism(photo):
    settings = AugmentSettings(hue=0.1, erase=0.5)
    for key in range(5):
        pixels = view(photo, settings, key)
        assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
        assert np.array_equal(pixels, view(photo, settings, key))
    assert not np.array_equal(view(photo, settings, 0), view(photo, settings, 1))


def test_everything_off_is_the_whole_photo(photo):
    assert np.array_equal(view(photo, STILL), np.asarray(photo.resize((32, 32), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 2), (4000, 8)])
def test_photos_of_any_shape(size):
    assert view(Image.new("RGB", size, "red"), AugmentSettings(erase=1.0)).shape == (32, 32, 3)


def test_switching_one_thing_off_leaves_the_rest(photo):
    crops = replace(STILL, crop_share=(0.2, 0.6), crop_aspect=(0.5, 2.0))
    for key in range(20):
        plain = view(photo, crops, key)
        flipped = view(photo, replace(crops, mirror=1.0), key)
        assert np.array_equal(flipped, plain[:, ::-1])
        darker = replace(crops, brightness=0.5)
        factor = np.median(view(photo, darker, key) / plain)
        assert np.allclose(view(photo, replace(darker, mirror=1.0), key), np.clip(flipped * factor, 0, 255), atol=2)
        untouched = (view(photo, replace(darker, erase=1.0), key) == view(photo, darker, key)).all(axis=-1)
        assert 0.6 * 32 * 32 <= untouched.sum() < 32 * 32


@pytest.mark.parametrize("change", [{"rotate": 0.001}, {"shear": 0.001}, {"perspective": 0.0001}])
def test_a_slight_turn_leaves_the_rest(photo, change):
    """The same crop, mirror image, colours and noise; pixels that are resampled in two steps differ by rounding."""
    settings = AugmentSettings(erase=0.5)
    for key in range(20):
        plain, turned = (view(photo, one, key).astype(int) for one in (settings, replace(settings, **change)))
        assert abs(plain - turned)[1:-1, 1:-1].max() <= 5
        assert np.median(abs(plain - turned)) <= 1


def test_shares_and_aspects_of_crops():
    """Uniform shares of the area; aspects log-uniform where all fit, and always rectangles within the photo."""
    generator = np.random.default_rng(0)
    share, aspect, size = (0.1, 0.5), (0.75, 4 / 3), (300, 300)
    found = np.array([_rectangle(generator.random(4), share, aspect, size) for _ in range(4000)])
    left, top, width, height = found.T
    assert (found >= 0).all()
    assert (left + width <= 300 + 1e-9).all()
    assert (top + height <= 300 + 1e-9).all()
    for values, low, high in ((width * height / 9e4, *share), (np.log(width / height), *np.log(aspect))):
        assert low - 1e-9 <= values.min() < values.max() <= high + 1e-9
        quarters = np.histogram(values, 4, (low, high))[0]
        assert (abs(quarters - 1000) < 120).all()
    assert abs(np.corrcoef(left / (300 - width), top / (300 - height))[0, 1]) < 0.05


@pytest.mark.parametrize("size", [(400, 100), (300, 300), (90, 180)])
def test_crops_relative_to_a_photo_are_squares_of_it_squashed(size):
    """A place moves as if the photo had been squashed into a square before it was cropped."""
    crops = replace(STILL, crop_share=(0.2, 0.8), crop_aspect=(0.75, 4 / 3), relative_aspect=True, mirror=0.5)
    squashed = Subject(np.array([[0.3 * 300, 0.6 * 300, 1.0]]))
    for key in range(50):
        draws = [keyed_generator("test", key) for _ in range(2)]
        place = view_subject(Subject(squashed.points * [size[0] / 300, size[1] / 300, 1]), crops, 32, draws[0], size)
        expected = view_subject(squashed, replace(crops, relative_aspect=False), 32, draws[1], (300, 300))
        assert np.allclose(place.points, expected.points)


@pytest.mark.parametrize(
    ("size", "expected"), [((400, 100), (200, 100)), ((100, 400), (100, 200)), ((90, 90), (90, 90))]
)
def test_where_no_aspect_fits_it_is_the_largest_rectangle_of_the_nearest(size, expected):
    left, top, width, height = _rectangle(np.full(4, 0.999), (1.0, 1.0), (0.5, 2.0), size)
    assert (round(width), round(height)) == expected
    assert 0 <= left <= size[0] - width
    assert 0 <= top <= size[1] - height


def test_only_aspects_that_fit_are_drawn():
    generator = np.random.default_rng(0)
    for _ in range(500):
        _, _, width, height = _rectangle(generator.random(4), (0.9, 0.9), (0.2, 5.0), (200, 100))
        assert width <= 200 + 1e-9
        assert height <= 100 + 1e-9
        assert width * height == pytest.approx(0.9 * 20000)


def test_a_mirror_comes_as_often_as_it_should(photo):
    still = view(photo, STILL)
    flips = sum(not np.array_equal(view(photo, replace(STILL, mirror=0.3), key), still) for key in range(400))
    assert 90 < flips < 150


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colours_change_by_no_more_than_they_may(photo, name):
    """Each is a blend of the photo with black, its mean grey, or its own grey, by a factor of 1 - most to 1 + most."""
    still = view(photo, STILL).astype(float)
    grey = np.asarray(Image.fromarray(still.astype(np.uint8)).convert("L")).astype(float)
    other = {"brightness": 0.0, "contrast": round(grey.mean()), "saturation": grey[..., None]}[name]
    factors = []
    for key in range(60):
        pixels = view(photo, replace(STILL, **{name: 0.3}), key).astype(float)
        inside = (pixels > 0) & (pixels < 255) & (abs(still - other) > 20)
        ratios = ((pixels - other) / (still - other + 1e-9))[inside]
        assert ratios.std() < 0.05
        factors.append(np.median(ratios))
    assert 0.68 < min(factors) < 0.8
    assert 1.2 < max(factors) < 1.32


def test_hue_turns_by_no_more_than_it_may():
    red = Image.new("RGB", (8, 8), (200, 20, 20))
    hues = []
    for key in range(60):
        turned = Image.fromarray(view(red, replace(STILL, hue=0.1), key, 8)).convert("HSV")
        hue = np.asarray(turned)[0, 0].astype(int)
        assert abs(hue[1] - 230) <= 3
        assert abs(hue[2] - 200) <= 3
        hues.append((hue[0] + 128) % 256 - 128)
    assert -27 <= min(hues) < -15
    assert 15 < max(hues) <= 27


def test_an_erased_rectangle_is_noise_of_the_right_size():
    blue = Image.new("RGB", (64, 64), (0, 0, 255))
    shares = []
    for key in range(100):
        pixels = view(blue, replace(STILL, erase=1.0), key, 64)
        rows, columns = np.nonzero((pixels != (0, 0, 255)).any(axis=-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) > 0.99 * height * width
        shares.append(height * width / 64**2)
        painted = pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert 90 < painted.mean() < 165
    assert 0.01 < min(shares) < 0.1
    assert 0.3 < max(shares) <= 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_share": (0.0, 1.0)}, "augment.crop_share is 0.0, 1.0; it must be"),
        ({"crop_share": (0.5, 1.5)}, "augment.crop_share"),
        ({"crop_aspect": (2.0, 0.5)}, "augment.crop_aspect"),
        ({"mirror": 1.1}, "augment.mirror is 1.1; it must lie between 0 and 1"),
        ({"hue": 0.6}, "augment.hue is 0.6; it must lie between 0 and 0.5"),
        ({"brightness": -0.1}, "augment.brightness"),
        ({"erase": float("nan")}, "augment.erase"),
        ({"rotate": -1.0}, "augment.rotate"),
        ({"shear": 90.0}, "augment.shear is 90.0; it must lie between 0 and 60"),
        ({"perspective": 0.7}, "augment.perspective is 0.7; it must lie between 0 and 0.6"),
        ({"pose_head": 1.5}, "augment.pose_head"),
        ({"pose_crop": -0.5}, "augment.pose_crop"),
        ({"pose_facing": 2.0}, "augment.pose_facing"),
        ({"pose_turn": 1.5}, "augment.pose_turn is 1.5; it must lie between"),
        ({"pose_turn": 0.5}, "augment.pose_turn is 0.5, but augment.pose_axis is not set"),
        ({"pose_axis": (0.0, 9.0), "pose_turn": 0.0}, "augment.pose_turn is 0, so nothing is turned into"),
        ({"pose_axis": (30.0, -10.0)}, "augment.pose_axis is 30.0, -10.0; it must be a least and a greatest angle"),
        ({"pose_axis": (0.0, 200.0)}, "augment.pose_axis"),
    ],
)
def test_settings_that_describe_no_view(change, message):
    check_settings(AugmentSettings())
    with pytest.raises(InputError, match=message):
        check_settings(replace(AugmentSettings(), **change))
