from dataclasses import replace
from itertools import combinations
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFilter

from embedder.data.drawing.bird import KEYPOINT_NAMES, draw_bird
from embedder.data.drawing.field_guide import LOOK_ALIKES, SPECIES
from embedder.data.drawing.pose import Pose
from embedder.data.drawing.scene import PAPER, Scene
from embedder.data.drawing.species import MARKS, Bill, Length, Species, Tail

FINCH, CHAT = SPECIES["Common Marshfinch"], SPECIES["Black-hooded Emberchat"]
SIDE = 96
OVERHEAD = replace(PAPER, light_angle=-90.0)
EVERYTHING = Species(
    "Every Mark", "umber", "cream", "slate", "cocoa",
    wing_bars=2,
    **{mark: "crimson" for mark in MARKS[4:] if Species.__dataclass_fields__[mark].default is None},
)  # fmt: skip


def pixels(image):
    return np.asarray(image, np.int16)


def distance(first, second):
    """The greatest difference of each pixel: [side, side]."""
    return np.abs(pixels(first.image) - pixels(second.image)).max(axis=2)


def test_a_bird_is_a_function_of_seed_species_and_individual():
    first = draw_bird(FINCH, 3, SIDE)
    draw_bird(CHAT, 8, SIDE, seed=5)
    again = draw_bird(FINCH, 3, SIDE)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.keypoints.tolist() == again.keypoints.tolist()
    assert (first.box, first.pose, first.scene, first.mark_regions) == (
        again.box, again.pose, again.scene, again.mark_regions,
    )  # fmt: skip
    for other in (draw_bird(FINCH, 4, SIDE), draw_bird(FINCH, 3, SIDE, seed=1)):
        assert other.image.tobytes() != first.image.tobytes()
        assert other.pose != first.pose


@pytest.mark.parametrize("individual", range(6))
def test_surroundings_and_pose_say_nothing_about_the_species(individual):
    finch, chat = draw_bird(FINCH, individual, SIDE), draw_bird(CHAT, individual, SIDE)
    assert (finch.pose, finch.scene) == (chat.pose, chat.scene)
    either = ImageChops.lighter(finch.mask, chat.mask).filter(ImageFilter.MaxFilter(9))
    assert np.asarray(either).min() == 0
    assert distance(finch, chat)[np.asarray(either) == 0].max() == 0


@pytest.mark.parametrize(("first", "second", "mark"), LOOK_ALIKES)
def test_look_alikes_look_different_only_where_the_mark_is(first, second, mark):
    pair = [draw_bird(SPECIES[name], 5, SIDE, scene=PAPER) for name in (first, second)]
    changed = distance(*pair) > 24
    assert changed.any()
    down, across = np.nonzero(changed)
    inside = np.zeros(len(down), bool)
    for x, y, radius in [bird.mark_regions[mark] for bird in pair if mark in bird.mark_regions]:
        inside |= np.hypot(across + 0.5 - x, down + 0.5 - y) <= radius + 2
    assert inside.all()


@pytest.mark.parametrize("mark", [mark for mark in MARKS if getattr(EVERYTHING, mark) in {"crimson", 2}])
def test_every_mark_can_be_seen_and_has_its_region(mark):
    without = replace(EVERYTHING, **{mark: 0 if mark == "wing_bars" else None})
    with_mark, plain = draw_bird(EVERYTHING, 0, 128, scene=PAPER), draw_bird(without, 0, 128, scene=PAPER)
    assert mark not in plain.mark_regions
    x, y, radius = with_mark.mark_regions[mark]
    assert 0 < x < 128
    assert 0 < y < 128
    assert 1 < radius < 64
    alone = replace(FINCH, **{mark: 2 if mark == "wing_bars" else "crimson"})
    seen = distance(draw_bird(alone, 0, 128, scene=PAPER), draw_bird(FINCH, 0, 128, scene=PAPER)) > 24
    assert seen.sum() >= 6


@pytest.mark.parametrize(
    ("mark", "values"),
    [
        ("wing_bars", (0, 1, 2)),
        ("tail", get_args(Tail)),
        ("tail_length", get_args(Length)),
        ("bill", get_args(Bill)),
        ("bill_length", get_args(Length)),
    ],
)
def test_every_form_of_a_mark_looks_different(mark, values):
    birds = [
        draw_bird(replace(CHAT, **{"bill_length": "medium", mark: value}), 0, 128, scene=PAPER) for value in values
    ]
    for first, second in combinations(birds, 2):
        assert (distance(first, second) > 60).sum() >= 10


def test_keypoints_lie_inside_the_picture_and_on_the_bird():
    for individual in range(20):
        bird = draw_bird(EVERYTHING, individual, SIDE)
        assert bird.keypoints.shape == (len(KEYPOINT_NAMES), 3)
        assert bird.keypoints[:, :2].min() > 0
        assert bird.keypoints[:, :2].max() < SIDE
        assert set(bird.keypoints[:, 2].tolist()) <= {0.0, 1.0}
        near = np.asarray(bird.mask.filter(ImageFilter.MaxFilter(5)))
        column, row = bird.keypoints[:, :2].astype(int).T
        assert (near[row, column] > 0).all()


