import pytest
import torch

from embedder.model.backbone import build_backbone
from embedder.model.wide_resnet import Block, build_wide_resnet
from eval.errors import InputError


@pytest.mark.parametrize(("name", "millions"), [("16-8", 11.0), ("28-10", 36.5), ("40-4", 8.9)])
def test_it_has_as_many_parameters_as_the_paper_says(name: str, millions: float) -> None:
    """Zagoruyko and Komodakis (2016), table 4, of which the classifier of ten classes is a part."""
    with torch.device("meta"):
        network = build_wide_resnet(f"wide-resnet-{name}", "random")
    count = sum(parameter.numel() for parameter in network.parameters()) + (network.channels + 1) * 10
    assert round(count / 1e6, 1) == millions


def test_a_map_has_a_quarter_of_the_photo_s_side() -> None:
    network = build_backbone("wide-resnet-10-2", "random")
    features = network(torch.zeros(2, 3, 32, 24))
    assert features.map.shape == (2, 128, 8, 6)
    assert features.token is None
    assert float(features.map.detach().min()) >= 0.0


def test_the_photo_is_halved_first_where_that_is_said() -> None:
    assert build_backbone("wide-resnet-10-2/2", "random")(torch.zeros(1, 3, 32, 32)).map.shape == (1, 128, 4, 4)


def test_a_block_is_the_paper_s_formula() -> None:
    """x + conv(ReLU(BN(conv(ReLU(BN(x)))))), the shortcut a 1 x 1 convolution where the size changes."""
    torch.manual_seed(0)
    features = torch.randn(2, 4, 6, 6)
    same, halved = Block(4, 4, 1).eval(), Block(4, 8, 2).eval()
    scale = (1 + 1e-5) ** -0.5  # batch norm as it begins, in evaluation
    for block, shortcut in ((same, lambda x: features), (halved, halved.shortcut)):
        active = (features * scale).relu()
        expected = shortcut(active) + block.conv2((block.conv1(active) * scale).relu())
        assert torch.allclose(block(features), expected, atol=1e-6)


def test_all_of_it_may_be_frozen_by_stage() -> None:
    network = build_backbone("wide-resnet-10-1", "random")
    assert {*network.parameters()} == {p for stage in network.stages for p in stage.parameters()}
    network.freeze(2, batch_norm=False)
    assert not any(parameter.requires_grad for parameter in network.group1.parameters())
    assert all(parameter.requires_grad for parameter in network.group2.parameters())


@pytest.mark.parametrize("name", ["wide-resnet-", "wide-resnet-17-2", "wide-resnet-4-1", "wide-resnet-16-0"])
def test_what_is_none(name: str) -> None:
    with pytest.raises(InputError, match=r"must be wide-resnet-DEPTH-WIDTH, such as wide-resnet-28-10"):
        build_backbone(name, "random")


def test_there_are_no_pretrained_weights() -> None:
    with pytest.raises(InputError, match="no pretrained weights of wide-resnet-16-1"):
        build_backbone("wide-resnet-16-1", "pretrained")


def test_weights_from_a_file(tmp_path) -> None:
    network = build_backbone("wide-resnet-10-1", "random")
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    again = build_backbone("wide-resnet-10-1", str(tmp_path / "weights.pt"))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())
