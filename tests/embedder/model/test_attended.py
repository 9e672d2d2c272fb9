import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from embedder.model.attended import activation_map, attended_region, cut_out, shrunk, square_around
from embedder.model.network import Network
from tests.embedder.model import networks
from tests.embedder.model.networks import filled


def build(**settings: object) -> Network:
    return networks.build(**{"dimension": 16, **settings}).eval()


photos = partial(networks.photos, side=96)


def test_each_place_has_its_product_with_the_mean_of_all():
    features = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0)) + 0.3
    found = activation_map(features)
    for photo in range(2):
        mean = [sum(features[photo, c].flatten().tolist()) / 12 for c in range(5)]
        products = [
            [sum(mean[c] * features[photo, c, y, x].item() for c in range(5)) for x in range(4)] for y in range(3)
        ]
        least = min(map(min, products))
        products = [[product - least for product in row] for row in products]
        expected = torch.tensor(products) / sum(map(sum, products))
        torch.testing.assert_close(found[photo], expected)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2))


def test_where_all_features_point_one_way_it_is_their_strength():
    strength = torch.tensor([[1.0, 2.0], [3.0, 10.0]])
    features = strength * torch.tensor([3.0, 4.0])[:, None, None]
    torch.testing.assert_close(activation_map(features[None])[0], (strength - 1) / 12)


def test_of_nothing_all_places_are_alike():
    assert (activation_map(torch.zeros(1, 7, 2, 5)) == 0.1).all()
    assert (activation_map(torch.ones(1, 7, 2, 5)) == 0.1).all()


def test_half_precision_does_not_overflow():
    features = torch.full((1, 64, 7, 7), 300.0, dtype=torch.float16)
    torch.testing.assert_close(activation_map(features), torch.full((1, 7, 7), 1 / 49))


def test_the_region_is_the_square_around_what_counts() -> None:
    places = torch.zeros(1, 8, 8)
    places[0, 2, 3:6] = 1.0
    places[0, 0, 0] = 0.05
    left, top, side = attended_region(places, threshold=0.6, margin=0.0)[0].tolist()
    assert (left, side) == (pytest.approx(3 / 8, abs=1 / 32), pytest.approx(3 / 8, abs=2 / 32))
    assert top + side / 2 == pytest.approx(2.5 / 8, abs=1 / 32)
    wider = attended_region(places, threshold=0.6, margin=0.1)[0]
    assert wider[2].item() == pytest.approx(side + 0.2)
    assert attended_region(places, threshold=0.0, margin=0.1, most=1.0)[0].tolist() == [0, 0, 1]


def test_a_closer_look_is_closer() -> None:
    """Where more is attended to than a closer look shows, it shows the middle of that."""
    places = torch.ones(1, 8, 8)
    assert attended_region(places)[0].tolist() == pytest.approx([0.05, 0.05, 0.9])
    places[0, :, 7] = 0.0
    left, top, side = attended_region(places, margin=0.0, most=0.5)[0].tolist()
    assert (left + side / 2, top, side) == (pytest.approx(3.5 / 8, abs=1 / 32), 0.25, 0.5)


def test_the_region_lies_in_the_photo() -> None:
    places = torch.rand(50, 5, 5, generator=torch.Generator().manual_seed(0)) ** 8
    left, top, side = attended_region(places).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (torch.maximum(left, top) + side <= 1 + 1e-6).all()
    assert (side < 0.9).any()
    corner = torch.zeros(1, 8, 8)
    corner[0, 7, 7] = 1.0
    left, top, side = attended_region(corner, threshold=0.6, margin=0.0)[0].tolist()
    assert left + side == pytest.approx(1)
    assert top + side == pytest.approx(1)


