import numpy as np
import pytest
import torch

from embedder.closer import attended_region, cut_out, put_back
from embedder.model import attended

PLACES = np.random.default_rng(0).random((6, 7, 7)) ** 40


@pytest.mark.parametrize("places", PLACES)
def test_the_region_is_that_of_the_network(places) -> None:
    (expected,) = attended.attended_region(torch.from_numpy(places.astype(np.float32))[None]).tolist()
    assert attended_region(places) == pytest.approx(expected, abs=1e-6)


def test_regions_differ_and_lie_in_the_photo() -> None:
    regions = np.array([attended_region(places) for places in PLACES])
    assert len(np.unique(regions[:, 2])) > 2
    assert (regions[:, :2] >= 0).all()
    assert (regions[:, :2] + regions[:, 2:] <= 1).all()


@pytest.mark.parametrize("region", [(0.0, 0.0, 1.0), (0.1, 0.33, 0.6), (0.5, 0.0, 0.5)])
def test_what_is_cut_out_is_what_the_network_cuts_out(region) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    photo = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    (expected,) = attended.cut_out(photo, torch.tensor([region]), 24)
    assert np.abs(cut_out(pixels, region) - expected.permute(1, 2, 0).numpy()).max() < 1.01  # whole levels


def test_what_belongs_to_a_region_is_put_where_it_lies() -> None:
    shares = np.random.default_rng(0).normal(size=(4, 4, 3))
    found = put_back(shares, (0.25, 0.5, 0.5), 8, 8)
    np.testing.assert_allclose(found[4:8, 2:6], shares, atol=1e-12)
    found[4:8, 2:6] = 0
    assert not found.any()


def test_places_are_divided_among_those_that_they_lie_in() -> None:
    shares = np.random.default_rng(1).normal(size=(5, 5, 2))
    found = put_back(shares, (0.1, 0.2, 0.7), 3, 4)
    np.testing.assert_allclose(found.sum((0, 1)), shares.sum((0, 1)))
    fine = shares.repeat(210, 0).repeat(210, 1) / 210**2  # of 1,500 pixels across the whole
    whole = np.zeros((1500, 1500, 2))
    whole[300:1350, 150:1200] = fine
    np.testing.assert_allclose(found, whole.reshape(3, 500, 4, 375, 2).sum((1, 3)), atol=1e-9)
