"""What bench/parts.py sees of photos."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

from bench import parts
from bench.differences import read_results
from bench.parts import (
    BATCH,
    DIFFERENT,
    PAIRS,
    Photo,
    at_mark,
    look,
    new_photos,
    on_average_at_mark,
    strongest_places,
    telling_part,
)
from embedder.config import ModelSettings
from embedder.data.drawing.species import differences
from embedder.model.network import Output, build_network
from embedder.preprocess import Preprocessing


def test_photos_are_seen_alike_whatever_their_number() -> None:
    network = build_network(ModelSettings("timm:test_resnet", "random", parts=4)).eval()
    random = np.random.default_rng(0)
    photos = [Image.fromarray(random.integers(0, 256, (40, 40, 3), np.uint8)) for _ in range(BATCH + 3)]
    preprocessing = Preprocessing(size=64)
    every, last = look(network, preprocessing, photos), look(network, preprocessing, photos[-3:])
    assert len(every.vector) == len(every.parts) == len(every.part_features) == BATCH + 3
    for name in ("vector", "features", "parts", "part_features"):
        torch.testing.assert_close(getattr(every, name)[-3:], getattr(last, name))


def test_what_a_map_points_at_is_held_against_the_mark() -> None:
    """A mark right of the middle and above it, in photos of 40 pixels and a map of 4 x 4 places."""
    maps = torch.zeros(2, 4, 4)
    maps[0, 1, 3] = maps[1, 3, 1] = 1.0
    points = strongest_places(maps)
    assert points.tolist() == [[0.875, 0.375], [0.375, 0.875]]
    mark = np.zeros((40, 40), bool)
    mark[15, 30] = True
    bird = np.zeros((40, 40), bool)
    bird[15, 20:40] = True
    photo = Photo(Image.new("RGB", (40, 40)), distance_transform_edt(~mark), bird, np.zeros(2))
    assert [at_mark(photo, point, 0.5 / 4) for point in points] == [1.0, 0.0]
    assert at_mark(photo, points[0], 0.1) == 0.0
    assert on_average_at_mark(photo, 0.1) == 9 / 20


def test_the_part_that_tells_is_where_means_are_far_apart_for_their_spread() -> None:
    generator = torch.Generator().manual_seed(0)
    known = []
    for shift in (0.0, 1.0):
        features = torch.randn(50, 3, 4, generator=generator) * torch.tensor([1.0, 0.1, 9.0])[None, :, None]
        features[:, :, 0] += shift * torch.tensor([1.0, 1.0, 5.0])
        known.append(Output(*[torch.zeros(50)] * 3, part_features=features))
    assert telling_part(known) == 1


@pytest.mark.parametrize("mark", PAIRS)
def test_both_of_a_pair_are_drawn_alike_but_for_the_mark(mark: str) -> None:
    assert differences(*PAIRS[mark]) == [mark]
    photos = new_photos(PAIRS[mark], range(70_000, 70_004))
    half = len(photos) // 2
    assert half >= 2
    for one, other in zip(photos[:half], photos[half:], strict=True):
        apart = np.abs(np.asarray(one.image, int) - np.asarray(other.image, int)).max(axis=2)
        assert (one.distance == 0).tolist() == (apart > DIFFERENT).tolist() == (other.distance == 0).tolist()
        assert 0 < (one.distance == 0).mean() < 0.1
        assert (one.bird == other.bird).mean() > 0.97
        assert one.bird[one.distance == 0].mean() > 0.5  # a mark is on the bird, or lengthens it


def test_a_training_that_has_results_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Points of the first seed are at the mark in half of the photos, of the second in all."""
    names = [*parts.COLUMNS, *(f"{name}, more room" for name in parts.COLUMNS[:3])]
    trained: list[int] = []

    def scored(_: Path, seed: int, __: Namespace) -> dict[str, dict[str, list[float]]]:
        trained.append(seed)
        first = {name: [1.0, float(seed)] for name in names}
        return {mark: {**first, "random point": [0.25, 0.25]} for mark in ("brow", "cap")}

    monkeypatch.setattr(parts, "draw_training", lambda *_: None)
    monkeypatch.setattr(parts, "settings", lambda *_: None)
    monkeypatch.setattr(parts, "fit", lambda _, run: run)
    monkeypatch.setattr(parts, "scored", scored)

    def measure(**changes: object) -> str:
        wanted = {"folder": tmp_path, "seeds": 1, "run": "run", "photos": 32, "results": tmp_path / "parts.jsonl"}
        parts.measure(Namespace(**wanted | changes))
        return capsys.readouterr().out

    assert "strongest 0.50, random point 0.25 (2.00 times), middle 0.50" in measure()
    both = measure(seeds=2)
    assert trained == [0, 1]
    assert len(read_results(tmp_path / "parts.jsonl")) == 2
    assert "| brow | 2 | 0.75 | 0.25 | 0.75 |" in both
    assert "| all, second | 2 | 0.50 | 0.25 |" in both
    assert "seed 1: strongest 1.00, random point 0.25 (4.00 times)" in both
    with pytest.raises(ValueError, match="holds results of another kind"):
        measure(photos=8)
