"""Training photos loaded by processes beside the training."""

import signal

import torch
from torch.utils.data import DataLoader

from embedder.data.photos import EpochBatches, TrainingPhotos


def make_loader(photos: TrainingPhotos, batches: EpochBatches, workers: int) -> DataLoader:
    """Load batches ahead of the training, in ``workers`` processes (0: in this one).

    One loader serves the whole run, so the workers go on loading while an epoch ends and is validated. They are started
    afresh (spawn): a process forked from one whose threads are running may hang.
    """
    return DataLoader(
        photos,
        batch_sampler=batches,
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_start_worker if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


def _start_worker(worker: int) -> None:
    """Leave the cores to the training, and SIGTERM too, which torch makes its workers hear again after they start."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
