import pytest
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from embedder.batch_norm import settle_batch_norm
from embedder.ranks import Ranks
from tests.embedder.model import networks


@pytest.mark.parametrize("frozen_stages", [0, 1])
def test_of_several_processes_batch_norms_speak_to_each_other_in_the_network_and_in_its_stages(
    frozen_stages: int,
) -> None:
    network = networks.build("timm:test_resnet", freeze_batch_norm=False, frozen_stages=frozen_stages)
    settle_batch_norm(network, Ranks(count=2, device="cuda"), 0)

    def norms(module: nn.Module) -> list[nn.Module]:
        return [one for one in module.modules() if isinstance(one, _BatchNorm)]

    frozen = {id(one) for stage in network.backbone.stages[:frozen_stages] for one in norms(stage)}
    for norm in norms(network):
        assert isinstance(norm, nn.SyncBatchNorm) == (id(norm) not in frozen)
    in_stages = [one for stage in network.backbone.stages for one in norms(stage)]
    assert {id(one) for one in in_stages} == {id(one) for one in norms(network.backbone)}
