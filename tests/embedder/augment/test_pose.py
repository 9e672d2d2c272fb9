from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from embedder.augment import geometry
from embedder.augment.geometry import Frame, seen
from embedder.augment.pose import DRAWS, HEAD, NEEDS, Subject, check_keypoints, mirror_order, posed, subjects
from embedder.augment.views import training_view, view_subject
from embedder.config import AugmentSettings
from embedder.data.catalog import TYPES, Catalog, label_column
from embedder.data.drawing.bird import KEYPOINT_NAMES, draw_bird
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawing.pose import Pose
from embedder.data.drawing.scene import PAPER
from embedder.randomness import keyed_generator
from eval.errors import InputError

FINCH = SPECIES["Common Marshfinch"]
SIDE = 96
STILL = AugmentSettings(
    crop_share=(1.0, 1.0), crop_aspect=(0.01, 100.0), mirror=0, brightness=0, contrast=0, saturation=0
)
"""Settings under which a view is the whole photo."""

CUB = (
    "back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape", "right eye",
    "right leg", "right wing", "tail", "throat",
)  # fmt: skip


def drawn(individual, **more):
    """A drawn bird with everything in sight, and its keypoints."""
    bird = draw_bird(FINCH, individual, SIDE, scene=PAPER, **more)
    return bird, Subject(bird.keypoints, KEYPOINT_NAMES)


def view(bird, subject, settings, key=0, size=SIDE):
    """The pixels of a view and the keypoints in it."""
    image = bird if isinstance(bird, Image.Image) else bird.image
    pixels = training_view(image, settings, size, keyed_generator("test", key), None, subject)
    return pixels, view_subject(subject, settings, size, keyed_generator("test", key), image.size)


def above(subject):
    """How many degrees the head lies above the tail."""
    across, down = subject.axis()
    return np.degrees(np.arctan2(-down, abs(across)))


@pytest.mark.parametrize("degrees", [-170, -60, -12.5, 8, 45, 90])
@pytest.mark.parametrize("facing", ["left", "right"])
def test_a_turned_birds_keypoints_are_those_of_the_bird_drawn_turned(degrees, facing):
    pose = Pose(size=0.24, facing=facing, tilt=10, nod=-8, tail=5)
    (bird, subject), (redrawn, expected) = drawn(1, pose=pose), drawn(1, pose=pose.rotated(degrees))
    frame = Frame(0, 0, SIDE, SIDE, turn=degrees)
    found = subject.moved(frame, SIDE)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-6)
    turned = np.asarray(seen(bird.mask.convert("RGB"), frame, SIDE))[..., 0].astype(float)
    inside = np.hypot(*(np.indices(turned.shape) - SIDE / 2)) < SIDE / 2 - 1
    difference = abs(turned - np.asarray(redrawn.mask).astype(float))[inside]
    assert difference.mean() < 2  # grey levels: a ring of edge pixels


def test_a_mirrored_birds_keypoints_are_those_of_the_bird_drawn_mirrored():
    for individual in range(5):
        bird, subject = drawn(individual)
        redrawn, expected = drawn(individual, pose=bird.pose.mirrored())
        _, found = view(bird, subject, replace(STILL, mirror=1.0))
        np.testing.assert_allclose(found.points, expected.points, atol=1e-6)
        mask = np.asarray(seen(bird.mask.convert("RGB"), Frame(0, 0, SIDE, SIDE, mirrored=True), SIDE))[..., 0]
        assert abs(mask.astype(float) - np.asarray(redrawn.mask)).mean() < 1


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"mirror": 0.5},
        {"rotate": 40.0},
        {"shear": 20.0, "perspective": 0.5},
        {"pose_axis": (-80.0, 80.0)},
        {"pose_facing": 0.5, "pose_crop": 0.5, "pose_head": 0.5},
        {"mirror": 0.5, "rotate": 20.0, "shear": 10.0, "perspective": 0.3, "pose_axis": (0.0, 50.0), "pose_crop": 0.5,
         "pose_facing": 0.5, "pose_head": 0.3},
    ],
)  # fmt: skip
def test_keypoints_move_with_the_pixels_of_a_view(change, monkeypatch):
    """Photos of one soft spot each, at a keypoint: its light is found where the keypoint has gone."""
    monkeypatch.setattr(geometry, "BEYOND", (0, 0, 0))
    settings = replace(STILL, crop_share=(0.5, 0.9), crop_aspect=(0.75, 4 / 3), **change)
    _, subject = drawn(2)
    across, down = np.meshgrid(np.arange(SIDE) + 0.5, np.arange(SIDE) + 0.5)
    compared = 0
    for place in (0, 2, 11, 15):
        x, y, _ = subject.points[place]
        light = 255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 8)
        photo = Image.fromarray(np.repeat(light[..., None], 3, axis=-1).round().astype(np.uint8))
        for key in range(8):
            pixels, found = view(photo, subject, settings, key, 64)
            expected = found.points[place, :2]
            if (abs(expected - 32) < 16).all():  # the whole spot is in the view
                rows, columns = np.indices((64, 64)) + 0.5
                weight = pixels[..., 0].astype(float)
                centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
                assert abs(centre - expected).max() < 0.5
                compared += 1
    assert compared >= 4


