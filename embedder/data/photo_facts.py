"""Every photo of a catalog opened once: whether it can be read, its id, its size, what it looks like."""

import sys
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from embedder.data.catalog import Catalog
from embedder.prefetch import prefetched
from eval.cores import available_cores
from eval.images import BadImage, open_image, photo_id, picture_hash, read_file, thumbnail

THUMBNAIL = 160
"""Pixels of the longer side of what is kept of a photo that is shown."""


@dataclass(frozen=True)
class PhotoFacts:
    """What the photos are, some 50 bytes each.

    Attributes:
        ids: ``[N]``, their ids as bytes; empty where one cannot be read.
        sizes: ``[N, 2]`` width and height of the whole upright photo in pixels; 0 where it cannot be read.
        pictures: ``[N]`` uint64, what they, or their boxes, look like, by ``eval.images.picture_hash``.
        pictured: ``[N]``, whether that is known: it is not where a photo cannot be read or its box holds nothing of it.
        reasons: why a photo cannot be read, by row.
        samples: thumbnails of those that were asked for, by row.
    """

    ids: NDArray[np.bytes_]
    sizes: NDArray[np.int32]
    pictures: NDArray[np.uint64]
    pictured: NDArray[np.bool_]
    reasons: dict[int, str]
    samples: dict[int, bytes]

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which photos can be read ``[N]``."""
        return self.sizes[:, 0] > 0


class _Photo(NamedTuple):
    """The same of one photo."""

    id: str
    size: tuple[int, int]
    picture: int | None
    thumbnail: bytes | None


def look_at(catalog: Catalog, samples: Container[int] = ()) -> PhotoFacts:
    """Decode every photo once, on all cores and in flat memory.

    Args:
        catalog: the photos.
        samples: the rows of which to keep a thumbnail.
    """
    count, threads = len(catalog), available_cores()
    facts = PhotoFacts(
        ids=np.zeros(count, "S32"),
        sizes=np.zeros((count, 2), np.int32),
        pictures=np.zeros(count, np.uint64),
        pictured=np.zeros(count, bool),
        reasons={},
        samples={},
    )
    boxes, paths = catalog.boxes, catalog.paths  # made once, not by every thread

    def look(row: int) -> _Photo | BadImage:
        try:
            content = read_file(catalog.root / paths[row])
            image = open_image(content)
        except BadImage as error:
            return error
        return _seen(photo_id(content, boxes[row]), image, lambda: open_image(image, boxes[row]), row in samples)

    outcomes = prefetched(look, range(count), threads, ahead=8 * threads)
    bar = tqdm(outcomes, "looking at photos", count, unit="photo", delay=2, file=sys.stderr, dynamic_ncols=True)
    for row, outcome in enumerate(bar):
        if isinstance(outcome, BadImage):
            facts.reasons[row] = outcome.reason
            continue
        facts.ids[row], facts.sizes[row] = outcome.id.encode(), outcome.size
        if outcome.picture is not None:
            facts.pictures[row], facts.pictured[row] = outcome.picture, True
        if outcome.thumbnail is not None:
            facts.samples[row] = outcome.thumbnail
    return facts


def _seen(name: str, whole: Image.Image, cut: Callable[[], Image.Image], wanted: bool) -> _Photo:
    """What there is to know of an open photo; of one whose box holds nothing, its size alone."""
    try:
        subject = cut()
    except BadImage:
        return _Photo(name, whole.size, None, None)
    return _Photo(name, whole.size, picture_hash(subject), thumbnail(subject, THUMBNAIL) if wanted else None)
