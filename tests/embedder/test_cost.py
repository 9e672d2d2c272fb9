import numpy as np
import pytest

from embedder.cost import measure
from embedder.export import main
from embedder.run_folder import run_photos
from embedder.runtime import Embedder


def test_the_cost_is_what_the_two_embedders_give(whole, tmp_path):
    held = run_photos(whole).validation
    main(whole, out=tmp_path / "small.onnx", dimension=2, max_loss=1)
    cost = measure(Embedder.open(whole), Embedder.open(tmp_path / "small.onnx"), held)
    for found, folder in ((cost.recall_before, whole), (cost.recall_after, tmp_path / "small.onnx")):
        vectors = Embedder.open(folder).embed([held.file(row) for row in range(len(held))])
        cosines = vectors @ vectors.T - 2 * np.eye(len(vectors))
        labels = np.array(held.labels)
        assert found == pytest.approx((labels[cosines.argmax(axis=1)] == labels).mean())
    assert cost.difference.mean == pytest.approx(cost.recall_after - cost.recall_before)
    assert cost.queries == len(held) == 12
    assert min(cost.speed_before, cost.speed_after) > 0
    assert cost.file_after == (tmp_path / "small.onnx").stat().st_size
