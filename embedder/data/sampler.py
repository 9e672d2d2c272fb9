"""Class-balanced batches as a function of (seed, epoch)."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, count, islice
from math import ceil, lcm
from typing import NamedTuple

import numpy as np

from embedder.randomness import keyed_generator
from eval.errors import InputError


class Draw(NamedTuple):
    """One photo of a batch.

    Attributes:
        row: the photo.
        view: how often it was drawn before in the same epoch; tells its random views apart.
    """

    row: int
    view: int


def classes_in_batch(batch_size: int, photos_per_class: int) -> int:
    """How many classes a batch has room for.

    Raises:
        InputError: fewer than two.
    """
    room = batch_size // max(photos_per_class, 1)
    if photos_per_class < 1 or room < 2:
        raise InputError(
            f"train.batch_size {batch_size} with train.photos_per_class {photos_per_class} leaves room for {room} "
            "classes in a batch; two at least are needed, so raise the one or lower the other"
        )
    return room


class ClassBalancedSampler:
    """Batches of several photos of each of several classes (Hermans et al. 2017, section 2: P classes x K photos).

    An epoch is about one pass over the photos, or one over the classes where that is longer. In it every class is drawn
    equally often, to within one, and at most once a batch. A class walks through its photos in a random order that goes
    on from epoch to epoch, so that all its photos are used equally often, to within one; a batch holds a photo twice
    only where the class has fewer than it needs. Nothing depends on what was asked for before.

    Attributes:
        steps: batches an epoch.
        classes_per_batch: P; fewer than the batch has room for where there are not as many classes.
        photos_per_class: K.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, photos_per_class: int, seed: int) -> None:
        """Count the photos of each class.

        Args:
            labels: the class of each photo, int [N].
            batch_size: photos a batch at most; what is left over after whole classes stays empty.
            photos_per_class: photos of one class in a batch.
            seed: of the order.

        Raises:
            InputError: a batch would hold fewer than two classes.
        """
        counts = np.unique(labels, return_counts=True)[1]
        by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        self._photos = [photos for photos in by_class if len(photos)]
        self._seed = seed
        room = classes_in_batch(batch_size, photos_per_class)
        if len(self._photos) < 2:
            raise InputError(
                f"{len(self._photos)} classes to train on; two at least are needed, so add photos of others"
            )
        self.photos_per_class = photos_per_class
        self.classes_per_batch = min(room, len(self._photos))
        one_pass = round(len(labels) / (self.classes_per_batch * photos_per_class))
        self.steps = max(one_pass, ceil(len(self._photos) / self.classes_per_batch))

    @property
    def batch_size(self) -> int:
        """Photos in each batch."""
        return self.classes_per_batch * self.photos_per_class

    def batches(self, epoch: int) -> list[list[Draw]]:
        """The batches of one epoch, each of ``classes_per_batch`` x ``photos_per_class`` draws."""
        walks = [self._walk(label, turn) for label, turn in enumerate(self._turns_before(epoch))]
        views = Counter[int]()
        batches = []
        for classes in self._class_batches(epoch):
            batch = []
            for row in chain.from_iterable(islice(walks[label], self.photos_per_class) for label in classes):
                batch.append(Draw(row, views[row]))
                views[row] += 1
            batches.append(batch)
        return batches

    def _class_batches(self, epoch: int) -> np.ndarray:
        """The classes of each batch [steps, P], none twice in one.

        Whole rounds through all classes in random order follow the epoch's extra classes, and the whole is cut into
        batches. Where a batch begins in one round and ends in the next, the classes that it already holds wait.
        """
        generator = keyed_generator("classes", self._seed, epoch)
        size, total = self.classes_per_batch, len(self._photos)
        rounds, extras = divmod(self.steps * size, total)
        pieces = [self._ring()[np.arange(epoch * extras, (epoch + 1) * extras) % total]]
        for number in range(rounds):
            begun = pieces[-1][len(pieces[-1]) - (extras + number * total) % size :]
            shuffled = generator.permutation(total)
            held = np.isin(shuffled, begun)
            free, waiting = shuffled[~held], shuffled[held]
            rest = generator.permutation(np.concatenate([free[size - len(begun) :], waiting]))
            pieces.append(np.concatenate([free[: size - len(begun)], rest]))
        return generator.permutation(np.concatenate(pieces).reshape(self.steps, size))

    def _ring(self) -> np.ndarray:
        """The order [C] in which classes take turns at being the epochs' extra ones, those left over from rounds."""
        return keyed_generator("extra classes", self._seed).permutation(len(self._photos))

    def _turns_before(self, epoch: int) -> np.ndarray:
        """How often each class was drawn in all earlier epochs [C]."""
        total = len(self._photos)
        rounds, extras = divmod(self.steps * self.classes_per_batch, total)
        turns = np.empty(total, dtype=np.int64)
        turns[self._ring()] = epoch * rounds + (epoch * extras + np.arange(total)[::-1]) // total
        return turns

    def _walk(self, label: int, turn: int) -> Iterator[int]:
        """The rows that a class gives from one of its turns on, without end.

        One order is gone through again and again until a turn ends where the order does, and is then shuffled: so the
        photos of a turn are distinct, and each is used once before any is used twice.
        """
        photos = self._photos[label]
        period = lcm(len(photos), self.photos_per_class)
        first, start = divmod(turn * self.photos_per_class, period)
        for number in count(first):
            order = keyed_generator("photos", self._seed, label, number).permutation(photos)
            for place in range(start, period):
                yield int(order[place % len(photos)])
            start = 0
