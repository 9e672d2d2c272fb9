import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import get_data_path
from matplotlib.figure import Figure
from PIL import Image

from eval.figures import EVIDENCE, FIGURES, _map, draw, draw_evidence

BETWEEN = {
    "edges": [0.0, 0.5, 1.0], "same": [0.2, 0.8], "other": [0.9, 0.1], "threshold": 0.6, "estimated": False,
    "known_accepted": 0.7,
    "unknown_accepted": 0.05, "curve": [(0.0, 0.0), (0.05, 0.7), (1.0, 1.0)], "auroc": 0.9,
}  # fmt: skip
SAID = {
    "recall": [[1, 0.8, 0.7, 0.9], [2, 0.9, 0.85, 0.95]],
    "separation": BETWEEN,
    "points": {"codes": np.array([0, 0, 1, -1])},
    "class_names": ["one", "_$two$"],
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


def test_a_typeface_is_taken_from_where_the_system_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fonts").mkdir()
    shutil.copy(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", tmp_path / "fonts" / "OfThisSystem.ttf")
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.setattr("eval.figures.typeface_for", lambda _: "OfThisSystem.ttf")
    assert [file.name for file in draw(SAID, PLACES, tmp_path)] == list(FIGURES)


def test_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    for one, two in zip(draw(SAID, PLACES, tmp_path), draw(SAID, PLACES, tmp_path / "again"), strict=True):
        assert one.read_bytes() == two.read_bytes()


def drawn_map(codes: list[int], names: list[str], places: list[tuple[float, float]]) -> Any:
    """The map as it is before it becomes pixels: its axes."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    _map(figure.subplots(), np.array(places, np.float32), np.array(codes, np.int32), names)
    return figure.axes[0]


def test_the_map_names_classes_above_their_points() -> None:
    """Whole also at the edge, as they are whatever is in them, and in the legend; none over another one."""
    names = ["_at the very left$x$", "right_of_everything_else", "not there", "right too"]
    places = [(0.0, 0.0), (0.0, 1.0), (100.0, 0.0), (100.0, 1.0), (100.0, 0.1), (50.0, 70.0)]
    axes = drawn_map([0, 0, 1, 1, 3, -1], names, places)
    axes.figure.draw_without_rendering()
    assert [text.get_text() for text in axes.texts] == names[:2]  # "right too" has no room
    for text, top in zip(axes.texts, [(0, 1), (100, 1)], strict=True):
        box, edge = text.get_window_extent(), axes.get_window_extent()
        assert box.x0 >= edge.x0 - 0.5 and box.x1 <= edge.x1 + 0.5
        assert box.y0 > axes.transData.transform(top)[1]
    (legend,) = axes.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*names[:2], names[3]]
    many = [f"class {code}" for code in range(30)]
    axes = drawn_map([*range(30)], many, [(code % 6, code // 6) for code in range(30)])
    assert not axes.figure.legends and len(axes.texts) > 10


@pytest.mark.parametrize(("said", "names"), [
    ({**SAID, "recall": SAID["recall"][:1]}, FIGURES[1:]),
    ({**SAID, "separation": None}, ("recall.png", "map.png")),
    ({**SAID, "separation": {**BETWEEN, "threshold": None, "known_accepted": None, "unknown_accepted": None}}, FIGURES),
])  # fmt: skip
def test_what_there_is_not_is_not_drawn(said: dict, names: tuple[str, ...], tmp_path: Path) -> None:
    assert [file.name for file in draw(said, PLACES, tmp_path)] == list(names)


def test_the_evidence_is_in_contact_sheets(tmp_path: Path) -> None:
    """Also where a photo is gone, whose name stands in its place."""
    red, green = (io.BytesIO() for _ in range(2))
    Image.new("RGB", (50, 40), "#c00000").save(red, "JPEG")
    Image.new("RGB", (50, 40), "#00c000").save(green, "JPEG")
    worst = [{"query": 0, "score": 0.0, "near": [[1, 0.9, True], [2, 0.8, False]]}]
    shown = {str(number): {"name": f"{number}.jpg", "code": number - 1} for number in range(3)}
    pair = {"forth": 2, "back": 1, "queries": 9, "mistakes": [[0, 1, 0.9]]}
    said = {"worst": worst, "best": worst, "confusions": [pair], "shown": shown, "class_names": ["one", "two"]}
    photos = {0: red.getvalue(), 1: green.getvalue()}
    draw_evidence(said, photos, tmp_path)
    for name in EVIDENCE:
        counts = {colour: count for count, colour in Image.open(tmp_path / name).convert("RGB").getcolors(1 << 24)}
        assert sum(count for (r, g, b), count in counts.items() if r > 180 and g < 20 and b < 20) > 20_000
        assert sum(count for (r, g, b), count in counts.items() if g > 180 and r < 20 and b < 20) > 10_000
        (tmp_path / name).unlink()
    draw_evidence({**said, "worst": [], "best": [], "confusions": []}, photos, tmp_path)
    assert list(tmp_path.iterdir()) == []
