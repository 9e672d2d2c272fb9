import pytest
import torch
import torch.nn.functional as F

from embedder.part_centres import PartCentres


def seen(count=5):
    drawn = torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(0))
    return F.normalize(drawn.flatten(1)).view(count, 2, 3)


LABELS = torch.tensor([0, 2, 0, 2, 2])


def test_the_loss_is_the_squared_distance_from_the_class_s_direction():
    centres = PartCentres(3, 2, 3, weight=0.7)
    centres.centres.normal_()
    found = centres(seen(), LABELS)
    for row in range(5):
        wanted = centres.centres[LABELS[row]]
        wanted = wanted / wanted.norm()
        assert found[row].item() == pytest.approx(0.7 * float(((seen()[row] - wanted) ** 2).sum()), rel=1e-5)


def test_centres_follow_the_mean_of_their_class():
    centres = PartCentres(3, 2, 3, weight=1.0)
    centres.centres.normal_()
    before = centres.centres.clone()
    centres.update(seen(), LABELS)
    assert centres.centres[1].tolist() == before[1].tolist()
    for label in (0, 2):
        mean = seen()[label == LABELS].mean(0)
        torch.testing.assert_close(centres.centres[label], 0.95 * before[label] + 0.05 * mean)


def test_a_class_that_was_not_seen_yet_pulls_nowhere():
    centres, given = PartCentres(3, 2, 3, weight=1.0), seen().requires_grad_()
    matrix = F.normalize(given.flatten(1)).view_as(given)
    centres(matrix, LABELS).sum().backward()
    assert torch.allclose(given.grad, torch.zeros_like(given), atol=1e-6)