@pytest.mark.parametrize("angle", [-90.0, -20.0, 0.0, 35.0, 120.0])
@pytest.mark.parametrize("facing", ["left", "right"])
def test_the_axis_is_turned_into_its_range(angle, facing):
    """By the keypoints of the view, and by those of the bird drawn so; beyond upright it bends over backwards."""
    bird, subject = drawn(3, pose=Pose(size=0.2, facing=facing, tilt=14, nod=20))
    _, found = view(bird, subject, replace(STILL, pose_axis=(angle, angle)))
    assert above(found) == pytest.approx(angle if angle <= 90 else 180 - angle, abs=1e-6)
    turn = above(subject) - angle if facing == "right" else angle - above(subject)
    _, redrawn = drawn(3, pose=bird.pose.rotated(turn))
    np.testing.assert_allclose(found.points, redrawn.points, atol=1e-6)


def test_angles_of_the_axis_are_spread_over_the_range():
    _, subject = drawn(3, pose=Pose(size=0.2))
    settings = replace(STILL, pose_axis=(-10.0, 30.0), rotate=90.0)
    angles = [above(view_subject(subject, settings, 32, keyed_generator(key), (SIDE, SIDE))) for key in range(300)]
    assert -10 <= min(angles) < -8
    assert 28 < max(angles) <= 30
    assert 8 < np.mean(angles) < 12


def test_only_some_views_are_turned_by_the_axis():
    _, subject = drawn(3, pose=Pose(size=0.2))
    settings = replace(STILL, pose_axis=(70.0, 80.0), pose_turn=0.25)
    views = [view_subject(subject, settings, 32, keyed_generator(key), (SIDE, SIDE)) for key in range(400)]
    turned = [above(one) for one in views if above(one) != pytest.approx(above(subject))]
    assert 70 < len(turned) < 130
    assert 70 <= min(turned) < 71
    assert 79 < max(turned) <= 80


def test_the_subject_is_made_to_look_left():
    for individual in range(12):
        bird, subject = drawn(individual)
        assert subject.looks_right() == (bird.pose.facing == "right")
        pixels, found = view(bird, subject, replace(STILL, pose_facing=1.0, mirror=0.5), individual)
        assert found.looks_right() is False
        original = np.asarray(bird.image)
        assert np.array_equal(pixels, original[:, ::-1] if bird.pose.facing == "right" else original)


@pytest.mark.parametrize(
    "moved",
    [
        {"pose_axis": (-180.0, 180.0), "rotate": 180.0},
        {"shear": 45.0},
        {"rotate": 180.0, "shear": 30.0, "perspective": 0.5},
    ],
)
def test_the_subject_looks_left_after_it_has_been_turned_and_slanted(moved):
    settings = replace(STILL, pose_facing=1.0, **moved)
    for individual in range(4):
        bird, subject = drawn(individual, pose=Pose(size=0.2, facing="right" if individual % 2 else "left"))
        for key in range(40):
            found = view(bird, subject, settings, key, 16)[1]
            assert found.looks_right() is not True


def test_subjects_look_left_as_often_as_asked_for():
    bird, subject = drawn(1, pose=Pose(facing="right"))
    settings = replace(STILL, pose_facing=0.3)
    left = sum(not view(bird, subject, settings, key, 16)[1].looks_right() for key in range(300))
    assert 65 <= left <= 115


