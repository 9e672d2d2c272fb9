from dataclasses import replace

import numpy as np
import pytest

from embedder.data.drawing.pose import HIP, Pose, Skeleton, random_pose

PARTS = ("body", "wing", "tail", "foot")
POSE = Pose(0.4, 0.55, 0.3, "right", 7, 12, -15, 25, 6, -10)
REST = np.array([[1.2, -0.4], [0.3, -0.6], [0.0, 0.0], [-0.5, 0.3], [0.1, 0.8]])


@pytest.mark.parametrize("part", PARTS)
def test_the_mirrored_pose_moves_every_point_to_its_mirror_image(part):
    straight, mirrored = (getattr(Skeleton(pose, 200), part)(REST) for pose in (POSE, POSE.mirrored()))
    np.testing.assert_allclose(mirrored, np.stack([200 - straight[:, 0], straight[:, 1]], axis=1))


@pytest.mark.parametrize("part", PARTS)
def test_the_rotated_pose_turns_every_point_about_the_body(part):
    before, after = (getattr(Skeleton(pose, 200), part)(REST) for pose in (POSE, POSE.rotated(90)))
    x, y = (before - (80, 110)).T
    np.testing.assert_allclose(after, np.stack([80 - y, 110 + x], axis=1))


def test_leaning_turns_the_body_about_the_hip_and_leaves_the_feet():
    before, after = Skeleton(Pose(), 100), Skeleton(Pose(tilt=20), 100)
    np.testing.assert_allclose(after.foot(REST), before.foot(REST))
    np.testing.assert_allclose(after.body(np.array(HIP)), before.body(np.array(HIP)))
    assert after.body(np.array((0.77, -0.43)))[1] > before.body(np.array((0.77, -0.43)))[1] + 5


@pytest.mark.parametrize("change", ["nod", "turn"])
def test_the_head_moves_without_the_body(change):
    before, after = Skeleton(Pose(), 100), Skeleton(replace(Pose(), **{change: 25}), 100)
    moved = np.hypot(*(after.body(REST) - before.body(REST)).T)
    assert moved[0] > 1
    np.testing.assert_allclose(moved[2:], 0, atol=1e-9)


def test_random_poses_keep_the_largest_bird_inside():
    for seed in range(200):
        reach = Skeleton(random_pose(np.random.default_rng(seed)), 1).farthest()
        assert reach.min() > 0.029
        assert reach.max() < 0.971


def test_random_poses_differ_in_everything():
    poses = [random_pose(np.random.default_rng(seed)) for seed in range(50)]
    assert {pose.facing for pose in poses} == {"left", "right"}
    for name in ("x", "y", "size", "angle", "tilt", "nod", "turn", "wing", "tail"):
        assert len({getattr(pose, name) for pose in poses}) == 50
