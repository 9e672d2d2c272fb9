"""A catalog as a PyTorch data set, and finding out which of its photos can be read."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from embedder.augment.views import check_settings, training_view
from embedder.config import AugmentSettings
from embedder.data.catalog import Catalog
from embedder.data.sampler import ClassBalancedSampler
from embedder.prefetch import prefetched
from embedder.randomness import keyed_generator
from eval.cores import available_cores
from eval.errors import InputError
from eval.images import BadImage, open_image, open_photo

Key = tuple[int, int, int]
"""Epoch, row and view: what a training photo is asked for by."""


class LostPhoto(InputError):  # noqa: N818 (it is the photo that is lost)
    """A photo that could be read when training began, and cannot any more."""

    def __init__(self, message: str) -> None:
        # A loader's worker hands an error on as the text of its traceback, whose last line is the message.
        super().__init__(message.rsplit(f"{LostPhoto.__name__}: ", 1)[-1].strip())


class TrainingPhotos(Dataset[tuple[torch.Tensor, int, int]]):
    """Random views of photos: item (epoch, row, view) is (uint8 [S, S, 3], class code, row).

    What happens to a photo depends on the seed, the epoch, its id and the view alone, so any number of workers gives
    the same pixels.
    """

    def __init__(self, catalog: Catalog, ids: list[str], augment: AugmentSettings, size: int, seed: int) -> None:
        """Check the settings.

        Args:
            catalog: the photos, all readable.
            ids: their photo ids.
            augment: what may happen to a photo.
            size: S, the side of a view in pixels.
            seed: of what happens.

        Raises:
            InputError: ``augment`` describes no view.
        """
        check_settings(augment)
        self._files = [str(catalog.file(row)) for row in range(len(catalog))]
        self._boxes, self._codes, self._ids = catalog.boxes, catalog.codes, ids
        self._augment, self._size, self._seed = augment, size, seed

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, key: Key) -> tuple[torch.Tensor, int, int]:
        """One view.

        Raises:
            LostPhoto: the photo cannot be read any more.
        """
        epoch, row, view = key
        try:
            image = open_image(self._files[row], self._boxes[row])
        except BadImage as error:
            raise LostPhoto(f"{error}; it could be read when training began") from None
        generator = keyed_generator("view", self._seed, epoch, self._ids[row], view)
        pixels = training_view(image, self._augment, self._size, generator)
        return torch.from_numpy(pixels), int(self._codes[row]), row


@dataclass(frozen=True)
class EpochBatches:
    """A DataLoader's ``batch_sampler``: the keys of the batches from one step of a run to another.

    Attributes:
        sampler: what makes an epoch's batches.
        first: the step to begin with, counted over all epochs.
        last: the step before which to end.
    """

    sampler: ClassBalancedSampler
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[Key]]:
        step = self.first
        while step < self.last:
            epoch, start = divmod(step, self.sampler.steps)
            for batch in self.sampler.batches(epoch)[start : start + self.last - step]:
                yield [(epoch, *draw) for draw in batch]
                step += 1


def check_photos(
    catalog: Catalog, on_bad_image: Literal["skip", "error"] = "skip"
) -> tuple[Catalog, list[str], list[dict[str, str]]]:
    """Decode every photo once, before training.

    Args:
        catalog: the photos.
        on_bad_image: leave out those that cannot be read, or refuse the catalog.

    Returns:
        The catalog of the readable photos, their ids, and those left out, each as ``{"path", "reason"}``.

    Raises:
        InputError: no photo can be read, or one cannot and ``on_bad_image`` is ``error``.
    """
    threads = available_cores()
    outcomes = prefetched(lambda row: _identify(catalog, row), range(len(catalog)), threads, ahead=8 * threads)
    bar = tqdm(outcomes, "checking photos", len(catalog), unit="photo", delay=2, file=sys.stderr, dynamic_ncols=True)
    ids: list[str] = []
    left_out: list[dict[str, str]] = []
    readable = np.ones(len(catalog), dtype=bool)
    for row, outcome in enumerate(bar):
        if isinstance(outcome, str):
            ids.append(outcome)
        else:
            readable[row] = False
            left_out.append({"path": catalog.paths[row], "reason": outcome.reason})
    if left_out and (on_bad_image == "error" or not ids):
        first = left_out[0]
        raise InputError(
            f"{len(left_out)} of {len(catalog)} photos in {catalog.root} cannot be read (first: {first['path']}: "
            f"{first['reason']})"
        )
    return catalog.select(readable), ids, left_out


def _identify(catalog: Catalog, row: int) -> str | BadImage:
    """The id of one photo, or why it cannot be read."""
    try:
        return open_photo(catalog.file(row), catalog.box(row))[0]
    except BadImage as error:
        return error
