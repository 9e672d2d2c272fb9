"""What another embedder of the same run costs, and what it saves: measured on photos, side by side."""

import time
from dataclasses import dataclass
from functools import partial
from math import ceil
from statistics import median

import numpy as np

from embedder.batches import embed_whole
from embedder.data.catalog import Catalog
from embedder.prefetch import prefetched
from embedder.runtime import BATCH, Embedder
from eval.bootstrap import Interval
from eval.compare import compare
from eval.errors import InputError

ROUNDS = 3
"""How often the speeds are measured, in turns."""

TIMED = 8
"""Batches in a round, at least; as many for each core."""

BYTES_A_NUMBER = 4


@dataclass(frozen=True)
class Cost:
    """Two embedders, before and after.

    Attributes:
        recall_before: recall@1 of the photos among each other.
        recall_after: likewise.
        difference: after less before, with an interval that is paired by query and resamples whole classes.
        queries: how many photos were measured.
        speed_before: photos a second that the network takes on all cores of this machine.
        speed_after: likewise.
        bytes_before: of a reference's vector.
        bytes_after: likewise.
        file_before: bytes of the embedder.
        file_after: likewise.
    """

    recall_before: float
    recall_after: float
    difference: Interval
    queries: int
    speed_before: float
    speed_after: float
    bytes_before: int
    bytes_after: int
    file_before: int
    file_after: int

    def __str__(self) -> str:
        """For people."""
        low, high = self.difference.low, self.difference.high
        return "\n".join(
            [
                f"{'':22} {'before':>10} {'after':>10}",
                f"{'recall@1':22} {self.recall_before:10.3f} {self.recall_after:10.3f}   "
                f"({self.difference.mean:+.3f}, from {low:+.3f} to {high:+.3f}; {self.queries} photos)",
                f"{'photos/s, network':22} {self.speed_before:10.1f} {self.speed_after:10.1f}   "
                f"({self.speed_after / self.speed_before:.2f} times)",
                f"{'bytes a reference':22} {self.bytes_before:10,} {self.bytes_after:10,}",
                f"{'file, MB':22} {self.file_before / 1e6:10.1f} {self.file_after / 1e6:10.1f}",
            ]
        )


def measure(before: Embedder, after: Embedder, photos: Catalog) -> Cost:
    """Embed labelled photos by both, and compare.

    Args:
        before: an embedder.
        after: another one.
        photos: that neither was trained on, with others of their classes among them.

    Raises:
        InputError: no photo can be read, or none has another one of its class.
    """
    first, second = (embed_whole(one, photos)[0].labelled() for one in (before, after))
    comparison = compare(first, second, ks=(1,))
    if not comparison.queries:
        raise InputError(f"no photo in {photos.root} has another one of its class, so recall@1 cannot be measured")
    speeds = _speeds(before, after)
    recall_before, recall_after = comparison.means["recall@1"]
    return Cost(
        recall_before=recall_before,
        recall_after=recall_after,
        difference=comparison.differences["recall@1"],
        queries=comparison.queries,
        speed_before=speeds[0],
        speed_after=speeds[1],
        bytes_before=BYTES_A_NUMBER * before.dimension,
        bytes_after=BYTES_A_NUMBER * after.dimension,
        file_before=before.path.stat().st_size,
        file_after=after.path.stat().st_size,
    )


def _speeds(*embedders: Embedder) -> list[float]:
    """Photos a second of each network, each core with photos of its own as in ``embed_catalog``."""
    rounds = [[_speed(one) for one in embedders] for _ in range(ROUNDS + 1)][1:]  # the first one warms up
    return [median(found) for found in zip(*rounds, strict=True)]


def _speed(embedder: Embedder) -> float:
    """Photos a second."""
    shape = BATCH, *embedder.preprocessing.shape
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    batches = [pixels] * (embedder.cores * ceil(TIMED / embedder.cores))
    start = time.perf_counter()
    work = prefetched(partial(Embedder.vectors, embedder.on_one_core), batches, embedder.cores, len(batches))
    count = sum(map(len, work))
    return count / (time.perf_counter() - start)
