import pytest
import torch
import torch.nn.functional as F

from embedder.config import LossSettings
from embedder.losses import build_loss
from embedder.partial_fc import PartialFC, partial_losses, take_up, whole_state
from embedder.ranks import ALONE, Ranks
from eval.errors import InputError

CLASSES, DIMENSION = 40, 8
NAMES = ("arcface", "cosface", "normalised-softmax")


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(12, DIMENSION, generator=generator, dtype=torch.float64))
    return vectors.requires_grad_(), torch.arange(12) % 5 * 7


@pytest.mark.parametrize("name", NAMES)
def test_with_nothing_sampled_away_it_is_the_dense_loss(name: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    vectors, labels = batch
    torch.manual_seed(1)
    dense = build_loss(LossSettings(name), CLASSES, DIMENSION).double()
    partial = build_loss(LossSettings(name, partial_fc=1.0), CLASSES, DIMENSION).double()
    (part,) = partial_losses(partial)
    (own,) = dense.parameters()
    part.weight.data = own.data.clone() if own.shape == part.weight.shape else own.data.T.contiguous()
    gradients = []
    for loss in (dense, partial):
        vectors.grad = None
        value = loss(vectors, labels).value
        value.backward()
        gradients.append((value.detach(), vectors.grad.clone()))
    assert part.weight.grad.is_sparse
    moved = part.weight.grad.to_dense()
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(moved if own.shape == moved.shape else moved.T, own.grad, rtol=1e-10, atol=1e-10)


def test_a_sample_holds_the_batch_s_classes_and_moves_no_other(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    vectors, labels = batch
    torch.manual_seed(1)
    loss = PartialFC(CLASSES, DIMENSION, lambda cosines: cosines, 16.0, 0.25, ALONE).double()
    optimizer = torch.optim.SparseAdam([loss.weight], lr=0.1)
    seen = set()
    for _ in range(6):
        before = loss.weight.detach().clone()
        loss(vectors, labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        moved = {*torch.nonzero((before != loss.weight.detach()).any(1)).flatten().tolist()}
        assert len(moved) == 10
        assert {*labels.tolist()} <= moved
        seen |= moved
    assert len(seen) > 20  # the others change from step to step


def test_a_batch_of_more_classes_than_the_sample_takes_all_of_them() -> None:
    loss = PartialFC(CLASSES, DIMENSION, lambda cosines: cosines, 16.0, 0.05, ALONE)
    vectors = F.normalize(torch.randn(20, DIMENSION))
    loss(vectors, torch.arange(20)).backward()
    assert {*range(20)} == {*torch.nonzero(loss.weight.grad.to_dense().any(1)).flatten().tolist()}


def test_the_classes_of_any_number_of_ranks_begin_as_those_of_one() -> None:
    parts = []
    for count in (1, 3):
        for rank in range(count):
            torch.manual_seed(5)
            ranks = Ranks(rank=rank, count=count)
            parts.append(PartialFC(CLASSES, DIMENSION, lambda cosines: cosines, 1.0, 1.0, ranks).weight.data)
            assert torch.rand(1) == pytest.approx(float(torch.rand(1, generator=after(5))))
    assert torch.equal(parts[0], torch.cat(parts[1:]))


def test_ranks_whose_shares_are_unequal_draw_as_often_as_each_other() -> None:
    drawn, looked_at = [], []
    for rank in range(2):
        loss = PartialFC(3, DIMENSION, lambda cosines: cosines, 1.0, 0.5, Ranks(rank=rank, count=2))
        torch.manual_seed(5)
        looked_at.append((len(loss._chosen(torch.tensor([], dtype=torch.int64))), len(loss.weight)))
        drawn.append(float(torch.rand(1)))
    assert sorted(looked_at) == [(1, 1), (1, 2)]
    assert drawn[0] == drawn[1]


def after(seed: int) -> torch.Generator:
    """Torch's generator as it is after all class vectors have been drawn."""
    generator = torch.Generator().manual_seed(seed)
    torch.empty(CLASSES, DIMENSION).normal_(generator=generator)
    return generator


def test_its_state_is_whole_and_taken_up(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    losses = [build_loss(LossSettings("arcface", partial_fc=0.5), CLASSES, DIMENSION).double() for _ in range(2)]
    optimizers = [torch.optim.SparseAdam([part.weight for part in partial_losses(loss)]) for loss in losses]

    def step(number: int, seed: int) -> None:
        torch.manual_seed(seed)
        losses[number](*batch).value.backward()
        optimizers[number].step()
        optimizers[number].zero_grad()

    step(0, 1)
    step(0, 2)
    assert "weight" not in "".join(losses[0].state_dict())
    parts = [next(partial_losses(loss)) for loss in losses]
    take_up(whole_state(parts[0], optimizers[0]), parts[1], optimizers[1])
    step(0, 3)
    step(1, 3)
    one, other = (next(partial_losses(loss)).weight.detach() for loss in losses)
    assert torch.equal(one, other)


def test_a_loss_that_has_no_softmax_takes_none() -> None:
    with pytest.raises(
        InputError, match=r"loss\.partial_fc is 0\.1, but triplet is none of normalised-softmax, arcface"
    ):
        build_loss(LossSettings("triplet", partial_fc=0.1), CLASSES, DIMENSION)


def test_each_process_needs_a_class() -> None:
    with pytest.raises(InputError, match="a class for each of 64 processes; there are 40"):
        build_loss(LossSettings("arcface", partial_fc=0.1), CLASSES, DIMENSION, Ranks(count=64))
