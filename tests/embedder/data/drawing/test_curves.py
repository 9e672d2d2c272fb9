import numpy as np
import pytest

from embedder.data.drawing.curves import blades, closed_curve, ellipse, open_curve, points, rays, ribbon

SQUARE = points((0, 0), (1, 0), (1, 1), (0, 1))


def test_curves_pass_through_their_corners():
    closed, opened = closed_curve(SQUARE, 5), open_curve(SQUARE, 5)
    assert closed.shape == (20, 2)
    assert opened.shape == (16, 2)
    np.testing.assert_allclose(closed[::5], SQUARE)
    np.testing.assert_allclose(opened[::5], SQUARE)


def test_a_curve_through_points_on_a_line_is_the_line():
    line = open_curve(points((0, 0), (1, 2), (2, 4), (3, 6)))
    np.testing.assert_allclose(line[:, 1], 2 * line[:, 0])


def test_a_ribbon_has_its_widths():
    left, right = np.split(ribbon(points((0, 0), (1, 0), (2, 0)), [0.2, 0.6, 0.0]), 2)
    np.testing.assert_allclose(np.abs(left - right[::-1]), [[0, 0.2], [0, 0.6], [0, 0.0]], atol=1e-12)


def test_a_blade_spans_base_tip_and_width():
    (blade,) = blades(points((1, 1)), points((1, 5)), [0.5])
    assert np.ptp(blade[:, 1]) == pytest.approx(4, rel=0.05)
    assert np.ptp(blade[:, 0]) == pytest.approx(0.5, rel=0.1)
    assert blade[:, 1].max() == pytest.approx(5)


def test_rays_turn_clockwise_on_a_screen():
    np.testing.assert_allclose(rays(np.array([0.0, 90.0, 180.0])), [[1, 0], [0, 1], [-1, 0]], atol=1e-12)


def test_an_ellipse_has_its_half_axes():
    shape = ellipse((3, 4), 2, 1, steps=400)
    np.testing.assert_allclose(((shape - (3, 4)) / (2, 1)) ** 2 @ [1, 1], 1)
