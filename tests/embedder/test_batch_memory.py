import copy

import pytest
import torch
import torch.nn.functional as F

from embedder.config import LossSettings
from embedder.losses import MetricLoss, build_loss
from eval.errors import InputError

DIMENSION = 5


def batch(step: int, size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch whose last label is 0, which an empty place of the memory also holds."""
    vectors = F.normalize(torch.randn(size, DIMENSION, generator=torch.Generator().manual_seed(step)), dim=1)
    return vectors, torch.tensor([0, 1, 2, 1, 2, 0][:size])


def build(name: str = "contrastive", size: int = 15, start: int = 2, miner: str = "none") -> MetricLoss:
    return build_loss(LossSettings(name=name, memory=size, memory_start=start, miner=miner), 3, DIMENSION)


def naive_contrastive(vectors, labels, memory) -> float:
    """Contrastive loss of a batch against the memory; memory holds (vector, label, whether it is the anchor itself)."""
    positive, negative = [], []
    for a, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
        for other, other_label, owner in memory:
            cosine = float(vector @ other)
            if label != other_label:
                negative.append(cosine - 0.5)
            elif owner != a:
                positive.append(1.0 - cosine)
    positive, negative = [x for x in positive if x > 1e-6], [x for x in negative if x > 0]
    return sum(positive) / max(1, len(positive)) + sum(negative) / max(1, len(negative))


def test_memory_holds_the_last_vectors_and_never_a_photo_against_itself() -> None:
    loss, past = build(size=15, start=2), []
    for step in range(8):
        vectors, labels = batch(step)
        value = loss(vectors, labels).value.item()
        present = [(v, y, a) for a, (v, y) in enumerate(zip(vectors, labels, strict=True))]
        memory = present if step < 2 else [*past, *present][-15:]
        assert value == pytest.approx(naive_contrastive(vectors, labels, memory), rel=1e-4), step
        past = [*past, *((v, y, None) for v, y, _ in present)] if step >= 2 else []


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("name", ["contrastive", "triplet"])
def test_resumed_memory_goes_on_exactly(name: str, stop: int) -> None:
    uninterrupted, first = build(name), build(name)
    wanted = [uninterrupted(*batch(step)).value for step in range(10)]
    for step in range(stop):
        first(*batch(step))
    resumed = build(name)
    resumed.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [resumed(*batch(step)).value for step in range(stop, 10)] == wanted[stop:]


def test_only_the_batch_gets_a_gradient() -> None:
    loss = build(start=0)
    loss(*batch(0))
    vectors, labels = batch(1)
    loss(vectors.requires_grad_(), labels).value.backward()
    assert vectors.grad.norm() > 0
    assert not any(value.requires_grad for value in loss.state_dict().values())


def test_memory_smaller_than_a_batch_is_told() -> None:
    with pytest.raises(InputError, match=r"loss\.memory is 5, less than a batch of 6"):
        build(size=5)(*batch(0))


def test_easy_positive_finds_only_the_photo_itself_in_a_memory_and_is_refused() -> None:
    with pytest.raises(InputError, match="easy-positive"):
        build("triplet", miner="easy-positive")
