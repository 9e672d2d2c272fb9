import math
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch

from embedder.config import TrainSettings
from embedder.export import export
from embedder.model.network import Network
from embedder.model.parts import Parts
from embedder.optimizer import parameter_groups
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder
from eval.errors import InputError
from tests.embedder.model import networks
from tests.embedder.model.networks import filled


def build(backbone: str = "timm:test_resnet", **settings: object) -> Network:
    return networks.build(backbone, **{"dimension": 16, **settings}).eval()


photos = partial(networks.photos, side=96)


@torch.no_grad()
def test_bilinear_attention_pooling_by_its_formula() -> None:
    torch.manual_seed(1)
    parts, features = Parts(5, 3, 4), torch.randn(2, 5, 3, 3)
    parts.standardise.weight.data.uniform_(0.5, 2)
    parts.standardise.bias.data.normal_()
    found = parts(features)
    for photo in range(2):
        standardised = []
        for part in range(3):
            weight = parts.attend.weight[part, :, 0, 0]
            scores = [[float(weight @ features[photo, :, y, x]) for x in range(3)] for y in range(3)]
            mean = sum(map(sum, scores)) / 9
            spread = math.sqrt(sum((score - mean) ** 2 for row in scores for score in row) / 9 + 1e-5)
            scale, shift = float(parts.standardise.weight[part]), float(parts.standardise.bias[part])
            standardised.append([[scale * (score - mean) / spread + shift for score in row] for row in scores])
        rows = []
        for part in range(3):
            wanted = torch.zeros(3, 3)
            for y, x in ((y, x) for y in range(3) for x in range(3)):
                own, total = standardised[part][y][x], sum(math.exp(one[y][x]) for one in standardised)
                wanted[y, x] = max(0, own) * math.exp(own) / total
            torch.testing.assert_close(found.maps[photo, part], wanted, atol=1e-5, rtol=1e-4)
            gathered = [float((wanted * features[photo, channel]).sum() / 9) for channel in range(5)]
            rows.append([math.copysign(math.sqrt(abs(value) + 1e-6), value) for value in gathered])
        matrix = torch.tensor(rows)
        torch.testing.assert_close(found.matrix[photo], matrix / matrix.norm(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("head", ["linear", "mlp", "none"])
def test_a_network_with_parts_begins_as_the_one_without(head: str) -> None:
    plain, with_parts = build(head=head), build(head=head, parts=4)
    assert torch.equal(plain(photos()).vector, with_parts(photos()).vector)
    assert with_parts(photos()).parts.shape == (3, 4, 3, 3)
    assert plain(photos()).parts is None
    assert not torch.allclose(plain(photos()).vector, filled(with_parts)(photos()).vector, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize(
    ("backbone", "stride", "layer"),
    [
        ("timm:test_resnet", 16, "layer3"),
        ("timm:test_efficientnet", 8, "blocks.2"),
        ("timm:test_mambaout", 16, "stages.2"),
    ],
)
def test_finer_parts_are_found_in_an_earlier_layer(backbone: str, stride: int, layer: str) -> None:
    network, seen = filled(build(backbone, parts=4, part_stride=stride)), []
    hook = network.backbone.body.get_submodule(layer).register_forward_hook(lambda *given: seen.append(given[2]))
    output = network(photos())
    hook.remove()
    wanted = network.parts(seen[0].permute(0, 3, 1, 2) if "mambaout" in backbone else seen[0])
    assert output.parts.shape == (3, 4, 96 // stride, 96 // stride)
    assert output.features.shape == (3, network.backbone.channels, 3, 3)
    torch.testing.assert_close(output.parts, wanted.maps)
    torch.testing.assert_close(output.part_features, wanted.matrix)
    plain = build(backbone)
    plain.load_state_dict({name: own for name, own in network.state_dict().items() if not name.startswith("parts.")})
    assert not torch.allclose(output.vector, plain(photos()).vector, atol=1e-2)
    network.parts.project.weight.zero_()
    assert torch.equal(network(photos()).vector, plain(photos()).vector)


@pytest.mark.parametrize(
    ("backbone", "stride", "message"),
    [
        (
            "timm:test_resnet",
            7,
            r"^model\.part_stride is 7; the strides of .* timm:test_resnet: 2, 4, 8, 16; or set it to 0$",
        ),
        ("timm:test_resnet", 32, "the strides of the earlier maps of timm:test_resnet: 2, 4, 8, 16;"),
        ("timm:test_vit", 16, "the strides of the earlier maps of timm:test_vit: none;"),
        ("torchvision:resnet18", 16, r"^model\.part_stride is 16, but torchvision:resnet18 shows no map of an earlier"),
    ],
)
def test_no_parts_in_a_layer_that_is_not_there(backbone: str, stride: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(backbone, parts=4, part_stride=stride)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("timm:levit_128s", r"^model\.part_stride: timm:levit_128s has no feature map of that stride, but a list of"),
        ("timm:mvitv2_tiny", r"^model\.part_stride is 16; the strides of .* timm:mvitv2_tiny: none; or set it to 0"),
    ],
)
def test_what_timm_lists_may_be_no_map(backbone: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(backbone, parts=4, part_stride=16).check_size(224)


@pytest.mark.parametrize("stride", [0, 16])
def test_all_of_it_learns(stride: int) -> None:
    """The last layer first, as it begins at zero, and with it what comes before."""
    network = build(parts=4, part_stride=stride).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        network.zero_grad()
        network(photos()).vector[:, 0].sum().backward()
        optimizer.step()
    assert all(own.grad is not None and own.grad.abs().sum() > 0 for own in network.parts.parameters())
    assert all(torch.isfinite(own.grad).all() for own in network.parts.parameters())


def test_where_nothing_is_seen_gradients_are_finite() -> None:
    parts, features = Parts(5, 3, 4), torch.zeros(2, 5, 3, 3, requires_grad=True)
    parts(features).matrix.sum().backward()
    assert torch.isfinite(features.grad).all()


def test_a_photo_is_seen_alike_in_any_company() -> None:
    network = filled(build(parts=4)).train()
    alone = network(photos()[:1]).vector
    torch.testing.assert_close(network(photos()).vector[:1], alone, atol=1e-5, rtol=1e-4)


def test_parts_are_trained_at_the_rate_of_what_is_added() -> None:
    network = build(parts=4)
    groups = parameter_groups(network, TrainSettings(learning_rate=1e-3, added_rate=10.0))
    rate = {id(own): group["lr"] for group in groups for own in group["params"]}
    assert all(rate[id(own)] == 1e-2 for own in network.parts.parameters())


@pytest.mark.parametrize(
    ("settings", "views", "outputs"),
    [
        ({"parts": 3}, ("whole",), ["vector", "features", "parts"]),
        ({"parts": 3, "part_stride": 16}, ("whole",), ["vector", "features", "parts"]),
        (
            {"parts": 3, "look": "second", "mirror": True},
            ("whole", "closer", "mirror"),
            ["vector", "features", "parts"],
        ),
        ({"look": "first"}, ("closer",), ["vector", "features", "region"]),
        (
            {"look": "first", "look_side": 0.4, "smaller": True},
            ("closer", "smaller"),
            ["vector", "features", "region", "smaller"],
        ),
    ],
)
def test_the_exported_file_has_the_maps(tmp_path, settings, views, outputs) -> None:
    network = build(**settings)
    if network.parts:
        filled(network)
    first = views[0] == "closer"
    images = networks.marked(photos(), 1) if first else photos()
    export(network, Preprocessing(96, marked=first), tmp_path / "embedder.onnx", {})
    embedder = Embedder.open(tmp_path / "embedder.onnx")
    assert embedder.views == views
    session = onnxruntime.InferenceSession(tmp_path / "embedder.onnx")
    assert [output.name for output in session.get_outputs()] == outputs
    found = dict(zip(outputs, session.run(outputs, {"images": images.numpy()}), strict=True))
    wanted = network(images)
    for name in outputs:
        np.testing.assert_allclose(found[name], getattr(wanted, name).detach().numpy(), atol=2e-3)


def test_more_parts_than_channels_are_refused() -> None:
    message = r"model\.parts is 97, more than the 96 channels of timm:test_resnet; lower it"
    with pytest.raises(InputError, match=message):
        build(parts=97)
    with pytest.raises(InputError, match=r"model\.parts is 5000, .* of the map of stride 16 of timm:test_resnet"):
        build(parts=5000, part_stride=16)


def test_a_map_of_one_place_has_no_parts() -> None:
    with pytest.raises(
        InputError, match=r"^model\.parts 4 compares places, and the feature map has one; give larger photos"
    ):
        build(parts=4).check_size(32)


def test_of_no_photos_there_are_no_parts() -> None:
    """What a process may have as its share."""
    found = Parts(5, 3, 4)(torch.zeros(0, 5, 3, 3))
    assert found.maps.shape == (0, 3, 3, 3)
    assert found.matrix.shape == (0, 3, 5)


def test_parts_are_precise_under_autocast() -> None:
    parts, features = Parts(5, 3, 4), torch.randn(2, 5, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = parts(features.bfloat16())
        assert parts.addition(found.matrix).dtype == torch.float32
    assert found.maps.dtype == torch.float32
    torch.testing.assert_close(found.matrix.flatten(1).norm(dim=1), torch.ones(2))


def test_a_map_of_one_place_has_nothing_to_look_at() -> None:
    with pytest.raises(
        InputError, match=r"model\.look first compares places, and timm:test_resnet has one in photos of"
    ):
        build(look="first").check_size(32)
    with pytest.raises(InputError, match=r"augment\.attended_drop compares places, and timm:test_resnet has one"):
        build().check_size(32, ["augment.attended_drop"])
    build().check_size(32)
    build(parts=4, part_stride=16, look="second").check_size(32, ["augment.attended_drop"])