def test_a_head_view_is_the_head_with_room_around_it():
    for individual in range(12):
        bird, subject = drawn(individual)
        pixels, found = view(bird, subject, replace(STILL, pose_head=1.0), individual)
        box = found.seen(HEAD)
        assert len(box) == len(subject.seen(HEAD))
        assert SIDE / 2.2 - 1e-6 <= np.ptp(box, axis=0).max() <= SIDE / 1.4 + 1e-6
        assert len(found.seen()) < len(subject.seen())
        assert pixels.shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("change", [{}, {"pose_head": 1.0}, {"pose_crop": 1.0}])
def test_views_relative_to_a_photo_are_those_of_the_photo_squashed(change):
    settings = replace(STILL, crop_share=(0.3, 0.8), crop_aspect=(0.75, 4 / 3), mirror=0.5, **change)
    for key in range(24):
        _, subject = drawn(key)
        wide = Subject(subject.points * (2, 1, 1), subject.names)
        relative = replace(settings, relative_aspect=True)
        found = view_subject(wide, relative, 32, keyed_generator("test", key), (2 * SIDE, SIDE))
        expected = view_subject(subject, settings, 32, keyed_generator("test", key), (SIDE, SIDE))
        assert np.allclose(found.points, expected.points)


def test_head_views_are_as_frequent_as_asked_for_and_the_others_stay_as_they_were():
    bird, subject = drawn(4)
    plain = replace(STILL, crop_share=(0.5, 1.0), mirror=0.5)
    heads = 0
    for key in range(200):
        before, after = (view(bird, subject, one, key, 16)[0] for one in (plain, replace(plain, pose_head=0.3)))
        heads += not np.array_equal(before, after)
    assert 40 <= heads <= 80


def test_crops_around_a_keypoint_stay_within_the_photo():
    """Of small crops all hold a keypoint, most of them not where they would be otherwise."""
    settings = replace(STILL, crop_share=(0.02, 0.05), pose_crop=1.0)
    subject = Subject(np.array([[5.0, 50.0, 1.0], [150.0, 20.0, 1.0], [80.0, 70.0, 0.0]]))
    shape, near = (160, 90), set()
    generator = np.random.default_rng(0)
    for _ in range(200):
        frame = posed(Frame(0, 0, 20.0, 15.0), settings, generator.random(DRAWS), subject, shape)
        assert 0 <= frame.left <= 140
        assert 0 <= frame.top <= 75
        assert (frame.width, frame.height) == (20, 15)
        inside = [frame.left <= x <= frame.left + 20 and frame.top <= y <= frame.top + 15 for x, y, _ in subject.points]
        assert sum(inside) == 1
        near.add(inside.index(True))
    assert near == {0, 1}


def test_what_cannot_be_seen_changes_nothing():
    bird, subject = drawn(5)
    everything = replace(STILL, crop_share=(0.3, 0.9), pose_axis=(60.0, 80.0), pose_facing=1.0, pose_head=1.0)
    hidden = Subject(subject.points * (1, 1, 0), KEYPOINT_NAMES)
    nameless = Subject(subject.points)
    for key in range(4):
        plain = training_view(bird.image, replace(STILL, crop_share=(0.3, 0.9)), 32, keyed_generator("test", key))
        for one in (replace(everything, pose_crop=1.0), everything):
            assert np.array_equal(view(bird, hidden, one, key, 32)[0], plain)
        assert np.array_equal(view(bird, nameless, everything, key, 32)[0], plain)


def test_left_and_right_change_places_in_a_mirror():
    order = mirror_order(CUB)
    swapped = [CUB[place] for place in order]
    assert swapped[6:9] == ["right eye", "right leg", "right wing"]
    assert swapped[10:13] == ["left eye", "left leg", "left wing"]
    assert [name for name in swapped if " " not in name] == [name for name in CUB if " " not in name]
    assert mirror_order(("left_hip", "right_hip", "left ear", "bright spot")).tolist() == [1, 0, 2, 3]
    assert mirror_order(("Beak", "Left eye", "Right Eye")).tolist() == [0, 2, 1]
    assert mirror_order(KEYPOINT_NAMES).tolist() == [*range(len(KEYPOINT_NAMES))]
    points = np.array([[row + 1.0, 5.0, row % 2] for row in range(15)])
    found = Subject(points, CUB).moved(Frame(0, 0, 20, 10, mirrored=True), 20)
    assert found.points[6].tolist() == [20 - 11, 10, 0]  # the left eye is where the right one was
    assert found.points[10].tolist() == [20 - 7, 10, 0]
    assert found.points[1].tolist() == [20 - 2, 10, 1]


