"""Random views of a catalog's photos, and finding out which of them can be read."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from embedder.augment.pose import Subject, check_keypoints, subjects
from embedder.augment.views import check_settings, training_view, view_subject
from embedder.config import AugmentSettings, Config
from embedder.data.catalog import Catalog
from embedder.data.sampler import ClassBalancedSampler
from embedder.data.squares import Squares, make_squares, square_side
from embedder.prefetch import prefetched
from embedder.preprocess import MARGIN
from embedder.randomness import keyed_generator
from embedder.ranks import ALONE, Ranks
from eval.cores import available_cores
from eval.errors import InputError
from eval.files import at_home
from eval.images import BadImage, OnBadImage, in_cut, open_photo, open_scaled

Key = tuple[int, int, int]
"""Epoch, row and view: what a training photo is asked for by."""

BAR: dict[str, Any] = {"desc": "checking photos", "unit": "photo", "delay": 2, "dynamic_ncols": True}


class LostPhoto(InputError):  # noqa: N818 (it is the photo that is lost)
    """A photo that could be read when training began, and cannot any more."""


class TrainingPhotos:
    """Random views of photos.

    What happens to a photo depends on the seed, the epoch, its id and the view alone, so any number of threads gives
    the same pixels.

    Attributes:
        size: S, the side of a view in pixels.
        codes: ``[N]``, the class of each photo, from 0.
        boxed: bool ``[N]``, whether it is cut out by a box.
    """

    def __init__(
        self,
        catalog: Catalog,
        ids: list[str],
        augment: AugmentSettings,
        size: int,
        seed: int,
        squares: Squares | None = None,
    ) -> None:
        """Check the settings.

        Args:
            catalog: the photos, all readable.
            ids: their photo ids.
            augment: what may happen to a photo.
            size: S, the side of a view in pixels.
            seed: of what happens.
            squares: the photos, where they have been decoded already.

        Raises:
            InputError: ``augment`` describes no view, or needs keypoints that are not there.
        """
        check_settings(augment)
        check_keypoints(augment, catalog)
        self._files = [str(catalog.file(row)) for row in range(len(catalog))]
        self._boxes, self._ids, self._subjects = catalog.boxes, ids, subjects(catalog)
        self.size, self.codes = size, catalog.codes
        self.boxed = np.array([box is not None for box in self._boxes], bool)
        self._augment, self._seed, self._squares = augment, seed, squares
        self._enough = _enough(augment, size)

    def __len__(self) -> int:
        return len(self._files)

    def view(self, key: Key) -> NDArray[np.uint8]:
        """One view, uint8 ``[S, S, 3]``.

        Raises:
            LostPhoto: the photo cannot be read any more.
        """
        image, shape, subject = self._photo(key[1])
        return training_view(image, self._augment, self.size, self._generator(key), shape, subject)

    def keypoints(self, key: Key) -> NDArray[np.float64] | None:
        """Where the keypoints lie in one view: x, y in its pixels and whether they can be seen, ``[K, 3]``.

        In a mirrored view left and right ones have changed places. None where the photo has no keypoints. For who
        trains something else beside; what is attended to is seen closer or painted over later, without them.

        Raises:
            LostPhoto: the photo cannot be read any more.
        """
        _, shape, subject = self._photo(key[1])
        if subject is None:
            return None
        return view_subject(subject, self._augment, self.size, self._generator(key), shape).points

    def _generator(self, key: Key) -> np.random.Generator:
        """The randomness of one view."""
        epoch, row, view = key
        return keyed_generator("view", self._seed, epoch, self._ids[row], view)

    def _photo(self, row: int) -> tuple[Image.Image, tuple[int, int], Subject | None]:
        """One photo, the width and height that it had when it was decoded, and its keypoints in pixels of that."""
        if self._squares:
            (image, shape), scale = self._squares[row], self._squares.scale(row)
        else:
            image, scale = self._decoded(row)
            shape = image.size
        subject = self._subjects[row]
        if subject is None:
            return image, shape, None
        places = in_cut(subject.points[:, :2], self._boxes[row], scale)
        points = np.concatenate([places, subject.points[:, 2:]], axis=1)
        return image, shape, Subject(points, subject.names).within((0, 0), shape)

    def _decoded(self, row: int) -> tuple[Image.Image, int]:
        """One photo from its file, and how many of its pixels across have become one."""
        try:
            return open_scaled(self._files[row], self._boxes[row], self._enough)
        except BadImage as error:
            raise LostPhoto(f"{error}; it could be read when training began") from None


@dataclass(frozen=True)
class EpochBatches:
    """The keys of a rank's share of the batches from one step of a run to another.

    Attributes:
        sampler: what makes an epoch's batches.
        first: the step to begin with, counted over all epochs.
        last: the step before which to end.
        ranks: who share each batch.
    """

    sampler: ClassBalancedSampler
    first: int
    last: int
    ranks: Ranks = ALONE

    def __len__(self) -> int:
        return self.last - self.first

    def __iter__(self) -> Iterator[list[Key]]:
        step = self.first
        while step < self.last:
            epoch, start = divmod(step, self.sampler.steps)
            for batch in self.sampler.batches(epoch)[start : start + self.last - step]:
                yield [(epoch, *draw) for draw in self.ranks.share(batch)]
                step += 1


def check_photos(
    catalog: Catalog, on_bad_image: OnBadImage = "skip", ranks: Ranks = ALONE, enough: int | None = None
) -> tuple[Catalog, list[str], list[dict[str, str]]]:
    """Decode every photo once, before training.

    Args:
        catalog: the photos.
        on_bad_image: leave out those that cannot be read, or refuse the catalog.
        ranks: those of a machine share the work.
        enough: pixels of the shorter side, with which a photo is decoded as ``open_image`` says; none for all.

    Returns:
        The catalog of the readable photos, their ids, and those left out, each as ``{"path", "reason"}``.

    Raises:
        InputError: no photo can be read, or one cannot and ``on_bad_image`` is ``error``.
    """
    threads = available_cores()

    def identify(rows: Sequence[int]) -> list[str | BadImage]:
        outcomes = prefetched(lambda row: _identify(catalog, row, enough), rows, threads, ahead=8 * threads)
        return [*tqdm(outcomes, total=len(rows), disable=not ranks.first, **BAR)]

    return _readable(catalog, ranks.on_this_machine(identify, len(catalog)), on_bad_image)


def load_training_photos(
    catalog: Catalog, config: Config, ranks: Ranks = ALONE
) -> tuple[Catalog, list[str], list[dict[str, str]], TrainingPhotos]:
    """Decode every photo once before training, and keep what comes of it where ``data.cache`` says so.

    Args:
        catalog: the photos.
        config: the run's settings.
        ranks: as for ``check_photos``.

    Returns:
        As of ``check_photos``, and the views of the readable photos.

    Raises:
        InputError: as for ``check_photos``, or ``augment`` describes no view.
    """
    data, augment, squares = config.data, config.augment, None
    size = data.size * (config.model.detail if config.model.look == "first" else 1)  # a second look is for later
    check_settings(augment)
    check_keypoints(augment, catalog)
    if data.cache is None:
        photos, ids, left_out = check_photos(catalog, data.on_bad_image, ranks, _enough(augment, size))
    else:
        side = square_side(size, augment.crop_share)
        with tqdm(total=len(catalog), disable=not ranks.first, **BAR) as bar:
            squares, outcomes = make_squares(catalog, side, at_home(data.cache), bar.update, ranks)
        photos, ids, left_out = _readable(catalog, outcomes, data.on_bad_image)
        squares = squares.select(np.array([isinstance(outcome, str) for outcome in outcomes], bool))
    return photos, ids, left_out, TrainingPhotos(photos, ids, augment, size, config.seed, squares)


def _readable(
    catalog: Catalog, outcomes: Iterable[str | BadImage], on_bad_image: OnBadImage
) -> tuple[Catalog, list[str], list[dict[str, str]]]:
    """What ``check_photos`` returns, given the id of each photo, or why it cannot be read."""
    ids: list[str] = []
    left_out: list[dict[str, str]] = []
    readable = np.ones(len(catalog), dtype=bool)
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            ids.append(outcome)
        else:
            readable[row] = False
            left_out.append({"path": catalog.paths[row], "reason": outcome.reason})
    if left_out and (on_bad_image == "error" or not ids):
        first = left_out[0]
        raise InputError(
            f"{len(left_out)} of {len(catalog)} photos in {catalog.root} cannot be read (first: {first['path']}: "
            f"{first['reason']}); mend them or take them out"
        )
    return catalog.select(readable), ids, left_out


def _enough(augment: AugmentSettings, size: int) -> int | None:
    """Pixels of a photo's shorter side, or its box's, that views have a use for; a head is a small part of all."""
    return None if augment.pose_head else round(MARGIN * square_side(size, augment.crop_share))


def _identify(catalog: Catalog, row: int, enough: int | None) -> str | BadImage:
    """The id of one photo, or why it cannot be read."""
    try:
        return open_photo(catalog.file(row), catalog.box(row), enough)[0]
    except BadImage as error:
        return error
