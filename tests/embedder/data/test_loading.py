import threading
import time

import pytest
import torch

from embedder.config import AugmentSettings
from embedder.data.catalog import read_catalog
from embedder.data.loading import batches_ahead, make_loader
from embedder.data.photos import EpochBatches, TrainingPhotos, check_photos
from embedder.data.sampler import ClassBalancedSampler


@pytest.fixture
def photos(photo_folder):
    catalog, ids, _ = check_photos(read_catalog(photo_folder))
    return TrainingPhotos(catalog, ids, AugmentSettings(), 8, 0)


def batches(photos, count):
    return EpochBatches(ClassBalancedSampler(photos.codes, 4, 2, 0), 0, count)


@pytest.mark.parametrize(("ahead", "made"), [(0, 1), (2, 3)])
def test_so_many_batches_are_made_ahead(photos, monkeypatch, ahead, made):
    view, seen = TrainingPhotos.view, []
    monkeypatch.setattr(TrainingPhotos, "view", lambda self, key: seen.append(key) or view(self, key))
    loader = make_loader(photos, batches(photos, 6), ahead=ahead)
    next(loader)
    until = time.monotonic() + 20
    while len(seen) < 4 * made and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.2)  # no more come
    assert len(seen) == 4 * made
    assert len(list(loader)) == 5
    assert len(seen) == 24


def test_batches_are_made_ahead_of_a_gpu_alone():
    assert batches_ahead(torch.device("cpu")) == 0
    assert batches_ahead(torch.device("cuda")) > 0


def test_batches_come_in_order(photos):
    rows = [rows.tolist() for _, _, rows in make_loader(photos, batches(photos, 6), workers=3, ahead=2)]
    assert rows == [[row for _, row, _ in keys] for keys in batches(photos, 6)]


def test_types(photos):
    images, codes, rows = next(make_loader(photos, batches(photos, 1)))
    assert (images.dtype, codes.dtype, rows.dtype) == (torch.uint8, torch.int64, torch.int64)
    assert images.shape == (4, 8, 8, 3)
    assert codes.tolist() == photos.codes[rows.numpy()].tolist()


def test_a_run_on_a_cpu_leaves_the_gpu_beside_it_alone(photos, monkeypatch):
    """Memory from which a GPU copies needs one, and a context on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert len(list(make_loader(photos, batches(photos, 2)))) == 2


def test_leaving_early_stops_the_threads(photos):
    before = threading.active_count()
    loader = make_loader(photos, batches(photos, 6), workers=3, ahead=2)
    next(loader)
    loader.close()
    assert threading.active_count() == before
