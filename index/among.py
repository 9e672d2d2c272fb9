"""Answering by some of the references alone: those of some labels."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError, unknown
from eval.neighbours import ranked
from eval.vote import VOTERS
from index.answer import Answer
from index.judging import uncalibrated
from index.search import Index
from index.vectors import directions

AT_ONCE = 1 << 16
"""References whose vectors are read at once."""


def rows_with(index: Index, labels: Collection[str]) -> NDArray[np.int64]:
    """The references that have one of some labels, however these are spelt in Unicode; ascending.

    Raises:
        InputError: no reference has one of them.
    """
    (known, codes), places = index.classes, []
    for label in labels:
        name = index.spellings.find(label)
        if name is None:
            raise unknown("label", label, known)
        places.append(bisect_left(known, name))
    return np.flatnonzero(np.isin(codes, places))


def judge_among(
    index: Index,
    vector: NDArray[np.floating],
    labels: Sequence[str],
    k: int = 10,
    own_ids: Collection[str | None] = frozenset(),
) -> Answer:
    """Answer a photo whose vector is known by the references of some labels, exactly; see ``Index.judge``.

    What is calibrated stays None: a calibration is of the whole index, and says nothing of a part of it.

    Args:
        index: where to look.
        vector: ``[D]``, as for ``Index.judge``.
        labels: of the references that are looked at.
        k: neighbours to show.
        own_ids: name the photos, to know them among the references.

    Raises:
        InputError: no reference has one of the labels, ``k`` is below 1, or the photos cancel each other out.
    """
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1")
    (unit,), lengths = directions(vector[None])
    rows, similarities = _nearest(index, unit, rows_with(index, labels), max(k, VOTERS) + index.most_rows(own_ids))
    near = index.neighbours(rows, similarities * lengths[0], own_ids)
    voters = [one for one in near if not one.same_photo] or near
    answer = Answer(neighbours=near, generation=index.generation, fingerprint=index.fingerprint, calibration_stale=None)
    return replace(uncalibrated(answer, voters[:VOTERS]), neighbours=near[:k])


def _nearest(
    index: Index, unit: NDArray[np.float32], rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest of some rows, with their similarities; ties go to the lower row."""
    best = rows[:0]
    for start in range(0, len(rows), AT_ONCE):
        some = np.concatenate([best, rows[start : start + AT_ONCE]])
        order, _ = ranked(unit, index.vectors(some), k)
        best = np.sort(some[order])
    order, similarities = ranked(unit, index.vectors(best), k)
    return best[order], similarities
