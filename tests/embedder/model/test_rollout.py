from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from timm.models.eva import Eva
from torch import nn

from embedder.config import Config
from embedder.export import export
from embedder.model.features import Features
from embedder.model.network import Network, freeze_unused
from embedder.model.rollout import RolloutPooling, roll_out
from embedder.model.timm_backbone import TimmBackbone
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder
from eval.errors import InputError
from tests.embedder.model import networks
from tests.embedder.model.networks import photos
from tests.embedder.rank_worker import first_gradients


def build(backbone: str = "timm:test_vit", **settings: object) -> Network:
    return networks.build(backbone, **{"pooling": "rollout", "dimension": 256, **settings}).eval()


def filled(network: Network) -> Network:
    """With part tokens that do add something, of a transformer that does look somewhere."""
    generator = torch.Generator().manual_seed(1)
    nn.init.normal_(network.pooling.weight, std=0.3, generator=generator)
    for name, parameter in network.backbone.named_parameters():
        if name.endswith("qkv.weight"):
            nn.init.normal_(parameter, std=0.3, generator=generator)
    return network


def vision_transformer(registers: int) -> nn.Module:
    return timm.create_model("test_vit", num_classes=0, dynamic_img_size=True, reg_tokens=registers)


def eva(registers: int) -> nn.Module:
    """Of DINOv3's form: positions are turned into queries and keys."""
    body = Eva(
        img_size=64, patch_size=16, embed_dim=64, depth=3, num_heads=2, num_classes=0, num_reg_tokens=registers,
        use_rot_pos_emb=True, use_abs_pos_emb=False, dynamic_img_size=True, qkv_fused=True,
    )  # fmt: skip
    body.pretrained_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    return body


def of_timm(name: str, size: tuple[int, int] = (48, 64)) -> Callable[[int], nn.Module]:
    """A network of timm's, as it is built by its name but smaller."""

    def made(registers: int) -> nn.Module:
        small = {"img_size": size, "patch_size": 16, "embed_dim": 64, "depth": 3, "num_heads": 2}
        if registers and "dinov3" in name:
            small["num_reg_tokens"] = registers
        return timm.create_model(name, num_classes=0, **small)

    return made


