"""When two embedders are taken to compute the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bench.work import steps_of


def saved(file: Path, size: int = 4, value: float = 1.0, width: int = 3, step: str = "MatMul") -> Path:
    """A graph of one step on photos of a size."""
    weights = numpy_helper.from_array(np.full((size, width) if step == "MatMul" else (1,), value, np.float32), "w")
    sides = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("images", ["batch", size]), ("vector", ["batch", None]))
    ]
    node = helper.make_node(step, ["images", "w"], ["vector"])
    onnx.save(helper.make_model(helper.make_graph([node], "g", sides[:1], sides[1:], [weights])), file)
    return file


def test_other_weights_are_the_same_steps(tmp_path: Path) -> None:
    assert steps_of(saved(tmp_path / "a.onnx")) == steps_of(saved(tmp_path / "b.onnx", value=2.0))


@pytest.mark.parametrize(("one", "other"), [({"width": 3}, {"width": 5}), ({"step": "Add"}, {"step": "Mul"})])
def test_other_steps_are_not(tmp_path: Path, one: dict, other: dict) -> None:
    assert steps_of(saved(tmp_path / "a.onnx", **one)) != steps_of(saved(tmp_path / "b.onnx", **other))


def test_the_same_steps_on_larger_photos_are_not(tmp_path: Path) -> None:
    small, large = (saved(tmp_path / f"{size}.onnx", size, step="Add") for size in (4, 8))
    assert steps_of(small) != steps_of(large)
