import numpy as np
import pytest
import torch

from embedder.augment.mixing import Mixed, PhotoMixing, random_box
from embedder.config import MixSettings
from embedder.randomness import keyed_generator
from eval.errors import InputError

SIDE = 24


def photos(count=16):
    """Each photo a shade of its own: what comes from where can be read off the pixels."""
    return torch.arange(count, dtype=torch.uint8).mul(15).view(-1, 1, 1, 1).expand(count, SIDE, SIDE, 3).contiguous()


def corner(images):
    """A network that looks at a quarter of a photo alone: the upper left one, or the lower right one of dark photos."""
    places = torch.zeros(len(images), 2, 4, 4)
    dark = images[:, 0, 0, 0] < 120
    places[~dark, 0, :2, :2] = 1.0
    places[dark, 1, 2:, 2:] = 3.0
    return places


def nothing(images):
    raise AssertionError


def mixed(method, labels, step=0, places=nothing, images=None, **settings):
    mixing = PhotoMixing(MixSettings(photos=method, share=1.0, since=0.0, **settings), 100, 7)
    return mixing(step, photos(len(labels)) if images is None else images, labels, places)


def partners(labels, step=0):
    """Whom each photo is mixed with: the first that the generator draws."""
    return keyed_generator("mix", 7, 0, step).permutation(len(labels))


LABELS = torch.arange(16)


def test_mixup_is_the_weighted_mean_of_two_photos():
    images, found = mixed("mixup", LABELS)
    partner = partners(LABELS)
    assert found.others.tolist() == partner.tolist()
    for row in range(16):
        expected = round(15 * (found.shares[row, 0].item() * row + found.shares[row, 1].item() * partner[row]))
        assert (images[row] == expected).all() or row == partner[row]
    torch.testing.assert_close(found.shares.sum(1), torch.ones(16))
    assert images.dtype == torch.uint8


@pytest.mark.parametrize(("given", "alpha"), [(0.0, 0.2), (7.0, 7.0)])
def test_shares_of_mixup_are_of_its_beta_distribution(given, alpha):
    generator = keyed_generator("mix", 7, 0, 0)
    generator.permutation(16)
    found = mixed("mixup", LABELS, alpha=given)[1]
    torch.testing.assert_close(found.shares[:, 0].double(), torch.from_numpy(generator.beta(alpha, alpha, 16)))


@pytest.mark.parametrize("given", [0.0, 7.0])
def test_what_cutmix_pastes_is_of_its_beta_distribution(given):
    generator = keyed_generator("mix", 7, 0, 0)
    generator.permutation(16)
    found = mixed("cutmix", LABELS, alpha=given)[1]
    for row in range(16):
        left, top, right, bottom = random_box(SIDE, 1 - generator.beta(given or 1.0, given or 1.0), generator)
        assert found.shares[row, 1].item() == pytest.approx((right - left) * (bottom - top) / SIDE**2)


@pytest.mark.parametrize("method", ["mixup", "cutmix", "snapmix"])
def test_of_no_photos_none_are_mixed(method):
    """A process has none where a batch has fewer photos than there are processes."""
    images, found = mixed(method, LABELS[:0], places=corner)
    assert (images.shape, found.others.shape, found.shares.shape) == ((0, SIDE, SIDE, 3), (0,), (0, 2))


def test_cutmix_counts_the_pixels_that_it_pastes():
    images, found = mixed("cutmix", LABELS)
    for row, other in enumerate(partners(LABELS)):
        values = set(images[row].flatten().tolist())
        assert values <= {15 * row, 15 * other}
        if row != other:
            share = (images[row, :, :, 0] == 15 * other).float().mean()
            torch.testing.assert_close(found.shares[row], torch.stack([1 - share, share]))
            where = (images[row, :, :, 0] == 15 * other).nonzero()
            if len(where):
                height, width = (where.amax(0) - where.amin(0) + 1).tolist()
                assert len(where) == height * width
    assert 0.2 < found.shares[:, 1].mean() < 0.7


def test_snapmix_weighs_labels_by_what_is_seen_of_them():
    """What is covered where the network looks is lost, what is taken from there is won."""
    step, generator, rows = 3, keyed_generator("mix", 7, 0, 3), range(16)
    images, found = mixed("snapmix", LABELS, step, corner)
    partner = generator.permutation(16)
    weights = torch.nn.functional.interpolate(corner(photos()).sum(1, keepdim=True), (SIDE, SIDE), mode="bilinear")[
        :, 0
    ]
    weights = weights / weights.sum((1, 2), keepdim=True)
    for row in rows:
        boxes = [random_box(SIDE, 1 - generator.beta(5.0, 5.0), generator) for _ in range(2)]
        (left, top, right, bottom), (taken_left, taken_top, taken_right, taken_bottom) = boxes
        if partner[row] == row:
            continue
        assert (images[row, top:bottom, left:right] == 15 * int(partner[row])).all()
        own = 1 - weights[row, top:bottom, left:right].sum()
        other = weights[partner[row], taken_top:taken_bottom, taken_left:taken_right].sum()
        torch.testing.assert_close(found.shares[row], torch.stack([own, other]), atol=1e-5, rtol=0)
    assert not torch.allclose(found.shares.sum(1), torch.ones(16))


