import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from embedder import Embedder
from embedder.config import ModelSettings
from embedder.data.catalog import read_catalog
from embedder.export import export
from embedder.model.network import build_network
from embedder.preprocess import Preprocessing
from embedder.reduced import halved, principal_directions, projected, quantised, reduce
from embedder.runtime import open_session
from embedder.tail import _Graph, _pooling
from eval.errors import InputError
from tests.embedder.model.networks import marked


def images(count, size=16, seed=0):
    """Slopes and noise."""
    draw = np.random.default_rng(seed)
    slope = np.linspace(0, 200, size)[:, None, None] * draw.random((count, 1, 1, 3))
    return (slope + draw.integers(0, 56, (count, size, size, 3))).astype(np.uint8)


@pytest.fixture
def model(run_folder):
    return onnx.load(run_folder / "embedder.onnx")


def vectors(model, tmp_path, batch):
    onnx.save(model, tmp_path / "made.onnx")
    return open_session(tmp_path / "made.onnx").run(["vector"], {"images": batch})[0]


def test_the_directions_keep_most_of_the_products_between_vectors():
    draw = np.random.default_rng(0)
    given = draw.normal(size=(200, 3)) @ draw.normal(size=(3, 10)) + 0.01 * draw.normal(size=(200, 10)) + 0.3
    given = (given / np.linalg.norm(given, axis=1, keepdims=True)).astype(np.float32)
    directions = principal_directions(given, 4)
    np.testing.assert_allclose(directions.T @ directions, np.eye(4), atol=1e-6)
    lost = np.linalg.norm(given @ given.T - (given @ directions) @ (given @ directions).T)
    assert lost < 0.5
    for _ in range(20):
        others = np.linalg.qr(draw.normal(size=(10, 4)))[0]
        assert np.linalg.norm(given @ given.T - (given @ others) @ (given @ others).T) > lost
    with pytest.raises(InputError, match="200 training photos are too few for 201 directions"):
        principal_directions(np.tile(given, 30)[:, :300], 201)


def test_projected_vectors_are_what_numpy_gives(model, run_folder, tmp_path):
    batch = images(5)
    directions = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 3)))[0].astype(np.float32)
    before = model.SerializeToString()
    expected = Embedder.open(run_folder).vectors(batch) @ directions
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(projected(model, directions), tmp_path, batch), expected, atol=1e-5)
    assert model.SerializeToString() == before


def test_halved_weights_are_half_as_large_and_computed_with_as_before(model, run_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("embedder.reduced.LARGE", 1)
    made = halved(model)
    types = {weight.data_type for weight in made.graph.initializer}
    assert onnx.TensorProto.FLOAT not in types
    assert onnx.TensorProto.FLOAT16 in types
    found, expected = vectors(made, tmp_path, images(5)), Embedder.open(run_folder).vectors(images(5))
    assert found.dtype == np.float32
    assert ((found * expected).sum(axis=1) > 0.9999).all()
    assert np.abs(found - expected).max() > 0


def test_small_weights_stay(model):
    assert halved(model).SerializeToString() == model.SerializeToString()


def test_a_quantised_network_computes_in_8_bits_and_nearly_the_same(model, run_folder, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        made = quantised(model, [images(8, seed=seed) for seed in range(4)])
    assert not caplog.records
    kinds = {node.op_type for node in made.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    weights = [weight for weight in made.graph.initializer if weight.data_type == onnx.TensorProto.INT8]
    assert max(len(weight.dims) for weight in weights) == 4
    found, expected = vectors(made, tmp_path, images(20, seed=9)), Embedder.open(run_folder).vectors(images(20, seed=9))
    cosines = (found * expected).sum(axis=1)
    assert (cosines > 0.98).all()
    assert (cosines < 0.999999).any()
    logging.getLogger().warning("others may still warn")
    assert caplog.records


@pytest.mark.parametrize("settings", [{"look_side": 0.25}, {"parts": 3, "look": "second"}], ids=str)
def test_a_quantised_network_looks_closer_where_its_maps_say_and_at_every_pixel(settings, tmp_path):
    settings = ModelSettings(
        **{"backbone": "wide-resnet-10-1", "weights": "random", "head": "none", "look": "first", **settings}
    )
    size, first = 112, settings.look == "first"
    export(build_network(settings).eval(), Preprocessing(size, marked=first), tmp_path / "whole.onnx", {})

    def given(count, seed):
        made = torch.from_numpy(images(count, size, seed=seed))
        return (marked(made, 0) if first else made).numpy()

    made = quantised(onnx.load(tmp_path / "whole.onnx"), [given(8, seed) for seed in range(2)])
    (looked_at,) = (node.input[1] for node in made.graph.node if node.op_type == "GridSample")
    made.graph.output.append(helper.make_empty_tensor_value_info(looked_at))
    onnx.save(made, tmp_path / "made.onnx")
    (places,) = open_session(tmp_path / "made.onnx").run([looked_at], {"images": given(4, 9)})
    across = places[:, 0, :, 0]
    steps = np.diff(across, axis=1)
    np.testing.assert_allclose(steps, np.broadcast_to(steps.mean(1, keepdims=True), steps.shape), rtol=1e-3)
    assert (steps > 0).all()


def test_views_that_share_weights_are_quantised_with_their_batch_norm(tmp_path):
    settings = ModelSettings(backbone="timm:test_efficientnet", weights="random", head="none", mirror=True)
    network = build_network(settings).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    export(network, Preprocessing(32), tmp_path / "whole.onnx", {})
    model = onnx.load(tmp_path / "whole.onnx")
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}
    made = quantised(model, [images(8, 32, seed=seed) for seed in range(4)])
    assert "BatchNormalization" not in {node.op_type for node in made.graph.node}
    expected = Embedder.open(tmp_path / "whole.onnx").vectors(images(8, 32, seed=9))
    assert (vectors(made, tmp_path, images(8, 32, seed=9)) * expected).sum(axis=1).min() > 0.98


@pytest.mark.parametrize("p", [3.0, 9.0])
def test_a_quantised_p_mean_has_a_number_for_channels_that_are_nowhere_active(p, tmp_path):
    settings = ModelSettings(backbone="wide-resnet-10-1", weights="random", head="none", pooling="gem")
    network = build_network(settings).eval()
    network.pooling.p.data.fill_(p)
    export(network, Preprocessing(32), tmp_path / "whole.onnx", {})
    made = quantised(onnx.load(tmp_path / "whole.onnx"), [images(8, 32, seed=seed) for seed in range(2)])
    floats = [name for node in made.graph.node if node.op_type in {"Clip", "Div", "Pow"} for name in node.output]
    made.graph.output.extend(map(helper.make_empty_tensor_value_info, floats))
    onnx.save(made, tmp_path / "made.onnx")
    black = np.zeros((1, 32, 32, 3), np.uint8)  # few channels see anything in it
    found = open_session(tmp_path / "made.onnx").run([*floats, "features"], {"images": black})
    assert floats
    assert _pooling(_Graph(made.graph))[0] == "gem"
    assert (found[-1].max((2, 3)) <= 0).any()
    assert all(np.isfinite(one).all() for one in found)


def test_photos_of_which_none_can_be_read_are_named(run_folder, tmp_path):
    for name in ("one.jpg", "other.jpg"):
        (tmp_path / "photos" / "kind").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "kind" / name).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match=r"none of the 2 photos in .* \(first: kind/one\.jpg: .+\); mend them"):
        reduce(run_folder / "embedder.onnx", "int8", None, read_catalog(tmp_path / "photos"))
