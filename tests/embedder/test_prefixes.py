import pytest
import torch
import torch.nn.functional as F

from embedder.config import LossSettings
from embedder.losses import build_loss
from embedder.prefixes import PrefixLoss, build_prefix_loss
from eval.errors import InputError

LABELS = torch.arange(12) // 3


@pytest.fixture
def vectors():
    return F.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1).requires_grad_()


@pytest.mark.parametrize("name", ["triplet", "proxy-anchor", "triplet+arcface"])
def test_it_is_the_mean_of_the_loss_of_each_prefix(name, vectors):
    settings = LossSettings(name, prefixes=[2, 5])
    torch.manual_seed(0)
    loss = build_prefix_loss(settings, 4, 8)
    found = loss(vectors, LABELS)
    torch.manual_seed(0)
    expected = [
        build_loss(LossSettings(name), 4, length)(F.normalize(vectors[:, :length]), LABELS).value
        for length in (2, 5, 8)
    ]
    assert found.value.item() == pytest.approx(sum(expected).item() / 3, rel=1e-6)
    assert {key: round(part.item(), 5) for key, part in found.parts.items()} == {
        f"first {length}": round(part.item(), 5) for length, part in zip((2, 5, 8), expected, strict=True)
    }
    assert not any(part.requires_grad for part in found.parts.values())


def test_every_loss_is_trained(vectors):
    loss = build_prefix_loss(LossSettings("arcface", prefixes=[2]), 4, 8)
    loss(vectors, LABELS).value.backward()
    parameters = [*loss.parameters()]
    assert [max(parameter.shape) for parameter in parameters] == [4, 8]
    assert all(parameter.grad.abs().sum() > 0 for parameter in parameters)
    assert (loss.rate, loss.margin) == (build_loss(LossSettings("arcface"), 4, 8).rate, loss.margin)


def test_without_prefixes_it_is_the_loss_itself():
    assert not isinstance(build_prefix_loss(LossSettings("triplet"), 4, 8), PrefixLoss)


@pytest.mark.parametrize("prefixes", [[0, 4], [4, 4], [5, 3], [8], [4, 9]])
def test_prefixes_that_are_none(prefixes):
    with pytest.raises(InputError, match=r"loss\.prefixes is \[.*below 8"):
        build_prefix_loss(LossSettings("triplet", prefixes=prefixes), 4, 8)
