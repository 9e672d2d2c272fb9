import math

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from embedder.augment import geometry
from embedder.augment.geometry import CORNERS, DISTORTIONS, Frame, distorted, moved, seen
from embedder.config import AugmentSettings

WHOLE = Frame(0, 0, 90, 60)
POINTS = np.array([[10.0, 12.5], [80.5, 7.0], [45.0, 30.0], [33.3, 55.1]])
ASIDE = Frame(12, 5, 60, 45, turn=20, shear=7, corners=CORNERS + 0.1 * (1 - 2 * CORNERS), mirrored=True)


@pytest.fixture(scope="module")
def photo():
    """Smooth colours, so that all ways of resampling agree on them."""
    across, down = np.meshgrid(np.linspace(0, 6, 90), np.linspace(0, 4, 60))
    waves = np.stack([np.sin(across), np.cos(down), np.sin(across + down)], axis=-1)
    return Image.fromarray((128 + 100 * waves).astype(np.uint8))


def spot(shape, place, spread=3.0):
    """A black photo with one soft white spot."""
    across, down = np.meshgrid(np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5)
    light = np.exp(-((across - place[0]) ** 2 + (down - place[1]) ** 2) / (2 * spread**2))
    return Image.fromarray(np.repeat((255 * light)[..., None], 3, axis=-1).round().astype(np.uint8))


def centre(view):
    """Where the light of a view is."""
    light = np.asarray(view)[..., 0].astype(float)
    down, across = np.indices(light.shape) + 0.5
    return np.array([(light * across).sum(), (light * down).sum()]) / light.sum()


def test_an_upright_frame_is_a_crop_and_perhaps_its_mirror_image(photo):
    frame = Frame(10.5, 3, 40, 50)
    expected = photo.resize((32, 32), Image.Resampling.BICUBIC, (10.5, 3, 50.5, 53), reducing_gap=3.0)
    assert seen(photo, frame, 32).tobytes() == expected.tobytes()
    mirrored = seen(photo, Frame(10.5, 3, 40, 50, mirrored=True), 32)
    assert np.array_equal(np.asarray(mirrored), np.asarray(expected)[:, ::-1])


def test_the_map_of_a_crop():
    frame = Frame(10, 20, 40, 80)
    assert moved(np.array([[10.0, 20.0], [50.0, 100.0], [30.0, 40.0]]), frame.matrix(32)) == pytest.approx(
        np.array([[0, 0], [32, 32], [16, 8]])
    )


def test_a_turn_is_clockwise_and_a_slant_to_the_right():
    """Of what is right of the middle, and of what is above it."""
    turned = moved(np.array([[75.0, 30.0], [45.0, 30.0]]), Frame(15, 0, 60, 60, turn=90).matrix(60))
    assert turned == pytest.approx(np.array([[30, 60], [30, 30]]))
    slanted = moved(np.array([[45.0, 10.0]]), Frame(15, 0, 60, 60, shear=45).matrix(60))
    assert slanted == pytest.approx(np.array([[50, 10]]))


def test_corners_are_what_the_view_shows():
    matrix = ASIDE.matrix(32)
    upright = Frame(12, 5, 60, 45, turn=20, shear=7)
    shown = moved(CORNERS * 32, np.linalg.inv(matrix))
    assert moved(shown, upright.matrix(1))[[1, 0, 3, 2]] == pytest.approx(ASIDE.corners)


@pytest.mark.parametrize("size", [24, 60, 200])
@pytest.mark.parametrize(
    "frame", [Frame(10, 5, 70, 45, turn=33), Frame(5, 5, 60, 50, shear=-20), ASIDE, Frame(10, 5, 60, 50, turn=-130)]
)
def test_points_move_with_the_pixels(frame, size, monkeypatch):
    """Photos of one spot each: its light is found where the map takes it; squashed ones too."""
    monkeypatch.setattr(geometry, "BEYOND", (0, 0, 0))
    places, matrix = np.array([[40.0, 25.0], [47.3, 36.1], [33.2, 30.4]]), frame.matrix(size)
    for place, expected in zip(places, moved(places, matrix), strict=True):
        photo = spot((90, 60), place, 2.0)
        assert abs(centre(seen(photo, frame, size)) - expected).max() < 0.15 * max(size / 60, 1)
        squashed = photo.resize((75, 75), Image.Resampling.BICUBIC)
        assert abs(centre(seen(squashed, frame, size, photo.size)) - expected).max() < 0.2 * max(size / 60, 1)


