"""What work is compared, and when two embedders are taken to compute the same."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bench import work
from bench.work import compare_steps, steps_of
from embedder.trainer import Trainer


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


def test_a_step_is_as_much_dearer_as_it_takes_more_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by the pixels of a step alone; and steps of all of a run are taken."""
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
        (tmp_path / f"kind{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"kind{number % 2}" / f"{number}.png")
    clock, steps = [0.0], set()

    def step(run: Trainer, images: torch.Tensor, *_: torch.Tensor) -> None:
        clock[0] += images.shape[1] * images.shape[2]
        steps.add(run.step / run.steps)

    monkeypatch.setattr(Trainer, "_step", step)
    monkeypatch.setattr(work.time, "process_time", lambda: clock[0])
    small = f"--data.root {tmp_path} --model.backbone timm:test_efficientnet --model.weights random --data.workers 0"
    sides = [f"{small} --train.batch_size 8 --train.epochs 24 --data.size {size}".split() for size in (32, 64)]
    assert compare_steps(*sides) == 4.0
    assert min(steps) == 0 and max(steps) > 0.9 and len(steps) >= 20
