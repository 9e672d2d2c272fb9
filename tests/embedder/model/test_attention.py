import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from torch import nn

from embedder.config import Config, TrainSettings
from embedder.export import export
from embedder.model.attention import EfficientChannelAttention, build_attention
from embedder.model.features import Backbone, Features
from embedder.model.network import freeze_unused
from embedder.optimizer import parameter_groups
from embedder.preprocess import Preprocessing
from eval.errors import InputError
from tests.embedder.model.networks import build, photos
from tests.embedder.rank_worker import first_gradients

BLOCKS = ("se", "cbam", "eca")


class Stub(Backbone):
    name = "stub"
    channels = 32


def filled(module: nn.Module) -> nn.Module:
    """The same with random weights everywhere, so that it is no longer the identity."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return module


@pytest.fixture
def features() -> Features:
    generator = torch.Generator().manual_seed(0)
    token = torch.randn(2, 32, generator=generator, dtype=torch.float64)
    return Features(torch.randn(2, 32, 3, 5, generator=generator, dtype=torch.float64), token)


def gate(value: float) -> float:
    return 2 / (1 + math.exp(-value))


def dense(layer: nn.Linear, values: list[float]) -> list[float]:
    weights, biases = layer.weight.tolist(), layer.bias.tolist()
    return [b + sum(w * v for w, v in zip(row, values, strict=True)) for row, b in zip(weights, biases, strict=True)]


def bottleneck(layers: nn.Sequential, values: list[float]) -> list[float]:
    return dense(layers[2], [max(0.0, value) for value in dense(layers[0], values)])


def means(photo: list[list[list[float]]]) -> list[float]:
    return [sum(sum(row) for row in channel) / 15 for channel in photo]


def squeezed(block: nn.Module, photo: list) -> list:
    gates = [gate(value) for value in bottleneck(block.excitation, means(photo))]
    return [[[g * v for v in row] for row in channel] for g, channel in zip(gates, photo, strict=True)]


def convolved(block: nn.Module, photo: list) -> list:
    greatest = [max(max(row) for row in channel) for channel in photo]
    both = zip(bottleneck(block.channels, means(photo)), bottleneck(block.channels, greatest), strict=True)
    gates = [gate(mean + most) for mean, most in both]
    photo = [[[g * v for v in row] for row in channel] for g, channel in zip(gates, photo, strict=True)]
    weights = block.places.weight[0].tolist()
    places = [(row, column) for row in range(3) for column in range(5)]
    at = {place: [channel[place[0]][place[1]] for channel in photo] for place in places}
    weighed = [[[0.0] * 5 for _ in range(3)] for _ in photo]
    for row, column in places:
        value = 0.0
        for down in range(7):
            for right in range(7):
                if seen := at.get((row + down - 3, column + right - 3)):
                    value += weights[0][down][right] * sum(seen) / 32 + weights[1][down][right] * max(seen)
        for channel in range(32):
            weighed[channel][row][column] = gate(value) * photo[channel][row][column]
    return weighed


def neighboured(block: nn.Module, photo: list) -> list:
    (weights,), average = block.neighbours.weight[0].tolist(), means(photo)
    assert len(weights) == 3
    padded = [0.0, *average, 0.0]
    gates = [gate(sum(weights[j] * padded[c + j] for j in range(3))) for c in range(32)]
    return [[[g * v for v in row] for row in channel] for g, channel in zip(gates, photo, strict=True)]


@pytest.mark.parametrize(("name", "naive"), [("se", squeezed), ("cbam", convolved), ("eca", neighboured)], ids=BLOCKS)
def test_blocks_agree_with_loops(name: str, naive: object, features: Features) -> None:
    block = filled(build_attention(name, Stub()).double())
    weighed = block(features)
    assert torch.equal(weighed.token, features.token)
    assert weighed.map.dtype == torch.float64
    for photo in range(2):
        expected = torch.tensor(naive(block, features.map[photo].tolist()), dtype=torch.float64)
        assert not torch.allclose(expected, features.map[photo], rtol=0.1)
        assert torch.allclose(weighed.map[photo], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [8, 64, 96, 128, 256, 320, 512, 1024, 1280, 2048])
def test_the_window_over_channels_is_as_wide_as_the_paper_has_it(channels: int) -> None:
    theirs = timm.layers.EcaModule(channels=channels).conv.kernel_size
    assert EfficientChannelAttention(channels).neighbours.kernel_size == theirs


@pytest.mark.parametrize("name", BLOCKS)
def test_photos_of_a_batch_do_not_see_each_other(name: str, features: Features) -> None:
    block = filled(build_attention(name, Stub()).double()).train()
    for photo in range(2):
        alone = block(Features(features.map[photo : photo + 1], None)).map
        assert torch.allclose(block(features).map[photo], alone[0], rtol=0, atol=1e-12)
    assert not [*block.buffers()]


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", ["timm:test_resnet", "timm:test_vit", "timm:test_convnext"])
@pytest.mark.parametrize("name", BLOCKS)
def test_a_network_begins_bit_for_bit_as_without_attention(name: str, backbone: str, autocast: bool) -> None:
    plain, attentive = build(backbone, pooling="avg").eval(), build(backbone, pooling="avg", attention=name).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        expected, found = plain(photos()), attentive(photos())
    assert found.features.dtype == expected.features.dtype
    assert torch.equal(found.features, expected.features)
    assert torch.equal(found.vector, expected.vector)


def test_a_network_without_attention_has_no_weights_of_one() -> None:
    plain, attentive = build().state_dict(), build(attention="se").state_dict()
    assert {name for name in attentive if name not in plain} == {
        f"attention.excitation.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert not [name for name in plain if "attention" in name]


@pytest.mark.parametrize("settings", [*({"attention": name} for name in BLOCKS), {"pooling": "attention"}], ids=str)
def test_the_identity_is_left_by_the_first_step_and_by_the_second_every_weight_learns(settings: dict) -> None:
    network = build(**settings)
    own = [*network.attention.named_parameters(), *network.pooling.named_parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def step() -> set[str]:
        optimizer.zero_grad()
        network(photos()).vector[:, 0].sum().backward()
        learning = {name for name, parameter in own if parameter.grad.any()}
        optimizer.step()
        return learning

    begin = {name for name, parameter in own if not parameter.any()}
    assert begin
    assert step() == begin
    assert step() == {name for name, _ in own}


@pytest.mark.parametrize("name", BLOCKS)
def test_its_weights_learn_at_a_rate_of_their_own_and_are_waited_for(name: str) -> None:
    network = build(attention=name, pooling="attention", frozen_stages="all")
    freeze_unused(network, 64)
    own = {id(parameter) for part in (network.attention, network.pooling) for parameter in part.parameters()}
    groups = parameter_groups(network, TrainSettings(learning_rate=1e-3, added_rate=10.0))
    groups = [group for group in groups if group["name"].startswith("added")]
    assert own == {id(parameter) for group in groups for parameter in group["params"]}
    for group in groups:
        assert group["lr"] == pytest.approx(1e-2)
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("timm:test_resnet", {"attention": "se", "pooling": "gem"}),
        ("timm:test_vit", {"attention": "cbam", "pooling": "attention"}),
        ("timm:test_convnext", {"attention": "eca", "pooling": "avg+max", "mirror": True}),
    ],
    ids=BLOCKS,
)
def test_the_exported_file_weighs_as_the_network_does(backbone: str, settings: dict, tmp_path: Path) -> None:
    network = build(backbone, **settings).eval()
    filled(network.attention)
    if settings["pooling"] == "attention":
        filled(network.pooling)
    export(network, Preprocessing(64), tmp_path / "embedder.onnx", {})
    session = onnxruntime.InferenceSession(tmp_path / "embedder.onnx")
    for count in (1, 5):
        images = photos(count, seed=count)
        vectors, features = session.run(["vector", "features"], {"images": images.numpy()})
        with torch.no_grad():
            expected = network(images)
        np.testing.assert_allclose(vectors, expected.vector, atol=1e-5)
        np.testing.assert_allclose(features, expected.features, atol=1e-4 * float(expected.features.abs().max()))


def test_what_attention_cannot_look_at_is_told_before_anything_is_trained() -> None:
    network = build("timm:crossvit_tiny_240", attention="se", pooling="avg")
    with pytest.raises(InputError, match=r"^timm:crossvit_tiny_240 has no feature map, which model\.attention and"):
        network.check_size(240)
    with pytest.raises(InputError, match="unknown attention 'cabm'; did you mean 'cbam'"):
        build(attention="cabm")


@pytest.mark.parametrize(
    ("settings", "option"),
    [({"attention": "cbam"}, "model.attention cbam"), ({"pooling": "attention"}, "model.pooling attention")],
    ids=["cbam", "pooling"],
)
def test_places_are_not_compared_where_there_is_one(settings: dict, option: str) -> None:
    network = build(**settings)
    network.check_size(64)
    with pytest.raises(InputError, match=f"{option} compares places, and timm:test_resnet has one in photos of 32 pix"):
        network.check_size(32)
    for attention in ("none", "se", "eca"):
        build(attention=attention).check_size(32)


def test_chunks_give_the_gradients_of_the_whole_batch_in_float64(config: Config, tmp_path: Path) -> None:
    model = replace(config.model, attention="cbam", pooling="attention", dropout=0.0)
    data, train = replace(config.data, size=64), replace(config.train, precision="64")
    whole = replace(config, model=model, data=data, train=train)
    chunked = replace(whole, train=replace(train, chunk_size=3))
    expected, found = first_gradients(whole, tmp_path), first_gradients(chunked, tmp_path)
    assert {"attention.places.weight", "pooling.score"} <= {name for name, value in expected.items() if value.any()}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert value.dtype == torch.float64
        assert torch.allclose(found[name], value, rtol=0, atol=1e-9), name