def test_a_turned_view_is_as_sharp_as_an_upright_one():
    """A hundredth of a degree makes no other picture, whatever the photo is reduced by."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    for size in (40, 128, 300):
        upright = np.asarray(seen(photo, Frame(20, 10, 200, 180), size)).astype(float)
        turned = np.asarray(seen(photo, Frame(20, 10, 200, 180, turn=0.01), size)).astype(float)
        assert abs(upright - turned).mean() < 0.3 * upright.std()
        assert turned.std() == pytest.approx(upright.std(), rel=0.12)


def test_beyond_the_photo_there_is_one_colour(photo):
    square = photo.crop((0, 0, 60, 60))
    view = np.asarray(seen(square, Frame(0, 0, 60, 60, turn=45), 64))
    assert {*map(tuple, view[[0, 0, -1, -1], [0, -1, 0, -1]])} == {geometry.BEYOND}
    assert geometry.BEYOND not in {*map(tuple, view[20:44, 20:44].reshape(-1, 3))}


def test_a_view_of_nothing_of_the_photo_has_that_colour(photo):
    corners = CORNERS + 0.29 * (1 - 2 * CORNERS)
    view = np.asarray(seen(photo, Frame(-3 * photo.width, 0, photo.width, photo.height, corners=corners), 24))
    assert (view == geometry.BEYOND).all()


def test_distortions_are_no_greater_than_they_may_be():
    generator = np.random.default_rng(0)
    settings = AugmentSettings(rotate=30, shear=10, perspective=0.4)
    found = [distorted(WHOLE, settings, generator.random(DISTORTIONS)) for _ in range(400)]
    for values, most in (([frame.turn for frame in found], 30), ([frame.shear for frame in found], 10)):
        assert -most <= min(values) < -0.95 * most
        assert 0.95 * most < max(values) <= most
        assert abs(np.mean(values)) < 0.1 * most
    inward = np.abs(np.array([frame.corners for frame in found]) - CORNERS)
    assert 0 <= inward.min() < 0.005
    assert 0.195 < inward.max() <= 0.2
    assert all(((frame.corners >= 0) & (frame.corners <= 1)).all() for frame in found)


def test_without_distortions_a_frame_stays_as_it_is():
    assert distorted(WHOLE, AugmentSettings(), np.full(DISTORTIONS, 0.3)) == WHOLE


def test_what_is_shown_never_crosses_itself():
    """At the greatest perspective that is allowed, all corners turn the same way."""
    for number in range(2**8):
        draws = np.array([0, 0, *map(int, f"{number:08b}")], float)
        corners = distorted(WHOLE, AugmentSettings(perspective=0.6), draws).corners
        sides = np.roll(corners, -1, axis=0) - corners
        after = np.roll(sides, -1, axis=0)
        assert (sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all()


def peer(points, shape=(90, 60)):
    return tv_tensors.KeyPoints(torch.tensor(points, dtype=torch.float64), canvas_size=(shape[1], shape[0]))


def test_torchvision_mirrors_points_alike():
    """Its points are counted from the centre of the first pixel here, and from the corner below."""
    ours = moved(POINTS, np.diag([90 / 60, 1, 1]) @ Frame(0, 0, 90, 60, mirrored=True).matrix(60))
    assert functional.horizontal_flip(peer(POINTS - 0.5)).numpy() + 0.5 == pytest.approx(ours)


def test_torchvision_crops_points_alike():
    inside = np.array([[30.0, 20.0], [45.5, 33.25]])
    theirs = functional.resized_crop(peer(inside), top=10, left=20, height=40, width=30, size=[64, 64])
    assert theirs.numpy() == pytest.approx(moved(inside, Frame(20, 10, 30, 40).matrix(64)))


@pytest.mark.parametrize(("turn", "shear"), [(17, 0), (-140, 0), (0, 12), (25, -9)])
def test_torchvision_turns_and_slants_points_alike(turn, shear):
    """A square, about its middle; torchvision slants before it turns, and so does one after the other here."""
    square = POINTS[2:] * (60 / 90, 1)
    slanted = functional.affine(peer(square, (60, 60)), 0, [0, 0], 1.0, [float(shear), 0.0])
    turned = functional.rotate(peer(square, (60, 60)), -turn)
    assert slanted.numpy() == pytest.approx(moved(square, Frame(0, 0, 60, 60, shear=shear).matrix(60)), abs=1e-4)
    assert turned.numpy() == pytest.approx(moved(square, Frame(0, 0, 60, 60, turn=turn).matrix(60)), abs=1e-4)


def test_torchvision_sees_points_aslant_alike():
    corners = CORNERS + 0.15 * (1 - 2 * CORNERS) * np.array([[0.2, 0.9], [0.5, 0.1], [1.0, 0.6], [0.3, 0.8]])
    start, end = (corners * (90, 60)).tolist(), (CORNERS * 60).tolist()
    theirs = functional.perspective(peer(POINTS[2:]), start, end).numpy()
    assert theirs == pytest.approx(moved(POINTS[2:], Frame(0, 0, 90, 60, corners=corners).matrix(60)), abs=1e-3)


def test_torchvision_turns_pixels_alike(photo):
    """About the middle of a square, away from its edges."""
    square = photo.crop((0, 0, 60, 60))
    theirs = functional.rotate(square, -25, functional.InterpolationMode.BILINEAR)
    ours = seen(square, Frame(0, 0, 60, 60, turn=25), 60)
    difference = np.abs(np.asarray(ours).astype(int) - np.asarray(theirs).astype(int))[15:45, 15:45]
    assert difference.max() <= 4
    assert math.isclose(np.asarray(ours)[15:45, 15:45].mean(), np.asarray(theirs)[15:45, 15:45].mean(), abs_tol=0.5)
