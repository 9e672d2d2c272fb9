import shutil
from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.export import export
from embedder.graph import write
from embedder.model.attention import build_attention
from embedder.model.features import Backbone, Features
from embedder.model.head import build_head
from embedder.model.network import Network
from embedder.model.parts import Parts, build_parts
from embedder.model.pooling import build_pooling
from embedder.places import EXACT, PlaceShares, _of_parts, fitted
from embedder.preprocess import Preprocessing
from embedder.reduced import halved, projected, quantised
from embedder.runtime import Embedder
from embedder.tail import _Graph, _greatest

SIDE, CELLS, CHANNELS = 48, 6, 10


class OneLayer(Backbone):
    """A backbone of one layer, which a graph is made of in no time."""

    name, channels, mean, std, interpolation, stages = "one", CHANNELS, (0.5,) * 3, (0.2,) * 3, "bicubic", []

    def __init__(self, token: bool) -> None:
        super().__init__()
        self.has_token, self.shows_finer = token, False
        self.layer = nn.Conv2d(3, CHANNELS, SIDE // CELLS, SIDE // CELLS, bias=False)

    def forward(self, photos: Tensor) -> Features:
        places = self.layer(photos).relu()
        finer = F.avg_pool2d(photos, 4).relu() if self.shows_finer else None
        return Features(places, places.square().mean((2, 3)) if self.has_token else None, finer=finer)

    def watch_stride(self, stride: int) -> int:
        self.shows_finer = True
        return 3


def network(
    pooling: str = "avg", head: str = "linear", norm: str = "none", parts: int = 0, stride: int = 0, **views: object
) -> Network:
    """A network of which every layer does something."""
    torch.manual_seed(0)
    backbone = OneLayer(pooling == "token")
    dimension = CHANNELS if head == "none" else 7
    layers = build_head(head, CHANNELS, dimension, norm)
    found = build_parts(parts, stride, backbone, dimension)
    made = Network(
        backbone,
        build_attention("none", backbone),
        build_pooling(pooling, backbone),
        layers,
        dimension,
        found,
        **views,
    )
    for name, weight in [*made.named_parameters(), *layers.named_buffers()]:
        if weight.is_floating_point() and not name.startswith("backbone"):
            nn.init.uniform_(weight, 0.5, 1.5) if weight.ndim < 2 else nn.init.normal_(weight, 0.1)
    return made.eval()


def photos() -> np.ndarray:
    """Two photos with a subject in one corner and faint noise around it."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(125, 131, (2, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:, 8:24, 10:28] = draw.integers(0, 256, (2, 16, 18, 3), dtype=np.uint8)
    return pixels


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Embedder]:
    """A function that exports ``network`` with some settings, once."""

    @cache
    def made(*settings: str, **views: object) -> Embedder:
        folder = tmp_path_factory.mktemp("exported")
        made = network(*settings, **views)
        preprocessing = Preprocessing(SIDE, marked=made.views[0] == "closer")
        export(made, preprocessing, folder / "embedder.onnx", {})
        return Embedder.open(folder)

    return made


def check(embedder: Embedder, exact: bool, boxed: bool = False) -> np.ndarray:
    """The shares of the first photo, once the sums of products with the second are what they must be."""
    given = photos()
    if embedder.preprocessing.marked:
        given = np.concatenate([given, np.full_like(given[..., :1], 255 * boxed)], axis=3)
    vectors = embedder.vectors(given).astype(np.float64)
    found = [PlaceShares.open(embedder).of(pixels) for pixels in given]
    for pixels, shares in zip(given, found, strict=True):
        assert shares.parts is None or np.array_equal(shares.parts, embedder.outputs(pixels[None])["parts"][0])
    for shares, own, other in zip(found, vectors, vectors[::-1], strict=True):
        assert shares.exact is exact
        np.testing.assert_allclose(shares.vector, own, atol=EXACT)
        assert abs((shares.shares @ other).sum() - own @ other) <= EXACT
    return found[0]


@pytest.mark.parametrize(
    "settings",
    [
        ("avg", "none"),
        ("avg", "linear", "layer"),
        ("max", "none", "batch"),
        ("max", "linear"),
        ("avg+max", "none", "layer"),
        ("avg+max", "linear", "batch"),
    ],
    ids=str,
)
def test_shares_are_exact_where_the_vector_is_a_sum_over_places(exported, settings) -> None:
    check(exported(*settings), exact=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "gem"},
        {"pooling": "attention"},
        {"pooling": "token"},
        {"head": "mlp"},
        {"parts": 3},
        {"parts": 3, "stride": 4},
        {"parts": 3, "head": "none", "look": "second", "mirror": True},
    ],
    ids=str,
)
def test_elsewhere_shares_say_that_they_are_approximate_and_have_the_right_sum(exported, settings) -> None:
    check(exported(**settings), exact=False)


@pytest.mark.parametrize("settings", [{"pooling": "gem"}, {"pooling": "attention"}, {"parts": 3}], ids=str)
def test_what_is_known_of_places_adds_up_by_itself(exported, monkeypatch, settings) -> None:
    monkeypatch.setattr("embedder.places.fitted", lambda shares, _vector: shares)
    embedder = exported(**settings)
    total = PlaceShares.open(embedder).of(photos()[0]).vector
    np.testing.assert_allclose(total / np.linalg.norm(total), embedder.vectors(photos()[:1])[0], atol=EXACT)


def test_the_mirrored_photo_is_mirrored_back(exported) -> None:
    embedder = exported("max", "linear", "layer", mirror=True)
    shares = check(embedder, exact=True).shares
    mirrored = PlaceShares.open(embedder).of(photos()[0][:, ::-1]).shares
    np.testing.assert_allclose(mirrored[:, ::-1], shares, atol=1e-6)


@pytest.mark.parametrize("mirror", [False, True])
def test_shares_of_the_photo_seen_smaller_are_exact(exported, mirror: bool) -> None:
    check(exported("avg+max", "linear", "layer", smaller=True, mirror=mirror), exact=True)


def test_shares_of_the_photo_seen_smaller_lie_where_they_belong(exported) -> None:
    """A photo with something at the upper left: what is seen smaller says so as what is seen whole does."""
    plain, both = exported("avg", "none", "none"), exported("avg", "none", "none", smaller=True)
    corner = np.full((SIDE, SIDE, 3), 128, np.uint8)
    corner[: SIDE // 4, : SIDE // 2] = np.random.default_rng(0).integers(0, 256, (SIDE // 4, SIDE // 2, 3))
    even = np.full_like(corner, 128)

    for embedder in (plain, both):
        one, other = (PlaceShares.open(embedder).of(pixels).shares for pixels in (corner, even))
        change = np.linalg.norm(one - other, axis=2)
        there = np.zeros_like(change, bool)
        there[:2, :3] = True
        assert change[there].min() > 2 * change[~there].max()


def test_shares_of_a_square_that_is_looked_at_closer_belong_to_it(exported) -> None:
    embedder = exported("avg", "linear", "layer", look="first")
    shares = check(embedder, exact=True)
    given = np.concatenate([photos()[:1], np.zeros((1, SIDE, SIDE, 1), np.uint8)], axis=3)
    np.testing.assert_allclose(shares.region, embedder.outputs(given)["region"][0], atol=1e-6)
    assert shares.region[2] < 0.9
    assert check(embedder, exact=True, boxed=True).region == (0.0, 0.0, 1.0)


def test_the_mean_belongs_to_all_places_and_the_greatest_value_to_one(exported) -> None:
    for pooling in ("avg", "max"):
        embedder = exported(pooling, "none")
        (features,) = embedder.outputs(photos()[:1])["features"]
        shares = PlaceShares.open(embedder).of(photos()[0]).shares.transpose(2, 0, 1)
        for own, seen in zip(shares, features, strict=True):
            if pooling == "avg":
                np.testing.assert_allclose(own * seen.sum(), seen * own.sum(), atol=1e-6)
            elif seen.max() > 0:
                assert [*np.argwhere(own > 1e-9)[0]] == [*np.argwhere(seen == seen.max())[0]]
                assert (own > 1e-9).sum() == 1


def test_of_several_greatest_places_the_first_one_counts() -> None:
    np.testing.assert_array_equal(_greatest(np.array([[1.0, 0], [3, 2], [3, 2]])), [[0, 0], [3, 2], [0, 0]])


@pytest.mark.parametrize(("precision", "exact"), [("fp16", True), ("int8", False), ("directions", True)])
def test_smaller_embedders(exported, tmp_path, monkeypatch, precision, exact) -> None:
    monkeypatch.setattr("embedder.reduced.LARGE", 1)
    plain = exported("avg+max", "linear", "batch")
    model = onnx.load(plain.path)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 3)))[0].astype(np.float32)
    made = {
        "fp16": lambda: halved(model),
        "int8": lambda: quantised(model, [photos()]),
        "directions": lambda: projected(model, directions),
    }[precision]()
    dimension = 3 if precision == "directions" else 7
    write(made, plain.preprocessing, plain.views, dimension, {}, tmp_path / "embedder.onnx")
    check(Embedder.open(tmp_path), exact)


def test_the_layers_of_other_views_are_not_taken_for_those_behind_the_first_map(exported, tmp_path) -> None:
    """In 8 bits the nodes of the views stand mixed up in the file."""
    plain = exported("avg", "linear", "layer", smaller=True, mirror=True)
    model = quantised(onnx.load(plain.path), [photos()])
    write(model, plain.preprocessing, plain.views, 7, {}, tmp_path / "embedder.onnx")
    shares, wanted = (PlaceShares.open(one).of(photos()[0]).shares for one in (Embedder.open(tmp_path), plain))
    assert np.corrcoef(shares.ravel(), wanted.ravel())[0, 1] > 0.95


@torch.no_grad()
def test_a_part_adds_to_the_places_where_it_is() -> None:
    parts = Parts(CHANNELS, 2, 7)
    nn.init.normal_(parts.project.weight)
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(1, CHANNELS, 4, 4)).astype(np.float32))
    seen = parts(features)
    places, maps = (one[0].flatten(1).double().numpy() for one in (features, seen.maps))
    added = _of_parts(places.T, maps, parts.project.weight.view(7, 2, CHANNELS).double().numpy())
    np.testing.assert_allclose(added.sum(0), parts.addition(seen.matrix)[0], atol=1e-5)
    nowhere = maps.sum(0) == 0
    assert nowhere.any()
    assert not added[nowhere].any()
    assert added[~nowhere].any(axis=1).all()


def test_weights_of_8_bits_are_widened_channel_by_channel() -> None:
    values, scale, zero = (
        np.array([[1, -2], [3, 4]], np.int8),
        np.array([0.5, 2], np.float32),
        np.array([0, 1], np.int8),
    )
    weights = [onnx.numpy_helper.from_array(one, name) for one, name in ((values, "w"), (scale, "s"), (zero, "z"))]
    for axis, expected in ((0, [[0.5, -1], [4, 6]]), (1, [[0.5, -6], [1.5, 6]])):
        node = onnx.helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wide"], axis=axis)
        graph = _Graph(onnx.helper.make_graph([node], "graph", [], [], weights))
        np.testing.assert_array_equal(graph.constant("wide"), expected)


def test_a_network_of_another_kind_is_explained_by_where_its_features_agree(tmp_path) -> None:
    from tests.index.conftest import write_embedder

    write_embedder(tmp_path / "embedder.onnx", "tiny")
    embedder = Embedder.open(tmp_path)
    pixels = np.full((32, 32, 3), 127, np.uint8)
    pixels[:8, :8] = 250
    shares = PlaceShares.open(embedder).of(pixels)
    assert not shares.exact
    np.testing.assert_allclose(shares.vector, embedder.vectors(pixels[None])[0], atol=1e-6)
    assert np.unravel_index((shares.shares @ shares.vector).argmax(), (4, 4)) == (0, 0)


def test_a_head_that_is_not_understood_is_never_called_exact(exported, tmp_path) -> None:
    """Whatever is made of it points where the vector does."""
    plain = exported("avg", "linear", "layer")
    model = onnx.load(plain.path)
    for node in model.graph.node:
        if node.op_type == "Gemm":
            node.op_type, taken = "MatMul", [*node.input]
            node.input[:] = [taken[0], "turned"]
            across = onnx.helper.make_node("Transpose", [taken[1]], ["turned"], perm=[1, 0])
            model.graph.initializer.remove(next(one for one in model.graph.initializer if one.name == taken[2]))
            del node.attribute[:]
    model.graph.node.insert(0, across)
    write(model, plain.preprocessing, plain.views, 7, {}, tmp_path / "embedder.onnx")
    check(Embedder.open(tmp_path), exact=False)


def test_another_file_at_the_same_path_is_read_anew(exported, tmp_path) -> None:
    for settings in (("avg", "none"), ("max", "linear")):
        shutil.copy(exported(*settings).path, tmp_path / "embedder.onnx")
        check(Embedder.open(tmp_path), exact=True)


def test_shares_are_fitted_to_a_vector_by_scaling_them_first() -> None:
    shares = np.zeros((2, 2, 3))
    shares[0, 1] = [1, 0, 0]
    found = fitted(shares, np.array([0.5, 0.4, 0]))
    np.testing.assert_allclose(found.sum((0, 1)), [0.5, 0.4, 0])
    np.testing.assert_allclose(found[0, 1], [0.5, 0.1, 0])
    np.testing.assert_allclose(found[1, 0], [0, 0.1, 0])
    away = fitted(shares, np.array([-1.0, 0, 0]))
    np.testing.assert_allclose(away, np.full((2, 2, 3), [-0.25, 0, 0]))
