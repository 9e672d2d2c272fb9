import pytest
import torch
import torch.nn.functional as F

from embedder.augment.mixing import Mixed
from embedder.config import LossSettings, MixSettings
from embedder.loss_contracts import LOSSES
from embedder.losses import build_loss
from eval.errors import InputError

CLASSES, DIMENSION = 5, 6
LABELS = torch.arange(12) // 3


def draw(seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(12, DIMENSION, generator=torch.Generator().manual_seed(seed)), dim=1)


def build(name: str, **settings: object):
    torch.manual_seed(0)
    return build_loss(LossSettings(name=name, **settings), CLASSES, DIMENSION)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_moves_vectors_and_falls_along_its_gradient(name: str) -> None:
    loss, vectors = build(name), draw().requires_grad_()
    result = loss(vectors, LABELS)
    result.value.backward()
    assert result.parts == {}
    assert all(parameter.grad.norm() > 0 for parameter in loss.parameters())
    with torch.no_grad():
        nearer = F.normalize(vectors - 1e-3 * vectors.grad, dim=1)
        assert loss(nearer, LABELS).value < result.value


@pytest.mark.parametrize("name", LOSSES)
def test_losses_compute_in_float32_under_autocast_and_from_half_precision(name: str) -> None:
    loss, vectors = build(name), draw()
    wanted = loss(vectors, LABELS).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(vectors, LABELS).value, wanted)
        half = vectors.half().requires_grad_()
        value = loss(half, LABELS).value
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(wanted.item(), rel=1e-2)
    assert half.grad.dtype == torch.float16
    assert torch.isfinite(half.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_batches_without_positives_or_of_one_class_are_no_error(name: str) -> None:
    loss, vectors = build(name), draw().requires_grad_()
    for rows, labels in (([0], [1]), ([0, 1, 2], [0, 1, 2]), ([0, 1, 2], [4, 4, 4])):
        value = loss(vectors[rows], torch.tensor(labels)).value
        value.backward()
        assert torch.isfinite(value)
    assert torch.isfinite(vectors.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_equal_vectors_give_finite_gradients(name: str) -> None:
    """Duplicates, and vectors that have met, are where distances and arc cosines have no slope."""
    loss, vectors = build(name), draw()[:1].repeat(12, 1).requires_grad_()
    loss(vectors, LABELS).value.backward()
    assert torch.isfinite(vectors.grad).all()


def test_sums_are_weighted_and_tell_their_parts() -> None:
    vectors = draw()
    result = build("triplet+proxy-nca++", weights={"triplet": 0.25})(vectors, LABELS)
    triplet = build("triplet")(vectors, LABELS).value
    proxy = build("proxy-nca++")(vectors, LABELS).value
    assert result.parts == {"triplet": triplet, "proxy-nca++": proxy}
    assert result.value.item() == pytest.approx(0.25 * triplet.item() + proxy.item(), rel=1e-6)
    assert not any(part.requires_grad for part in result.parts.values())


def test_rate_is_that_of_the_loss_that_has_parameters() -> None:
    assert build("triplet").rate == 1.0
    assert build("triplet+arcface").rate == build("arcface").rate == LOSSES["arcface"].rate


def test_class_vectors_live_in_the_state_dict() -> None:
    loss = build("triplet+arcface")
    (weights,) = loss.parameters()
    assert any(torch.equal(value, weights) for value in loss.state_dict().values())


@pytest.mark.parametrize("labels", [[-1, 0, 1], [0, 1, 5]])
@pytest.mark.parametrize("name", ["triplet+arcface", "arcface"])
def test_labels_outside_the_classes_are_told(name: str, labels: list[int]) -> None:
    with pytest.raises(InputError, match=f"labels run from {min(labels)} to {max(labels)}.* 5 classes, 0 to 4"):
        build(name)(draw()[:3], torch.tensor(labels))


def test_losses_that_compare_photos_take_any_labels() -> None:
    vectors = draw()[:4]
    shifted = build("triplet")(vectors, torch.tensor([-7, -7, 99, 99])).value
    assert torch.equal(shifted, build("triplet")(vectors, torch.tensor([0, 0, 1, 1])).value)


def test_a_miner_takes_the_margin_of_its_loss() -> None:
    wide = build("triplet", miner="semi-hard", options={"margin": 0.5})
    assert wide.losses["triplet"].miner.margin == 0.5
    assert build("multi-similarity", options={"epsilon": 0.3}).losses["multi-similarity"].miner.epsilon == 0.3


def test_a_named_miner_serves_the_losses_that_take_it() -> None:
    vectors = draw()
    mined = build("triplet", miner="semi-hard")(vectors, LABELS).value
    assert mined != build("triplet", miner="none")(vectors, LABELS).value
    parts = build("triplet+arcface", miner="semi-hard")(vectors, LABELS).parts
    assert parts["triplet"] == mined
    assert parts["arcface"] == build("arcface")(vectors, LABELS).value


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("arcface", {"miner": "hard"}, "loss.miner is 'hard', but arcface takes none"),
        ("arcface", {"memory": 100}, "loss.memory is 100, but arcface compares no photos"),
        ("triplet", {"memory": -1}, "loss.memory is -1; it must be 0 for none"),
        ("triplet", {"miner": "semihard"}, "unknown miner for triplet 'semihard'; did you mean 'semi-hard'"),
        ("supcon", {"miner": "hard"}, "unknown miner for supcon 'hard'; known: none"),
        ("triplet", {"weights": {"arcface": 2.0}}, "unknown loss in loss.weights 'arcface'"),
        ("triplet", {"weights": {"triplet": 0.0}}, "the weight of triplet is 0.0; it must be above 0"),
    ],
)
def test_settings_that_do_not_go_together_are_told(name: str, settings: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        build(name, **settings)


def test_a_curve_at_its_margin_is_not_training() -> None:
    """The value is the mean over active triplets alone, so it says little; a collapse shows as exactly the margin."""
    loss = build("triplet")
    spread = F.normalize(torch.eye(DIMENSION)[LABELS] + 0.3 * draw(1), dim=1)
    collapsed = F.normalize(torch.ones(DIMENSION) + 1e-4 * draw(1), dim=1)
    margin = LOSSES["triplet"].options["margin"].default
    assert loss(collapsed, LABELS).value.item() == pytest.approx(margin, rel=1e-2)
    assert loss(spread, LABELS).value < margin


def test_mixed_photos_have_no_mixed_vectors_as_well():
    loss = build_loss(LossSettings("arcface"), 3, 4, mix=MixSettings(vectors=True))
    vectors, labels = torch.nn.functional.normalize(torch.randn(6, 4)), torch.arange(6) % 3
    mixed = Mixed(labels.flip(0), torch.full((6, 2), 0.5))
    assert loss(vectors, labels, mixed, 1.0).value == loss(vectors, labels, mixed).value