@pytest.mark.parametrize("method", ["mixup", "cutmix", "snapmix"])
def test_two_photos_of_one_class_are_of_it_alone(method):
    _, found = mixed(method, torch.zeros(16, dtype=torch.long), places=corner)
    assert (found.shares[:, 1] == 0).all()
    assert (found.shares[:, 0] <= 1).all()
    if method != "snapmix":
        torch.testing.assert_close(found.shares[:, 0], torch.ones(16))


@pytest.mark.parametrize("method", ["mixup", "cutmix", "snapmix"])
def test_a_step_is_a_function_of_the_seed_and_its_number(method):
    given = photos()
    images, found = mixed(method, LABELS, 5, corner, given)
    assert torch.equal(given, photos())
    again, once_more = mixed(method, LABELS, 5, corner)
    assert torch.equal(images, again)
    assert torch.equal(found.shares, once_more.shares)
    assert not torch.equal(images, mixed(method, LABELS, 6, corner)[0])


def test_photos_stay_as_they_are_where_nothing_is_mixed():
    images = photos()
    for settings, step in ((MixSettings(), 0), (MixSettings("cutmix", share=1.0, since=0.0, until=0.5), 50)):
        left, found = PhotoMixing(settings, 100, 7)(step, images, LABELS, nothing)
        assert left is images
        assert found is None
    assert isinstance(
        PhotoMixing(MixSettings("cutmix", share=1.0, since=0.0, until=0.5), 100, 7)(49, images, LABELS, nothing)[1],
        Mixed,
    )


def test_a_share_of_the_batches_is_mixed_the_same_on_all_ranks():
    ranks = [PhotoMixing(MixSettings("cutmix", share=0.3, since=0.0, until=1.0), 1000, 7, rank) for rank in range(2)]
    whether = np.array(
        [[rank(step, photos(2), LABELS[:2], nothing)[1] is not None for step in range(400)] for rank in ranks]
    )
    assert (whether[0] == whether[1]).all()
    assert 0.2 < whether.mean() < 0.4


def test_mixing_begins_and_ends_with_a_share_of_the_steps():
    mixing = PhotoMixing(MixSettings("cutmix", vectors=True, share=1.0, weight=0.7, since=0.2, until=0.5), 100, 7)
    steps = (0, 19, 20, 49, 50, 99)
    mixed = [mixing(step, photos(2), LABELS[:2], nothing)[1] is not None for step in steps]
    assert mixed == [False, False, True, True, False, False]
    assert [mixing.between_weight(step) for step in steps] == [0.0, 0.0, 0.7, 0.7, 0.0, 0.0]
    assert PhotoMixing(MixSettings(), 100, 7).between_weight(0) == 0.0


@pytest.mark.parametrize("settings", [MixSettings("mixup", since=0.1, until=0.15), MixSettings(vectors=True)])
def test_a_window_that_holds_no_step_is_refused(settings):
    PhotoMixing(settings, 20, 7)
    with pytest.raises(InputError, match=r"^no step of 1 lies between mix\.since 0\.[12] and mix\.until 0\.(15|85),"):
        PhotoMixing(settings, 1, 7)


def test_boxes_are_squares_of_the_share_as_far_as_they_lie_in_the_photo():
    generator = np.random.default_rng(0)
    boxes = [random_box(1000, 0.09, generator) for _ in range(500)]
    inside = [box for box in boxes if box[0] > 0 and box[1] > 0 and box[2] < 1000 and box[3] < 1000]
    assert len(inside) > 200
    assert all(abs(right - left - 300) <= 1 and abs(bottom - top - 300) <= 1 for left, top, right, bottom in inside)
    assert all(0 <= left <= right <= 1000 and 0 <= top <= bottom <= 1000 for left, top, right, bottom in boxes)
    left, top, right, bottom = random_box(10, 0.0, generator)
    assert (right - left, bottom - top) == (0, 0)


def test_where_the_network_looks_nowhere_each_pixel_counts_alike():
    _, found = mixed("snapmix", LABELS, 3, lambda images: torch.zeros(len(images), 2, 4, 4))
    _, even = mixed("snapmix", LABELS, 3, lambda images: torch.ones(len(images), 2, 4, 4))
    torch.testing.assert_close(found.shares, even.shares, atol=1e-5, rtol=0)
    assert found.shares[:, 1].max() > 0.1