def attention_matrices(body: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """What each layer attends to [B, H, N, N], from the queries and keys that its fused attention is given."""
    found, fused = [], nn.functional.scaled_dot_product_attention

    def noted(queries: torch.Tensor, keys: torch.Tensor, *rest: object, **options: object) -> torch.Tensor:
        bias = options.get("attn_mask")
        scores = queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5
        found.append((scores if bias is None else scores + bias).softmax(3))
        return fused(queries, keys, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "scaled_dot_product_attention", noted)
        body.forward_features(images)
    return found


@torch.no_grad()
@pytest.mark.parametrize(
    ("make", "registers"),
    [
        (vision_transformer, 0),
        (vision_transformer, 4),
        (eva, 0),
        (eva, 4),
        (of_timm("beit_base_patch16_224"), 0),
        (of_timm("beitv2_base_patch16_224"), 0),
        (of_timm("eva02_tiny_patch14_224"), 0),
        (of_timm("eva_large_patch14_196"), 0),
        (of_timm("vit_small_patch16_dinov3"), 4),
    ],
    ids=["vit", "vit, registers", "eva", "eva, registers", "BEiT", "BEiT 2", "EVA 2", "EVA", "DINOv3"],
)
def test_roll_out_agrees_with_loops(make, registers: int) -> None:
    torch.manual_seed(0)
    backbone = TimmBackbone("timm:some", make(registers)).double().eval()
    for name, parameter in backbone.named_parameters():
        if name.endswith(("qkv.weight", "q_proj.weight", "k_proj.weight")):
            nn.init.normal_(parameter, std=0.3)
    images = torch.randn(2, 3, 48, 64, dtype=torch.float64)
    layers = attention_matrices(backbone.body, images)
    assert len(layers) == len(backbone.body.blocks)
    plain = backbone(images)
    assert plain.attention is None
    backbone.watch_attention()
    found = backbone(images)
    assert found.attention.shape == (2, 2, 3, 4)
    assert found.attention.dtype == torch.float64
    assert torch.allclose(found.token, plain.token, rtol=0, atol=1e-10)
    tokens, first = 1 + registers + 12, 1 + registers
    for photo in range(2):
        flow = [[float(row == column) for column in range(tokens)] for row in range(tokens)]
        for layer in layers[:-1]:  # each token's share of the tokens at the input, layer by layer from there
            mean = (layer[photo, 0] + layer[photo, 1]) / 2
            passed = [[0.5 * float(mean[i, j]) + 0.5 * (i == j) for j in range(tokens)] for i in range(tokens)]
            flow = [
                [sum(passed[i][m] * flow[m][j] for m in range(tokens)) for j in range(tokens)] for i in range(tokens)
            ]
        for head in range(2):
            looks = layers[-1][photo, head, 0].tolist()
            reached = [sum(looks[m] * flow[m][j] for m in range(tokens)) for j in range(tokens)]
            assert sum(reached) == pytest.approx(1)
            assert found.attention[photo, head].flatten().tolist() == pytest.approx(reached[first:], abs=1e-10)
    assert found.attention.std() > 0.01 * found.attention.mean()


@torch.no_grad()
def test_each_head_takes_its_patch_and_they_are_added_to_the_token() -> None:
    generator = torch.Generator().manual_seed(0)
    token, seen = torch.randn(2, 5, generator=generator), torch.randn(2, 5, 3, 4, generator=generator)
    attention = torch.rand(2, 3, 3, 4, generator=generator)
    places = [[(0, 0), (2, 3), (1, 2)], [(1, 1), (1, 1), (2, 0)]]
    for photo in range(2):
        for head, (row, column) in enumerate(places[photo]):
            attention[photo, head, row, column] = 2.0
    pooling = RolloutPooling(5)
    assert torch.equal(pooling(Features(seen, token, attention)), token)
    nn.init.normal_(pooling.weight, generator=generator)
    pooled = pooling(Features(seen, token, attention))
    for photo in range(2):
        mean = sum(seen[photo, :, row, column] for row, column in places[photo]) / 3
        torch.testing.assert_close(pooled[photo], token[photo] + pooling.weight @ mean)


@torch.no_grad()
@pytest.mark.parametrize("head", ["linear", "none"])
def test_a_network_begins_as_with_the_token_alone(head: str) -> None:
    token, rollout = build(pooling="token", head=head), build(head=head)
    expected, found = token(photos()), rollout(photos())
    torch.testing.assert_close(found.vector, expected.vector, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.features, expected.features, atol=1e-5, rtol=0)
    assert expected.parts is None
    assert found.parts.shape == (3, 2, 4, 4)
    nn.init.normal_(rollout.pooling.weight, std=0.3)
    assert not torch.allclose(rollout(photos()).vector, expected.vector, atol=1e-2)


def test_its_layer_learns_and_the_patches_behind_it() -> None:
    network = build().train()
    freeze_unused(network, 64)
    network(photos()).vector[:, 0].sum().backward()
    assert network.pooling.weight.grad.any()
    output = filled(network)(photos())
    output.features.retain_grad()
    output.vector[:, 0].sum().backward()
    looked_at = {int(place) for head in output.parts[0].flatten(1) for place in [head.argmax()]}
    assert {int(place) for place in output.features.grad[0].any(0).flatten().nonzero()} == looked_at
    assert not output.parts.requires_grad


def test_nothing_is_watched_where_nobody_asks() -> None:
    """Neither a slower attention nor a hook; and none is left behind by those who ask."""
    plain = build(pooling="token")
    assert all(block.attn.fused_attn for block in plain.backbone.body.blocks)
    assert not plain.backbone._watched
    watched = build()
    assert not any(block.attn.fused_attn for block in watched.backbone.body.blocks)
    watched(photos())
    for network in (plain, watched):
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(AssertionError, match=r"divisible by patch size"):
        watched(photos(side=70))
    assert not any(module._forward_pre_hooks for module in watched.modules())


@torch.no_grad()
def test_under_autocast_parts_are_told_apart_in_single_precision() -> None:
    network = filled(build())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(photos())
    assert output.parts.dtype == output.vector.dtype == torch.float32
    assert not torch.equal(output.parts, output.parts.bfloat16().float())
    seen = [torch.rand(2, 5, 5).softmax(2), torch.rand(2, 5, 5).softmax(2), torch.rand(2, 3, 5, 5).softmax(3)]
    expected = roll_out(seen, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(roll_out(seen, 2, 2), expected)
    assert (output.vector * network(photos()).vector).sum(1).min() > 0.99


@torch.no_grad()
def test_what_looks_at_places_looks_at_them() -> None:
    """With parts of the network's own, these are shown; attention before the pooling leaves the roll-out alone."""
    network = filled(build())
    output = network(photos())
    assert torch.equal(output.places, output.parts)
    both = build(parts=3)
    assert both(photos()).parts.shape == (3, 3, 4, 4)
    torch.testing.assert_close(both(photos()).vector, build()(photos()).vector)
    weighed = build(attention="se")(photos())
    torch.testing.assert_close(weighed.parts, build()(photos()).parts)


@torch.no_grad()
@pytest.mark.parametrize(
    ("settings", "views", "outputs"),
    [
        ({}, ("whole",), ["vector", "features", "parts"]),
        ({"look": "first"}, ("closer",), ["vector", "features", "parts", "region"]),
    ],
    ids=lambda value: "",
)
def test_the_exported_file_has_the_maps(tmp_path: Path, settings: dict, views: tuple, outputs: list[str]) -> None:
    network = filled(build(**settings))
    first = views[0] == "closer"
    export(network, Preprocessing(64, marked=first), tmp_path / "embedder.onnx", {})
    assert Embedder.open(tmp_path / "embedder.onnx").views == views
    session = onnxruntime.InferenceSession(tmp_path / "embedder.onnx")
    assert [output.name for output in session.get_outputs()] == outputs
    for count in (1, 5):
        images = networks.marked(photos(count, seed=count), 0) if first else photos(count, seed=count)
        found = dict(zip(outputs, session.run(outputs, {"images": images.numpy()}), strict=True))
        wanted = network(images)
        for name in outputs:
            np.testing.assert_allclose(found[name], getattr(wanted, name), atol=2e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ["beit_base_patch16_224", "eva02_tiny_patch14_224", "vit_small_patch16_dinov3"])
def test_the_maps_of_other_transformers_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    body = of_timm(name, (64, 64))(4)
    with monkeypatch.context() as patch:
        patch.setattr(timm, "create_model", lambda *_, **__: body)
        network = filled(build(head="none"))
    export(network, Preprocessing(64), tmp_path / "embedder.onnx", {})
    images = photos(2, seed=2)
    session = onnxruntime.InferenceSession(tmp_path / "embedder.onnx")
    vectors, parts = session.run(["vector", "parts"], {"images": images.numpy()})
    wanted = network(images)
    np.testing.assert_allclose(vectors, wanted.vector, atol=2e-4)
    np.testing.assert_allclose(parts, wanted.parts, atol=2e-4)


def test_the_second_look_needs_no_other_parts() -> None:
    assert build(look="second").views == ["whole", "closer"]


@pytest.mark.parametrize(
    "backbone",
    ["timm:test_vit2", "timm:test_resnet", "timm:xcit_nano_12_p16_224", "wide-resnet-10-1", "torchvision:resnet18"],
)
def test_who_has_no_class_token_is_told(backbone: str) -> None:
    with pytest.raises(InputError, match=rf"^model\.pooling rollout follows the attention .* and {backbone} is none; "):
        build(backbone)


def test_chunks_give_the_gradients_of_the_whole_batch_in_float64(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RolloutPooling, "__init__", begun)
    model = replace(config.model, backbone="timm:test_vit", pooling="rollout", dropout=0.0)
    whole = replace(config, model=model, train=replace(config.train, precision="64"))
    expected = first_gradients(whole, tmp_path)
    found = first_gradients(replace(whole, train=replace(whole.train, chunk_size=3)), tmp_path)
    assert expected["pooling.weight"].any()
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.dtype == torch.float64
        # A class token begins so small that the first norm multiplies what rounding leaves by a million.
        assert torch.allclose(found[name], value, rtol=0, atol=1e-7 * value.abs().max()), name


def begun(self: RolloutPooling, channels: int) -> None:
    """As ``RolloutPooling`` is after a while."""
    nn.Module.__init__(self)
    self.weight = nn.Parameter(0.3 * torch.randn(channels, channels, generator=torch.Generator().manual_seed(0)))
