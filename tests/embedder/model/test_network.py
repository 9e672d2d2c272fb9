import copy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from embedder.config import ModelSettings
from embedder.model.network import build_network
from eval.errors import InputError
from tests.embedder.model.networks import build, photos


def test_vectors_have_unit_length_and_the_features_are_the_last_map() -> None:
    output = build().eval()(photos())
    assert output.vector.shape == (3, 32)
    assert torch.allclose(output.vector.norm(dim=1), torch.ones(3))
    assert output.features.shape == (3, 96, 2, 2)


def test_pixels_are_normalised_as_the_backbone_expects() -> None:
    network = build().eval()
    seen = []
    network.backbone.register_forward_hook(lambda *call: seen.append(call[1][0]))
    images = photos()
    network(images)
    for channel, (mean, std) in enumerate(zip(network.backbone.mean, network.backbone.std, strict=True)):
        wanted = (images[..., channel] / 255 - mean) / std
        assert torch.allclose(seen[0][:, channel], wanted, atol=1e-5)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


def test_mirrored_view_is_the_normalised_sum_and_knows_no_left_and_right() -> None:
    plain, mirrored = build().eval(), build(mirror=True).eval()
    images, flipped = photos(), photos().flip(2)
    total = plain(images).vector + plain(flipped).vector
    assert torch.allclose(mirrored(images).vector, total / total.norm(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(mirrored(images).vector, mirrored(flipped).vector, atol=1e-6)
    assert torch.equal(mirrored(images).features, plain(images).features)


def test_smaller_view_is_the_normalised_sum_with_the_photo_at_its_size() -> None:
    plain, both = build(pooling="avg").eval(), build(pooling="avg", smaller=True, mirror=True).eval()
    images = photos(side=128)
    seen: list[torch.Tensor] = []
    both.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    output = both(images)
    assert [tuple(one.shape[2:]) for one in seen] == [(128, 128), (128, 128), (96, 96)]  # of 4 places, 3
    pixels = [Image.fromarray(image.numpy()).resize((96, 96), Image.Resampling.BILINEAR) for image in images]
    resized = plain(torch.from_numpy(np.stack([np.asarray(one) for one in pixels])))
    total = plain(images).vector + plain(images.flip(2)).vector + resized.vector
    assert torch.allclose(output.vector, total / total.norm(dim=1, keepdim=True), atol=1e-3)
    assert output.smaller.shape == (*resized.features.shape,)
    assert torch.equal(output.features, plain(images).features)
    assert both.views == ["whole", "mirror", "smaller"]
    assert both.train()(images).smaller is None


def test_photos_of_few_places_cannot_be_seen_smaller() -> None:
    message = (
        r"^model\.smaller: timm:test_resnet makes 2 x 2 places of photos of 64 pixels, too few to see them smaller"
    )
    with pytest.raises(InputError, match=message):
        build(smaller=True).check_size(64)
    build(smaller=True).check_size(64, in_training=True)
    build(smaller=True).check_size(96)
    build(smaller=True, parts=4, attention="cbam").check_size(96)


def test_transformers_see_whole_patches_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(backbone="timm:test_vit", pooling="avg", smaller=True)
    network.check_size(80)  # of patches of 16 pixels: 5, and 4
    monkeypatch.setattr("embedder.model.network._smaller", lambda size, places: 57)
    message = r"^timm:test_vit does not take photos of 57 pixels, as which model\.smaller sees those of 80: "
    with pytest.raises(InputError, match=message):
        network.check_size(80)


def test_pretrained_features_tell_real_birds_apart(shared_data: Path) -> None:
    files = [sorted(folder.glob("*.jpg"))[:6] for folder in sorted((shared_data / "birds100" / "images").iterdir())[:8]]
    pixels = [np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for group in files for file in group]
    images, labels = torch.from_numpy(np.stack(pixels)), torch.arange(48) // 6

    def recall(weights: str) -> float:
        torch.manual_seed(0)
        network = build_network(ModelSettings(weights=weights, head="none", norm="none", pooling="avg")).eval()
        with torch.no_grad():
            vectors = network(images).vector
        similarities = (vectors @ vectors.T).fill_diagonal_(-1)
        return (labels[similarities.argmax(1)] == labels).float().mean().item()

    assert recall("pretrained") > 0.7
    assert recall("random") < 0.3


def test_training_sees_no_mirror() -> None:
    plain, mirrored = build().train(), build(mirror=True).train()
    assert torch.equal(plain(photos()).vector, mirrored(photos()).vector)


def test_without_a_head_the_pooled_features_are_the_vector() -> None:
    network = build(head="none", norm="none", pooling="avg").eval()
    output = network(photos())
    pooled = output.features.mean((2, 3))
    assert network.dimension == 96
    assert torch.allclose(output.vector, pooled / pooled.norm(dim=1, keepdim=True), atol=1e-6)


def test_vectors_are_float32_of_unit_length_under_autocast() -> None:
    network = build(pooling="gem").eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(photos())
    assert output.features.dtype == torch.bfloat16
    assert output.vector.dtype == torch.float32
    assert torch.allclose(output.vector.norm(dim=1), torch.ones(3), atol=1e-6)


def test_vector_of_zeros_stays_zero_with_finite_gradients() -> None:
    network = build(norm="none")
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    output = network(photos())
    output.vector.sum().backward()
    assert not output.vector.any()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_a_copy_is_frozen_like_the_original() -> None:
    network = copy.deepcopy(build(frozen_stages=2, freeze_batch_norm=True)).train()
    assert not network.backbone.body.layer1.training
    assert not network.backbone.body.layer4[0].bn1.training
    assert network.backbone.body.layer4.training


def test_size_that_a_transformer_cannot_take_is_told() -> None:
    network = build("timm:test_vit").train()
    network.check_size(80)
    with pytest.raises(InputError, match=r"timm:test_vit does not take photos of 70 pixels: .*divisible by patch size"):
        network.check_size(70)
    assert network.training


@pytest.mark.parametrize(
    ("backbone", "settings"),
    [
        ("timm:test_vit", {"pooling": "token"}),
        ("timm:test_convnext", {"pooling": "gem", "mirror": True}),
        ("timm:test_resnet", {"head": "mlp", "norm": "batch"}),
    ],
)
def test_onnx_file_agrees_for_any_number_of_photos(backbone: str, settings: dict, tmp_path: Path) -> None:
    network = build(backbone, **settings).eval()
    torch.onnx.export(
        network,
        (photos(2),),
        tmp_path / "network.onnx",
        dynamo=True,
        external_data=False,
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    for count in (1, 5):
        images = photos(count, seed=count)
        vectors, features = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        with torch.no_grad():
            output = network(images)
        assert (vectors * output.vector.numpy()).sum(1).min() > 0.9999
        assert np.allclose(features, output.features, atol=1e-3)