@pytest.mark.parametrize(
    ("keypoint", "marks"),
    [
        ("crown", {"cap": "crimson"}),
        ("throat", {"throat": "crimson"}),
        ("breast", {"breast_band": "crimson"}),
        ("rump", {"rump": "crimson"}),
        ("bill base", {"bill_colour": "crimson", "bill_length": "long"}),
    ],
)
def test_keypoints_lie_where_their_parts_are(keypoint, marks):
    for pose in (Pose(), Pose(facing="left", tilt=15, nod=-10, turn=20, angle=-6)):
        plain, marked = (
            draw_bird(species, 0, 160, pose=pose, scene=PAPER) for species in (FINCH, replace(FINCH, **marks))
        )
        x, y, _ = plain.keypoints[KEYPOINT_NAMES.index(keypoint)].astype(int)
        assert distance(plain, marked)[y - 4 : y + 5, x - 4 : x + 5].max() > 40


def test_the_eye_is_the_darkest_place_of_a_pale_head():
    bird = draw_bird(SPECIES["Pale Duneling"], 0, 160, pose=Pose(), scene=PAPER)
    x, y, _ = bird.keypoints[KEYPOINT_NAMES.index("eye")]
    assert pixels(bird.image)[int(y), int(x)].max() < 60


def test_a_mirrored_pose_gives_the_mirrored_picture():
    pose = Pose(x=0.42, y=0.5, size=0.3, angle=5, tilt=10, nod=-12, turn=20, wing=6, tail=-9)
    straight = draw_bird(CHAT, 0, SIDE, pose=pose, scene=OVERHEAD)
    mirrored = draw_bird(CHAT, 0, SIDE, pose=pose.mirrored(), scene=OVERHEAD)
    expected = straight.keypoints * (-1, 1, 1) + (SIDE, 0, 0)
    np.testing.assert_allclose(mirrored.keypoints, expected, atol=1e-6)
    left, top, right, bottom = straight.box
    np.testing.assert_allclose(mirrored.box, (SIDE - right, top, SIDE - left, bottom), atol=1)
    flipped = pixels(straight.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert np.abs(flipped - pixels(mirrored.image)).mean() < 1


def test_a_rotated_pose_gives_the_rotated_bird():
    pose = Pose(x=0.5, y=0.5, size=0.3)
    upright, turned = (draw_bird(CHAT, 0, SIDE, pose=one, scene=PAPER) for one in (pose, pose.rotated(90)))
    x, y, _ = upright.keypoints.T
    np.testing.assert_allclose(turned.keypoints[:, :2], np.stack([SIDE - y, x], axis=1), atol=1e-6)
    expected = pixels(upright.mask.transpose(Image.Transpose.ROTATE_270))
    assert np.abs(expected - pixels(turned.mask)).mean() < 2


def test_the_box_encloses_the_bird_tightly():
    for individual in range(10):
        bird = draw_bird(EVERYTHING, individual, SIDE)
        rows, columns = (np.flatnonzero(np.asarray(bird.mask).any(axis=axis)) for axis in (1, 0))
        assert bird.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_what_stands_in_front_hides_keypoints():
    covers = [draw_bird(FINCH, individual, SIDE, scene=Scene(cover="leaves")) for individual in range(30)]
    hidden = np.array([1 - bird.keypoints[:, 2] for bird in covers])
    assert 0 < hidden.mean() < 0.4
    clear = [draw_bird(FINCH, individual, SIDE, scene=PAPER) for individual in range(30)]
    assert all(bird.keypoints[:, 2].all() for bird in clear)
    for bird, bare in zip(covers, clear, strict=True):
        changed = distance(bird, bare)
        for x, y, seen in bird.keypoints:
            assert seen or changed[int(y), int(x)] > 0


def test_points_outside_the_picture_are_not_visible():
    bird = draw_bird(FINCH, 0, SIDE, pose=Pose(x=0.0), scene=PAPER)
    outside = bird.keypoints[:, 0] < 0
    assert outside.any()
    assert bird.keypoints[outside, 2].max() == 0
    assert bird.keypoints[~outside, 2].min() == 1
    assert bird.box[0] == 0


def test_a_bird_outside_the_picture_leaves_the_surroundings():
    bird = draw_bird(FINCH, 0, SIDE, pose=Pose(x=9.0), scene=PAPER)
    assert pixels(bird.mask).max() == 0
    assert bird.keypoints[:, 2].max() == 0


@pytest.mark.parametrize("side", [32, 97, 300])
def test_any_size_shows_the_same_bird(side):
    bird = draw_bird(CHAT, 2, side, scene=PAPER)
    assert bird.image.size == bird.mask.size == (side, side)
    assert bird.image.mode == "RGB"
    np.testing.assert_allclose(bird.keypoints[:, :2] / side, draw_bird(CHAT, 2, 64).keypoints[:, :2] / 64)
