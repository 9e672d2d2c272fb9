from dataclasses import replace

import pytest
import torch

from embedder.config import TrainSettings
from embedder.optimizer import check_trainable, parameter_groups
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
