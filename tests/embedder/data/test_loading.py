from embedder.config import AugmentSettings
from embedder.data.catalog import read_catalog
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches, TrainingPhotos, check_photos
from embedder.data.sampler import ClassBalancedSampler


def test_workers_are_started_afresh(photo_folder):
    """A process forked from one whose threads are running may hang."""
    catalog, ids, _ = check_photos(read_catalog(photo_folder))
    photos = TrainingPhotos(catalog, ids, AugmentSettings(), 8, 0)
    batches = EpochBatches(ClassBalancedSampler(catalog.codes, 4, 2, 0), 0, 2)
    assert make_loader(photos, batches, 1).multiprocessing_context.get_start_method() == "spawn"
    assert make_loader(photos, batches, 0).multiprocessing_context is None