def test_what_a_view_does_not_show_cannot_be_seen_in_it():
    subject = Subject(np.array([[5.0, 5.0, 1.0], [15.0, 5.0, 1.0], [5.0, 5.0, 0.0]]))
    assert subject.moved(Frame(0, 0, 10, 10), 30).points.tolist() == [[15, 15, 1], [45, 15, 0], [15, 15, 0]]


def catalog_of(tmp_path, points, names=()):
    count = len(points)
    columns = {"path": [f"{row}.jpg" for row in range(count)], "label": label_column(["wren"] * count)}
    if any(one is not None for one in points):
        columns["keypoints"] = pa.array(points, TYPES["keypoints"])
    return Catalog(pa.table(columns), tmp_path, "test", keypoint_names=names)


def test_keypoints_of_a_catalog(tmp_path):
    points = [[[1.0, 2.0, 1.0], [3.0, 4.0, 0.0]], None, []]
    found = subjects(catalog_of(tmp_path, points, ("beak", "tail")))
    assert found[0].points.tolist() == points[0]
    assert found[0].names == ("beak", "tail")
    assert found[1:] == [None, None]
    assert subjects(catalog_of(tmp_path, [None, None])) == [None, None]


SEEN, HIDDEN = [[1.0, 2.0, 1.0], [3.0, 4.0, 1.0]], [[1.0, 2.0, 1.0], [3.0, 4.0, 0.0]]


@pytest.mark.parametrize(
    ("change", "points", "names", "message"),
    [
        ({"pose_crop": 0.1}, [None], (), r"augment\.pose_crop needs keypoints, and the photos in .* have none; leave"),
        ({"pose_axis": (0.0, 0.0)}, [None], (), r"augment\.pose_axis needs keypoints"),
        (
            {"pose_head": 0.1},
            [SEEN],
            (),
            r"augment\.pose_head needs to know which keypoint is which, and .* --data\.key",
        ),
        ({"pose_axis": (0.0, 9.0)}, [HIDDEN], ("beak", "tail"), r"augment\.pose_axis .* a head and a tail can be seen"),
        ({"pose_facing": 0.1}, [SEEN], ("beak", "bill"), r"augment\.pose_facing .* none of the 1 in .* is one"),
        ({"pose_head": 0.1}, [SEEN], ("beak", "tail"), r"augment\.pose_head .* two points of the head"),
        (
            {"pose_axis": (0.0, 9.0)},
            [SEEN],
            ("snout", "rump"),
            r"augment\.pose_axis knows keypoints by words .*\(beak, .*tail.*\), and .* none of these: snout, rump",
        ),
        ({"pose_crop": 0.1}, [[[1.0, 2.0, 0.0]]], (), r"augment\.pose_crop .* a keypoint can be seen"),
        ({"pose_crop": 0.1}, [SEEN], ("beak",), r"0\.jpg has 2 keypoints, and 1 have names \(beak\); name each"),
    ],
)
def test_options_without_the_keypoints_that_they_need(tmp_path, change, points, names, message):
    catalog = catalog_of(tmp_path, points, names)
    with pytest.raises(InputError, match=message):
        check_keypoints(replace(AugmentSettings(), **change), catalog)


def test_one_photo_with_what_is_needed_is_enough(tmp_path):
    catalog = catalog_of(tmp_path, [None, HIDDEN, SEEN], ("beak", "tail"))
    check_keypoints(AugmentSettings(pose_axis=(0.0, 10.0), pose_crop=0.5), catalog)
    check_keypoints(AugmentSettings(rotate=20.0), catalog_of(tmp_path, [None]))


def test_most_real_birds_show_what_the_options_need(shared_data):
    """The keypoints of CUB as they are published; its photos are not needed."""
    parts = shared_data / "cub200_annotations" / "parts"
    names = tuple(line.split(maxsplit=1)[1] for line in (parts / "parts.txt").read_text().splitlines())
    assert names == CUB
    points = np.loadtxt(parts / "part_locs.txt", max_rows=1500 * len(CUB))[:, 2:].reshape(-1, len(CUB), 3)
    birds = [Subject(one, names) for one in points]
    for has, least in zip((has for _, has in NEEDS.values()), (1.0, 0.8, 0.98, 0.99), strict=True):
        assert np.mean([has(bird) for bird in birds]) >= least
    heights = [bird.axis()[1] < 0 for bird in birds if bird.axis() is not None]
    assert 0.8 < np.mean(heights) < 0.99  # most heads are above the tail
