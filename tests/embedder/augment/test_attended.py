from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from embedder.augment.attended import AttendedViews, FirstLook, _one_of
from embedder.augment.views import check_settings
from embedder.config import AugmentSettings
from embedder.model.attended import attended_region
from eval.errors import InputError

SIDE, MEAN = 32, torch.tensor([100.2, 50.0, 20.7])


def photos(count=40):
    """Black, with a white square to the upper left."""
    images = torch.zeros(count, SIDE, SIDE, 3, dtype=torch.uint8)
    images[:, 4:12, 4:12] = 255
    return images


def square(images):
    """A network that sees the white square, the less the farther away, in the second of two maps."""
    away = (torch.arange(8.0) - 1.5).square()
    bump = 2 * (-(away[:, None] + away) / 3).exp()
    return torch.stack([torch.zeros(8, 8), bump]).expand(len(images), 2, 8, 8)


def filling(images):
    """A network that attends to nearly all, to the middle most."""
    away = (torch.arange(8.0) - 3.5).square()
    return (2 - (away[:, None] + away) / 30).expand(len(images), 1, 8, 8)


def views(step=0, images=None, places=square, look=None, since=0.0, first=0, **settings):
    made = AttendedViews(AugmentSettings(**settings, attended_since=since), look, MEAN, 100, 7)
    return made(step, photos() if images is None else images, places, first).images


def first_look(detail=1):
    return FirstLook(detail, 1.0, lambda places: attended_region(places.mean(1), most=1.0))


