import onnx
import pytest
import torch

from embedder.export import export
from embedder.graph import MOST_WEIGHTS, check_weights, fingerprint
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder
from eval.errors import InputError


@pytest.fixture(scope="module")
def exported(run_folder):
    """The file and its fingerprint."""
    embedder = Embedder.open(run_folder)
    return embedder.path, embedder.fingerprint


def test_the_fingerprint_is_the_same_for_the_same_weights(exported, tmp_path, small_network):
    """Whatever the folder, the summary, the memory layout and the training mode."""
    network = small_network().to(memory_format=torch.channels_last).train()
    other = tmp_path / "elsewhere" / "other.onnx"
    assert export(network, Preprocessing(16), other, {"epochs": 4, "best": 0.5}) == exported[1]


def test_the_fingerprint_does_not_hear_what_the_exporter_calls_things(exported):
    path, name = exported
    model = onnx.load(path)
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        node.name = "other " + node.name
        node.doc_string = "some remark"
        for values in (node.input, node.output):
            values[:] = [value if value in kept or not value else "other " + value for value in values]
    for weight in model.graph.initializer:
        weight.name = "other " + weight.name
    model.graph.initializer.reverse()
    model.producer_name = "another"
    assert fingerprint(model, Preprocessing(16), ["whole"]) == name


@pytest.mark.parametrize(
    ("preprocessing", "views"),
    [
        (Preprocessing(16, fit="squash"), ["whole"]),
        (Preprocessing(16, crop_share=0.9), ["whole"]),
        (Preprocessing(16, interpolation="bilinear"), ["whole"]),
        (Preprocessing(16), ["whole", "mirror"]),
    ],
)
def test_the_fingerprint_hears_preprocessing_and_views(exported, preprocessing, views):
    path, name = exported
    assert fingerprint(onnx.load(path), preprocessing, views) != name


def test_the_fingerprint_hears_every_weight(exported):
    path, name = exported
    for place in range(len(onnx.load(path).graph.initializer)):
        model = onnx.load(path)
        content = bytearray(model.graph.initializer[place].raw_data)
        content[0] ^= 1
        model.graph.initializer[place].raw_data = bytes(content)
        assert fingerprint(model, Preprocessing(16), ["whole"]) != name


def test_the_fingerprint_hears_the_graph(exported):
    path, name = exported
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "LeakyRelu"
    assert fingerprint(model, Preprocessing(16), ["whole"]) != name


def test_more_weights_than_a_file_holds_are_told_before_training():
    check_weights(MOST_WEIGHTS)
    with pytest.raises(
        InputError, match=r"the network has 632 million weights, .* at most 520 million; choose a smaller"
    ):
        check_weights(632_000_000)
