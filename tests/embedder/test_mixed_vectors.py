import math

import pytest
import torch
import torch.nn.functional as F

from embedder.config import LossSettings, MixSettings
from embedder.loss_contracts import LOSSES
from embedder.losses import build_loss
from embedder.mixed_vectors import (
    Between,
    between,
    between_classes,
    contrastive_between,
    drawn,
    multi_similarity_between,
)

LABELS = torch.tensor([0, 0, 0, 1, 1, 2])


def vectors(count=6):
    return F.normalize(torch.randn(count, 5, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("seed", range(6))
def test_cosines_are_those_of_the_mixed_vectors_themselves(seed):
    """Whichever positive was drawn: another photo of the class, or the photo itself."""
    given = vectors()
    torch.manual_seed(seed)
    found = between(given, LABELS, 2.0)
    for row in range(6):
        itself = [row]
        others = [place for place in range(6) if LABELS[place] == LABELS[row] and place != row]
        for other in range(6):
            known = LABELS[other] != LABELS[row]
            if not (found.known[row, other] and known):
                assert not found.known[row, other]
                continue
            share = found.shares[row, other]
            possible = [
                given[row] @ F.normalize(share * given[positive] + (1 - share) * given[other], dim=0)
                for positive in (itself + others)
            ]
            assert any(torch.isclose(found.cosines[row, other], one, atol=1e-6) for one in possible)


def test_positives_are_other_photos_in_half_of_the_batches_and_all_of_them_come_up():
    given = torch.eye(6)
    torch.manual_seed(0)
    with_itself = 0
    for _ in range(200):
        found = between(given, LABELS, 2.0)
        assert found.cosines[0, 3] >= 0
        itself = found.cosines[0, 3] > 0
        with_itself += int(itself)
        assert found.known[5, 0] == itself  # a class of one photo has a positive only in itself
    assert 70 < with_itself < 130
    shares = {(row, other): set() for row in range(3) for other in range(3) if row != other}
    marked = torch.eye(6)
    marked[1], marked[2] = marked[0], torch.tensor([0.6, 0, 0.8, 0, 0, 0])
    for _ in range(50):
        found = between(marked, LABELS, 2.0)
        share = found.shares[0, 3]
        length = (share**2 + (1 - share) ** 2).sqrt()
        shares[0, 1].add(round(float(found.cosines[0, 3] * length / share), 3))
    assert shares[0, 1] == {1.0, 0.6}


def test_classes_of_two_vectors_keep_their_weights():
    torch.manual_seed(4)
    given = vectors()
    mixed, labels = between_classes(given, LABELS, 2.0)
    torch.testing.assert_close(mixed.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(labels.shares.sum(1), torch.ones(6))
    torch.manual_seed(4)
    partner = torch.randperm(6)
    assert labels.others.tolist() == LABELS[partner].tolist()
    for row, other in enumerate(partner.tolist()):
        if LABELS[row] == LABELS[other]:
            assert labels.shares[row].tolist() == [1.0, 0.0]
            continue
        share = labels.shares[row, 0]
        torch.testing.assert_close(mixed[row], F.normalize(share * given[row] + (1 - share) * given[other], dim=0))


def some_between():
    torch.manual_seed(5)
    cosines = 2 * torch.rand(4, 4) - 1
    return Between(cosines, torch.rand(4, 4), torch.rand(4, 4) < 0.7)


def test_contrastive_is_the_mean_of_what_counts():
    mixed = some_between()
    pulled, pushed = [], []
    for row in range(4):
        for other in range(4):
            if mixed.known[row, other]:
                share, cosine = mixed.shares[row, other].item(), mixed.cosines[row, other].item()
                pulled.append(share * max(0, 0.3 - cosine))
                pushed.append((1 - share) * max(0, cosine - 0.2))
    expected = sum(sum(some) / sum(one > 0 for one in some) for some in (pulled, pushed))
    assert contrastive_between(mixed, positive_margin=0.3, negative_margin=0.2).item() == pytest.approx(
        expected, rel=1e-5
    )
    nothing = mixed._replace(known=torch.zeros(4, 4, dtype=torch.bool))
    assert contrastive_between(nothing, positive_margin=1.0, negative_margin=0.5) == 0


def test_multi_similarity_has_soft_sums_of_weighted_terms():
    mixed, total = some_between(), 0.0
    for row in range(4):
        pulled = pushed = 1.0
        for other in range(4):
            if mixed.known[row, other]:
                share, cosine = mixed.shares[row, other].item(), mixed.cosines[row, other].item()
                pulled += share * math.exp(-2.0 * (cosine - 0.5))
                pushed += (1 - share) * math.exp(10.0 * (cosine - 0.5))
        total += math.log(pulled) / 2 + math.log(pushed) / 10
    found = multi_similarity_between(mixed, alpha=2.0, beta=10.0, base=0.5, epsilon=0.1)
    assert found.item() == pytest.approx(total / 4, rel=1e-5)


def test_proportions_lie_around_a_half_the_closer_the_greater_alpha():
    torch.manual_seed(0)
    wide, narrow = drawn(1.0, torch.empty(2000)), drawn(20.0, torch.empty(2000))
    assert wide.mean().item() == pytest.approx(0.5, abs=0.03)
    assert wide.std().item() == pytest.approx(12**-0.5, abs=0.02)
    assert narrow.std() < 0.1


ABLE = [name for name, contract in LOSSES.items() if contract.between or not contract.pairs]


@pytest.mark.parametrize("name", ABLE)
def test_the_loss_of_mixed_vectors_is_added_with_its_weight(name):
    torch.manual_seed(1)
    loss = build_loss(LossSettings(name), 3, 5, mix=MixSettings(vectors=True))
    given = vectors().requires_grad_()
    plain = loss(given, LABELS).value
    values = []
    for weight in (0.5, 1.0):
        torch.manual_seed(2)
        values.append(loss(given, LABELS, None, weight).value)
    torch.testing.assert_close(values[1] - plain, 2 * (values[0] - plain))
    assert values[1] > plain
    values[1].backward()
    assert torch.isfinite(given.grad).all()