def test_training_too_sees_the_pixels_themselves_by_a_look_at_half_the_side():
    noise = torch.randint(256, (4, 2 * SIDE, 2 * SIDE, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    middle = FirstLook(2, 0.5, lambda places: torch.tensor([[0.25, 0.25, 0.5]]).expand(len(places), 3))
    inside = slice(SIDE // 2, SIDE // 2 + SIDE)
    assert torch.equal(views(images=noise, look=middle), noise[:, inside, inside])


def test_training_too_sees_what_a_box_has_cut_out_as_it_is():
    noise = torch.randint(256, (4, 2 * SIDE, 2 * SIDE, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    corner = FirstLook(2, 0.5, lambda places: torch.tensor([[0.5, 0.5, 0.5]]).expand(len(places), 3))
    made = AttendedViews(AugmentSettings(), corner, MEAN, 100, 7)
    seen = made(0, noise, square, boxed=torch.tensor([False, True, False, True])).images
    assert torch.equal(seen[::2], noise[::2, SIDE:, SIDE:])
    means = noise.view(4, SIDE, 2, SIDE, 2, 3).float().mean((2, 4))
    assert torch.equal(seen[1::2], means[1::2].round().to(torch.uint8))


def white(images):
    return (images > 200).all(-1).float().mean((1, 2))


def test_what_is_attended_to_is_seen_closer():
    images = photos()
    seen = views(images=images, attended_crop=1.0)
    assert torch.equal(images, photos())
    assert seen.dtype == torch.uint8
    assert (white(images) == 1 / 16).all()
    assert (white(seen) > 0.1).all()
    assert len(set(white(seen).tolist())) > 3  # the threshold differs from photo to photo


def test_what_is_attended_to_is_painted_over():
    seen = views(attended_drop=1.0)
    assert (seen[:, 6:10, 6:10] == torch.tensor([100, 50, 21])).all()
    assert (white(seen) < 0.04).all()
    assert (seen[:, 16:, 16:] == 0).all()
    painted = (seen == torch.tensor([100, 50, 21])).all(-1)
    assert len({int(one.sum()) for one in painted}) > 2
    strength = F.interpolate(square(photos(1))[:, 1:], (SIDE, SIDE), mode="bilinear")[0, 0]
    strength = strength / strength.max()
    assert painted[:, strength >= 0.5].all()
    assert not painted[:, strength < 0.2].any()


def test_of_a_subject_that_fills_the_photo_three_quarters_of_the_side_are_seen_closer():
    gradient = torch.arange(SIDE).mul(8).to(torch.uint8)[:, None, None].expand(40, SIDE, SIDE, 3)
    seen = views(images=gradient, places=filling, attended_crop=1.0)[:, :, 0, 0].float()
    assert seen[:, -1] - seen[:, 0] == pytest.approx(0.75 * 8 * (SIDE - 1), abs=4)


def test_of_a_subject_that_fills_the_photo_a_quarter_is_painted_over():
    painted = (views(places=filling, attended_drop=1.0) == torch.tensor([100, 50, 21])).all(-1)
    assert painted.float().mean((1, 2)) == pytest.approx(0.25, abs=0.01)
    assert painted[:, 14:18, 14:18].all()
    assert not (views(places=lambda some: torch.ones(len(some), 1, 8, 8), attended_drop=1.0) == 100).any()


def test_each_photo_is_one_of_the_three():
    seen = views(images=photos(300), attended_crop=0.5, attended_drop=0.2)
    whole = (seen == photos(300)).all(-1).all(-1).all(-1).float().mean()
    painted = (seen[:, 8, 8] == torch.tensor([100, 50, 21])).all(-1).float().mean()
    closer = (white(seen) > 0.1).float().mean()
    assert (whole + painted + closer).item() == pytest.approx(1)
    assert closer.item() == pytest.approx(0.5, abs=0.1)
    assert painted.item() == pytest.approx(0.2, abs=0.08)


def test_a_step_is_a_function_of_the_seed_and_its_number():
    settings = {"attended_crop": 0.5, "attended_drop": 0.5}
    assert torch.equal(views(3, **settings), views(3, **settings))
    assert not torch.equal(views(3, **settings), views(4, **settings))


def test_any_number_of_ranks_changes_the_same():
    settings = {"attended_crop": 0.5, "attended_drop": 0.3}
    whole = views(3, **settings)
    parts = [views(3, photos()[:15], **settings), views(3, photos()[15:], first=15, **settings)]
    assert torch.equal(torch.cat(parts), whole)
    assert views(3, photos(0), first=40, **settings).shape == (0, SIDE, SIDE, 3)


def test_it_is_told_which_photos_are_unchanged():
    made = AttendedViews(AugmentSettings(attended_crop=0.3, attended_drop=0.3, attended_since=0.2), None, MEAN, 100, 7)
    images, unchanged = made(20, photos(), square)
    assert 5 < unchanged.sum() < 35
    assert torch.equal(unchanged, (images == photos()).flatten(1).all(1))
    assert made(19, photos(), square).unchanged is None


def test_nothing_is_looked_for_where_nothing_changes():
    images = photos()
    assert views(images=images, places=None) is images


def test_nothing_is_done_in_the_first_part_of_a_run():
    images, settings = photos(), {"attended_crop": 0.5, "attended_drop": 0.5, "since": 0.2}
    assert views(19, images, None, **settings) is images
    assert not torch.equal(views(20, images, **settings), images)
    assert (white(views(0, images, look=first_look(), **settings)) > 0.1).all()


def test_the_network_looks_at_those_photos_alone_that_change():
    looked = []
    images = photos(300)
    images[..., 2] = torch.arange(300).remainder(256)[:, None, None]
    seen = views(0, images, lambda some: looked.append(some) or square(some), attended_crop=0.2, attended_drop=0.1)
    changed = (seen != images).flatten(1).any(1)
    assert len(looked) == 1
    assert torch.equal(looked[0], images[changed])
    assert 0 < changed.sum() < 150


def test_a_first_look_sees_closer_all_photos_and_always_the_same():
    seen = views(look=first_look())
    assert (white(seen) > 0.1).all()
    assert (seen == seen[:1]).all()
    side = attended_region(square(photos(1)).mean(1))[0, 2].item()
    assert white(seen)[0].item() == pytest.approx(1 / 16 / side**2, rel=0.15)


def test_a_first_look_has_the_detail_of_larger_photos():
    """A pattern that is grey once photos are as large as the network sees them."""
    larger = torch.zeros(70, 4 * SIDE, 4 * SIDE, 3, dtype=torch.uint8)
    for row, column in product(range(4), repeat=2):
        larger[:, 18 + row : 50 : 8, 18 + column : 50 : 8] = 255
    asked = []
    seen = views(images=larger, places=lambda some: asked.append(some) or square(some), look=first_look(4))
    assert seen.shape == (70, SIDE, SIDE, 3)
    assert torch.equal(asked[0], F.avg_pool2d(larger.permute(0, 3, 1, 2).float(), 4).permute(0, 2, 3, 1).round().byte())
    assert asked[0].max() < 70
    assert (seen.amax((1, 2, 3)) > 200).all()


def test_a_map_is_chosen_by_the_root_of_what_is_in_it():
    maps = torch.ones(4000, 3, 2, 2)
    maps[:, 0] = 4.0
    maps[:, 2] = 0.0
    marked = maps + torch.tensor([0.0, 0.1, 0.2]).view(1, 3, 1, 1)
    chosen = _one_of(marked, np.random.default_rng(0).random(4000))[:, 0, 0]
    strength = torch.tensor([16.0, 4.4, 0.8]).sqrt()
    for number, value in enumerate((4.0, 1.1, 0.2)):
        share = (chosen == value).float().mean().item()
        assert share == pytest.approx((strength[number] / strength.sum()).item(), abs=0.03)
    assert _one_of(torch.zeros(5, 3, 2, 2), np.random.default_rng(0).random(5)).shape == (5, 2, 2)


def test_probabilities_that_are_too_much_together():
    with pytest.raises(InputError, match=r"augment\.attended_crop and attended_drop are 0\.7 and 0\.6; .* at most 1"):
        check_settings(AugmentSettings(attended_crop=0.7, attended_drop=0.6))


def test_a_part_of_a_run_that_holds_no_step():
    settings = AugmentSettings(attended_drop=0.1, attended_since=0.9)
    AttendedViews(settings, None, MEAN, 10, 7)
    AttendedViews(AugmentSettings(attended_since=0.9), None, MEAN, 9, 7)
    with pytest.raises(InputError, match=r"^augment\.attended_since is 0\.9, and no step of 9 comes after that"):
        AttendedViews(settings, None, MEAN, 9, 7)


def test_a_part_of_a_run_that_never_begins():
    check_settings(AugmentSettings(attended_since=1.0))
    with pytest.raises(InputError, match=r"^augment\.attended_since is 1, so nothing is seen closer or painted over"):
        check_settings(AugmentSettings(attended_since=1.0, attended_drop=0.1))
