"""What is exported is held against the network."""

import pytest
import torch

from embedder.config import ModelSettings
from embedder.export import export
from embedder.model.network import build_network
from embedder.preprocess import Preprocessing
from embedder.runtime import Embedder


def turned(output):
    return output._replace(vector=output.vector.flip(1)) if torch.compiler.is_exporting() else output


def other_features(output):
    return output._replace(features=output.features + torch.compiler.is_exporting())


def too_long(output):
    return output._replace(vector=output.vector * 2)


def not_a_number(output):
    return output._replace(vector=output.vector * float("nan"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(turned, "least cosine is"), (too_long, "lengths"), (not_a_number, "lengths"), (other_features, "features")],
)
def test_a_file_that_is_not_the_network_is_never_written(tmp_path, small_network, spoil, said):
    class Spoilt(small_network):
        def forward(self, images):
            return spoil(super().forward(images))

    path = tmp_path / "embedder.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(RuntimeError, match=said):
        export(Spoilt(), Preprocessing(16), path, {})
    assert path.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_rounding_of_where_a_real_network_looks_is_no_difference(tmp_path):
    settings = ModelSettings(head="none", smaller=True, look="first", look_detail=2, look_side=0.5)
    network = build_network(settings).eval()
    export(network, Preprocessing(448, detail=2, marked=True), tmp_path / "embedder.onnx", {})
    assert Embedder.open(tmp_path / "embedder.onnx").views == ("closer", "smaller")
