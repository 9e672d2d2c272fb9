from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.figures import FIGURES, draw

BETWEEN = {
    "edges": [0.0, 0.5, 1.0], "same": [0.2, 0.8], "other": [0.9, 0.1], "threshold": 0.6, "known_accepted": 0.7,
    "unknown_accepted": 0.05, "curve": [(0.0, 0.0), (0.05, 0.7), (1.0, 1.0)], "auroc": 0.9,
}  # fmt: skip
SAID = {
    "recall": [[1, 0.8, 0.7, 0.9], [2, 0.9, 0.85, 0.95]],
    "separation": BETWEEN,
    "points": {"codes": np.array([0, 0, 1, -1])},
}
PLACES = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def test_all_figures_are_drawn_for_print(tmp_path: Path) -> None:
    made = draw(SAID, PLACES, tmp_path)
    assert [file.name for file in made] == list(FIGURES)
    for file in made:
        image = Image.open(file).convert("RGB")
        assert image.width >= 800
        assert len(image.getcolors(1 << 24)) > 10
    classes = Image.open(tmp_path / "map.png").convert("RGB").getcolors(1 << 24)
    assert len([colour for count, colour in classes if count > 20 and colour != (255, 255, 255)]) >= 3


def test_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    for one, two in zip(draw(SAID, PLACES, tmp_path), draw(SAID, PLACES, tmp_path / "again"), strict=True):
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(("said", "names"), [
    ({**SAID, "recall": SAID["recall"][:1]}, FIGURES[1:]),
    ({**SAID, "separation": None}, ("recall.png", "map.png")),
    ({**SAID, "separation": {**BETWEEN, "threshold": None, "known_accepted": None, "unknown_accepted": None}}, FIGURES),
])  # fmt: skip
def test_what_there_is_not_is_not_drawn(said: dict, names: tuple[str, ...], tmp_path: Path) -> None:
    assert [file.name for file in draw(said, PLACES, tmp_path)] == list(names)
