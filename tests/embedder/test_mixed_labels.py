import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from embedder.augment.mixing import Mixed
from embedder.config import LossSettings
from embedder.loss_contracts import LOSSES
from embedder.losses import build_loss

CLASSES, DIMENSION, PHOTOS = 6, 8, 12
WITH_CLASSES = [name for name, contract in LOSSES.items() if not contract.pairs]
LABELS = torch.arange(PHOTOS) % 5  # no photo is of the last class
OTHERS = torch.arange(PHOTOS).flip(0) % 5


def loss_of(name: str, **settings):
    torch.manual_seed(1)
    return build_loss(LossSettings(name, **settings), CLASSES, DIMENSION)


def vectors() -> Tensor:
    drawn = torch.randn(PHOTOS, DIMENSION, generator=torch.Generator().manual_seed(0))
    return F.normalize(drawn).requires_grad_()


def shares(own: float, other: float) -> Tensor:
    return torch.tensor([[own, other]]).expand(PHOTOS, 2)


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_whole_labels_give_the_loss_itself(name):
    loss, given = loss_of(name), vectors()
    plain = loss(given, LABELS).value
    torch.testing.assert_close(loss(given, LABELS, Mixed(OTHERS, shares(1, 0))).value, plain)
    other = loss(given, OTHERS).value
    torch.testing.assert_close(loss(given, LABELS, Mixed(OTHERS, shares(0, 1))).value, other)


@pytest.mark.parametrize("name", sorted({*WITH_CLASSES} - {"proxy-anchor"}))
@pytest.mark.parametrize("partial_fc", [0.0, 1.0])
def test_a_photo_of_two_classes_has_the_weighted_sum_of_both_losses(name, partial_fc):
    if partial_fc and not LOSSES[name].softmax:
        pytest.skip("not a softmax over cosines")
    loss, given = loss_of(name, partial_fc=partial_fc), vectors()
    weights = torch.rand(PHOTOS, 2, generator=torch.Generator().manual_seed(2))
    mixed = loss(given, LABELS, Mixed(OTHERS, weights)).value
    expected = sum(
        weights[row, 0] * loss(given[row : row + 1], LABELS[row : row + 1]).value
        + weights[row, 1] * loss(given[row : row + 1], OTHERS[row : row + 1]).value
        for row in range(PHOTOS)
    )
    torch.testing.assert_close(mixed, expected / PHOTOS)


def test_proxy_anchor_weighs_its_exponentials_and_moves_its_margins():
    loss, given = loss_of("proxy-anchor", options={"alpha": 4.0, "margin": 0.2}), vectors()
    weights = torch.rand(PHOTOS, 2, generator=torch.Generator().manual_seed(2)) / 2
    proxies = F.normalize(loss.losses["proxy-anchor"].loss.proxies)
    cosines = given @ proxies.T
    wanted = torch.zeros(PHOTOS, CLASSES)
    for row in range(PHOTOS):
        wanted[row, LABELS[row]] += weights[row, 0]
        wanted[row, OTHERS[row]] += weights[row, 1]
    whole = weights.sum(1, keepdim=True)
    past = cosines - 0.2 * (2 * wanted / whole - 1)
    pulled = [(1 + (wanted[:, c] * (-4.0 * past[:, c]).exp()).sum()).log() for c in range(5)]
    pushed = [(1 + ((whole[:, 0] - wanted[:, c]) * (4.0 * past[:, c]).exp()).sum()).log() for c in range(CLASSES)]
    there = [min(1.0, float(wanted[:, c].sum())) for c in range(5)]
    weighted = [share * one for share, one in zip(there, pulled, strict=True)]
    expected = sum(weighted) / sum(there) + sum(pushed) / CLASSES
    torch.testing.assert_close(loss(given, LABELS, Mixed(OTHERS, weights)).value, expected)


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_gradients_are_finite_at_every_weight(name):
    loss, given = loss_of(name), vectors()
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]).repeat(3, 1)
    loss(given, LABELS, Mixed(OTHERS, weights)).value.backward()
    assert given.grad is not None
    assert torch.isfinite(given.grad).all()
    assert given.grad.abs().sum() > 0
    assert all(torch.isfinite(own.grad).all() for own in loss.parameters())


def test_of_photos_that_are_of_no_class_any_more_proxy_anchor_is_finite():
    loss, given = loss_of("proxy-anchor"), vectors()
    value = loss(given, LABELS, Mixed(OTHERS, shares(0, 0))).value
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(given.grad).all()
    near = loss(given, LABELS, Mixed(OTHERS, shares(1, 1e-7))).value
    torch.testing.assert_close(near, loss(given, LABELS).value, atol=1e-3, rtol=1e-4)
