from dataclasses import replace

import pytest
import torch
from torch import nn

from embedder.config import TrainSettings
from embedder.optimizer import Optimizer, check_trainable, parameter_groups
from embedder.ranks import join
from eval.errors import InputError
from tests.embedder.model.networks import build

RATES = TrainSettings(learning_rate=1e-3, head_rate=2.0, added_rate=10.0, weight_decay=0.05)


@pytest.mark.parametrize(("frozen", "count"), [(0, None), (2, None), ("all", 3)])
def test_parameter_groups_hold_every_trained_parameter_once(frozen: int | str, count: int | None) -> None:
    network = build("timm:test_vit", pooling="gem", frozen_stages=frozen)
    groups = parameter_groups(network, RATES)
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters() if parameter.requires_grad)
    assert count is None or len(groups) == count
    group_of = {id(parameter): group for group in groups for parameter in group["params"]}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        group = group_of[id(parameter)]
        assert group["lr"] == {"backbone": 1e-3, "head": 2e-3, "pooling": 1e-2}[name.split(".")[0]]
        exempt = parameter.ndim < 2 or "pos_embed" in name or "cls_token" in name
        assert group["weight_decay"] == (0.0 if exempt else 0.05), name
    torch.optim.AdamW(groups)


@pytest.mark.parametrize("backbone", ["timm:test_vit", "timm:test_resnet", "wide-resnet-10-1", "torchvision:resnet18"])
def test_each_stage_has_a_share_of_the_next_one_s_rate(backbone: str) -> None:
    network = build(backbone)
    groups = parameter_groups(network, replace(RATES, layer_decay=0.5))
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in network.parameters() if parameter.requires_grad)
    rate_of = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    stages = network.backbone.stages
    for number, stage in enumerate(stages):
        for parameter in stage.parameters():
            assert rate_of[id(parameter)] == pytest.approx(1e-3 * 0.5 ** (len(stages) - 1 - number))
    assert all(rate_of[id(parameter)] == 2e-3 for parameter in network.head.parameters())
    exempt = {id(own) for name, own in network.named_parameters() if own.ndim < 2 or "embed" in name.split(".")[-1]}
    for group in groups:
        for parameter in group["params"]:
            if group["weight_decay"]:
                assert id(parameter) not in exempt


@pytest.mark.parametrize(
    ("stages", "trained"), [(4, "one stage of the backbone is trained"), ("all", "the backbone is frozen")]
)
def test_what_is_of_several_stages_needs_two_that_are_trained(stages: int | str, trained: str) -> None:
    network = build("timm:test_resnet", frozen_stages=stages)
    assert len(network.backbone.stages) == 5
    check_trainable(network, TrainSettings())
    for setting, off in (("layer_decay", 1), ("unfreeze", 0)):
        advice = rf"lower model\.frozen_stages, or set it to {off}$"
        with pytest.raises(InputError, match=rf"^train\.{setting} is 0\.5, but {trained}; {advice}"):
            check_trainable(network, TrainSettings(**{setting: 0.5}))
    check_trainable(build("timm:test_resnet", frozen_stages=3), TrainSettings(layer_decay=0.5, unfreeze=0.5))


def stepped(settings: TrainSettings, share: float) -> tuple[torch.Tensor, Optimizer]:
    """How far the head's weights have moved after one step by gradients of norm 100; and by what."""
    network = build("timm:test_vit", frozen_stages="all")
    optimizer = Optimizer(network, nn.Module(), 1.0, settings, join(settings)[0])
    weights = next(parameter for parameter in network.head.parameters() if parameter.ndim == 2)
    before = weights.detach().clone()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    weights.grad = torch.full_like(weights, 100 / weights.numel() ** 0.5)
    optimizer.step(share)
    return weights.detach() - before, optimizer


def test_a_step_is_as_long_as_its_share_of_the_learning_rate() -> None:
    """Of Adam the first step is as long as the rate, whatever the gradient."""
    settings = TrainSettings(learning_rate=1e-3, head_rate=2.0, weight_decay=0.0, accelerator="cpu")
    for share in (1.0, 0.25):
        assert torch.allclose(stepped(settings, share)[0], torch.tensor(-2e-3 * share), rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize(("clip", "norm"), [(10.0, 10.0), (0.0, 100.0)])
def test_gradients_are_clipped_to_a_norm(clip: float, norm: float) -> None:
    """Of Adam the first mean of the gradients is a tenth of the first gradient."""
    optimizer = stepped(TrainSettings(clip=clip, accelerator="cpu"), 1.0)[1]
    means = [state["exp_avg"].norm() for state in optimizer.state()["optimizer"]["state"].values()]
    assert 10 * float(max(means)) == pytest.approx(norm, rel=1e-4)
