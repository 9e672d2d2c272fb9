"""Batches of training photos, made by threads of the training's own process."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from embedder.data.photos import Key, TrainingPhotos
from embedder.prefetch import batched
from eval.cores import available_cores
from eval.stages import waiting

AT_ONCE = 4
"""Photos that a thread takes on together."""

BESIDE_GPU = 8
"""Batches that are made ahead while a GPU computes."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Views uint8 ``[B, S, S, 3]``, class codes ``[B]`` and rows ``[B]``."""


def batches_ahead(device: torch.device) -> int:
    """How many batches to make before they are asked for, where a network computes on that device."""
    return 0 if device.type == "cpu" else BESIDE_GPU


def make_loader(
    photos: TrainingPhotos, batches: Iterable[list[Key]], workers: int = 0, ahead: int = 0
) -> Iterator[Batch]:
    """Yield batches of views.

    Threads are enough: Pillow lets go of Python's lock. On a CPU a batch is made when it is asked for (``ahead`` 0), by
    all cores at once: whatever else runs while a network computes on all of them holds up each of its layers, and costs
    twice its own time. Beside a GPU batches are made ahead.

    Args:
        photos: the views.
        batches: which ones, in which batches.
        workers: threads; 0 for one a core. Any number gives the same pixels.
        ahead: batches that are made before they are asked for.

    Raises:
        LostPhoto: a photo cannot be read any more.
    """
    pinned = ahead > 0 and torch.cuda.is_available()  # such memory is copied to a GPU while it computes
    pool = ThreadPoolExecutor(workers or available_cores())
    begun: deque[tuple[Batch, list[Future[None]]]] = deque()
    try:
        for keys in batches:
            begun.append(_begin(pool, photos, keys, pinned))
            if len(begun) > ahead:
                yield _finished(*begun.popleft())
        while begun:
            yield _finished(*begun.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(
    pool: ThreadPoolExecutor, photos: TrainingPhotos, keys: list[Key], pinned: bool
) -> tuple[Batch, list[Future[None]]]:
    """Have threads fill a batch."""
    images = torch.empty((len(keys), photos.size, photos.size, 3), dtype=torch.uint8, pin_memory=pinned)
    rows = np.array([row for _, row, _ in keys], np.int64)
    pixels = images.numpy()

    def fill(places: Iterable[int]) -> None:
        for place in places:
            pixels[place] = photos.view(keys[place])

    work = [pool.submit(fill, places) for places in batched(range(len(keys)), AT_ONCE)]
    return (images, torch.from_numpy(photos.codes[rows]), torch.from_numpy(rows)), work


def _finished(batch: Batch, work: list[Future[None]]) -> Batch:
    """A batch that threads have filled."""
    with waiting():
        for one in work:
            one.result()
    return batch
