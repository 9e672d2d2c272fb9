"""The tutorial's blocks run as they stand, one after the other, on images made for it."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


@pytest.fixture
def cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the layout that the tutorial would download into: ten classes, told apart by colour."""
    generator = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 6)):
        for label in range(10):
            folder = tmp_path / "cifar10" / part / f"kind{label}"
            folder.mkdir(parents=True)
            colour = np.random.default_rng(label).integers(0, 200, 3)
            for number in range(count):
                pixels = (colour + generator.integers(0, 56, (32, 32, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tutorial_runs(cifar10: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    (cifar10 / "tutorial.py").write_text("\n".join(blocks))
    names = runpy.run_path(str(cifar10 / "tutorial.py"))
    assert names["answer"].label == names["test"].labels[0]
    assert names["why"].similarity == pytest.approx(names["answer"].neighbours[0].similarity, abs=1e-5)
    assert names["evaluation"].means()["recall@1"] > 0.9
    for picture in ("look.png", "map.png", "runs/cifar10/curves.png"):
        assert Image.open(cifar10 / picture).width > 300
