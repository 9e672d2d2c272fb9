"""What bench/parts.py sees of photos."""

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt

from bench.parts import BATCH, Photo, at_mark, look, on_average_at_mark, strongest_places, telling_part
from embedder.config import ModelSettings
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
