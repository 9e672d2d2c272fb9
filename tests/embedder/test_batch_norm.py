from dataclasses import replace

import pytest
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from embedder.batch_norm import is_left_as_made, settle_batch_norm
from embedder.config import ModelSettings
from embedder.model.network import build_network
from embedder.ranks import Ranks
from tests.embedder.model import networks


@pytest.mark.parametrize("frozen_stages", [0, 1])
def test_of_several_processes_batch_norms_speak_to_each_other_in_the_network_and_in_its_stages(
    frozen_stages: int,
) -> None:
    network = networks.build("timm:test_resnet", freeze_batch_norm=False, frozen_stages=frozen_stages)
    settle_batch_norm(network, Ranks(count=2, device="cuda"))

    def norms(module: nn.Module) -> list[nn.Module]:
        return [one for one in module.modules() if isinstance(one, _BatchNorm)]

    frozen = {id(one) for stage in network.backbone.stages[:frozen_stages] for one in norms(stage)}
    for norm in norms(network):
        assert isinstance(norm, nn.SyncBatchNorm) == (id(norm) not in frozen)
    in_stages = [one for stage in network.backbone.stages for one in norms(stage)]
    assert {id(one) for one in in_stages} == {id(one) for one in norms(network.backbone)}


def test_batch_norm_of_random_weights_is_left_as_made_where_it_is_frozen() -> None:
    settings = ModelSettings("timm:test_resnet", "random")
    network = build_network(settings)
    assert is_left_as_made(network, settings)
    for other in ({"weights": "some.pth"}, {"freeze_batch_norm": False}):
        assert not is_left_as_made(network, replace(settings, **other))
    transformer = replace(settings, backbone="timm:test_vit", pooling="token")
    assert not is_left_as_made(build_network(transformer), transformer)