def test_cutting_out_is_what_interpolate_makes_of_the_square() -> None:
    image = F.interpolate(torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)), (32, 32), mode="bicubic")
    whole = torch.tensor([[0.0, 0.0, 1.0]])
    torch.testing.assert_close(cut_out(image, whole, 32), image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cut_out(image, whole, 16), shrunk(image, 2), atol=1e-5, rtol=1e-5)
    left, top, side = 8, 4, 16
    found = cut_out(image, torch.tensor([[left / 32, top / 32, side / 32]]), 32)
    wanted = F.interpolate(image[:, :, top : top + side, left : left + side], (32, 32), mode="bilinear")
    torch.testing.assert_close(found[:, :, 2:-2, 2:-2], wanted[:, :, 2:-2, 2:-2], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("detail", [2, 3, 4])
@pytest.mark.parametrize("square", [(0.0, 0.0, 1.0), (0.01, 0.02, 0.97), (0.2, 0.1, 0.71), (0.4, 0.3, 0.5)])
def test_no_pixel_is_skipped_where_a_large_square_becomes_small(detail: int, square: tuple[float, ...]) -> None:
    count = 16 * detail
    photo = torch.zeros(count, 3, count, count)
    photo[range(count), :, :, range(count)] = 1.0  # a column each
    cut = cut_out(photo, torch.tensor([square]).expand(count, 3), 16, most=square[2])
    assert cut.shape == (count, 3, 16, 16)
    weights = cut[:, 0, 8].sum(1) * square[2] * detail  # of each column; alike, but for rounding to whole samples
    inside = slice(math.ceil(square[0] * count) + 1, math.floor((square[0] + square[2]) * count) - 1)
    assert weights[inside].min() > 0.7
    assert weights[inside].max() < 1.3


def test_a_square_of_a_known_side_lies_around_the_middle_of_what_is_attended_to() -> None:
    places = torch.zeros(3, 8, 8)
    places[0, 2, 4:6] = 1.0  # a middle of x 5 / 8 and y 2.5 / 8
    places[0, 7, 0] = 0.4  # too little to count
    places[1, 0, 7] = 1.0
    found = square_around(places, 0.25).tolist()
    assert found[0] == pytest.approx([5 / 8 - 0.125, 2.5 / 8 - 0.125, 0.25], abs=1e-5)
    assert found[1] == pytest.approx([0.75, 0.0, 0.25])
    assert found[2] == pytest.approx([0.375, 0.375, 0.25])  # of nothing, the middle


def test_a_first_look_takes_the_side_that_it_is_given() -> None:
    network = build(look="first", look_side=0.5)
    region = network(networks.marked(photos())).region
    assert (region[:, 2] == 0.5).all()
    torch.testing.assert_close(region, square_around(build()(photos()).places.mean(1), 0.5))


def test_of_photos_twice_as_large_a_first_look_at_half_the_side_sees_the_pixels_themselves() -> None:
    network, images = build(look="first", look_side=0.5, look_detail=2), networks.photos(2, side=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedder.model.network.Output.places", torch.ones(2, 1, 2, 2))  # the middle of each photo
        output = network(networks.marked(images))
    torch.testing.assert_close(output.vector, build()(images[:, 32:96, 32:96]).vector)


@pytest.mark.parametrize("settings", [{"look_side": 0.5}, {}, {"mirror": True, "smaller": True}], ids=str)
def test_what_a_box_has_cut_out_is_seen_whole_and_the_others_closer(settings: dict[str, Any]) -> None:
    looks, images = build(look="first", look_detail=2, **settings), networks.photos(3, side=192)
    images[:, 80:] = 128  # no subject there
    images[:, :, 80:] = 128
    views = {name: value for name, value in settings.items() if name != "look_side"}
    found, unboxed = looks(networks.marked(images, 1)), looks(networks.marked(images))
    boxed = build(**views)(images.view(3, 96, 2, 96, 2, 3).float().mean((2, 4)))  # as float: nothing is rounded
    torch.testing.assert_close(found.vector[1], boxed.vector[1])
    assert found.region[1].tolist() == [0.0, 0.0, 1.0]
    for name in ("vector", "features", "region"):
        torch.testing.assert_close(getattr(found, name)[[0, 2]], getattr(unboxed, name)[[0, 2]])
    assert (found.vector[1] @ unboxed.vector[1]) < 0.9999


@pytest.mark.parametrize("detail", [1, 2, 3])
def test_looks_see_what_is_attended_to_closer(detail: int) -> None:
    torch.manual_seed(0)
    whole = filled(build(parts=4))
    images = photos().repeat_interleave(detail, 1).repeat_interleave(detail, 2)
    larger = (images.permute(0, 3, 1, 2).float() - whole.mean) / whole.std
    normalised = shrunk(larger, detail)
    torch.testing.assert_close(normalised, F.interpolate(larger, (96, 96), mode="area"))
    output = whole._embed(normalised)
    region = attended_region(output.parts.mean(1))
    assert (region[:, 2] < 0.9).any()
    closer = whole._embed(cut_out(larger, region, 96))
    mirrored = whole._embed(normalised.flip(3)).vector
    whole.look, whole.detail = "second", detail
    torch.testing.assert_close(whole(images).vector, F.normalize(output.vector + closer.vector))
    assert torch.equal(whole(images).parts, output.parts)
    whole.mirror = True
    torch.testing.assert_close(whole(images).vector, F.normalize(output.vector + mirrored + closer.vector))
    assert whole.views == ["whole", "closer", "mirror"]
    whole.look, images = "first", networks.marked(images)
    region = attended_region(output.parts.mean(1), most=1.0)
    closer = whole._embed(cut_out(larger, region, 96))
    there = whole._embed(cut_out(larger, region, 96).flip(3)).vector
    torch.testing.assert_close(whole(images).vector, F.normalize(closer.vector + there))
    assert whole.views == ["closer", "mirror"]
    whole.mirror = False
    found = whole(images)
    torch.testing.assert_close(found.vector, closer.vector)
    torch.testing.assert_close(found.parts, closer.parts)
    torch.testing.assert_close(found.region, region)
    assert whole.views == ["closer"]
    assert torch.equal(whole.train()(images[..., :3]).vector, whole._embed(larger).vector)


def test_the_first_look_needs_no_parts() -> None:
    network = build(look="first")
    output = network(networks.marked(photos()))
    whole = build()(photos())
    region = attended_region(whole.places.mean(1), most=1.0)
    torch.testing.assert_close(output.region, region)
    assert output.parts is None


def test_the_first_look_leaves_a_photo_whole_that_is_attended_to_everywhere() -> None:
    network, images = build(look="first", look_detail=2), networks.photos(1, side=128)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("embedder.model.network.Output.places", torch.ones(1, 1, 2, 2))
        output = network(networks.marked(images))
    assert output.region.tolist() == [[0.0, 0.0, 1.0]]
    whole = build()
    small = shrunk((images.permute(0, 3, 1, 2).float() - whole.mean) / whole.std, 2)
    torch.testing.assert_close(output.vector, whole._embed(small).vector)
