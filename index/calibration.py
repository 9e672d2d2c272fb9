"""What an index promises about its answers: the threshold of "unknown", probabilities, label sets.

All of it is measured on the index's own references, each with its own photo, or its class, hidden; what is promised,
and on which condition, stands in ``eval.calibration``, whose functions of scores this room applies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.calibration import leave_one_out_set
from eval.vote import vote
from index.manifest import Manifest

STALE = 0.05
"""The share of references that may change before a calibration says less than it did."""

VOTERS = 10
"""Neighbours that vote in the calibration, and by default in an answer."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured, as the manifest keeps it.

    Attributes:
        file: of the scores that label sets need, one row a photo: ``row``, ``right``, ``group``.
        photos: how many references were hidden in turn, each from those that remain.
        classes: of how many classes they are.
        lone: how many of them have no other reference of their class, so that they only count as unknown.
        classes_trained_on: whether the embedder was trained on other photos of their classes. The promise is then about
            classes like these, and an embedder takes a class that it has never seen for known more often.
        asked: the share of photos of other classes that was to be taken for known; None where that was left open.
        false_accepts: the expected share that is: the one asked for, or the least that so many classes can show.
        threshold: the similarity of the nearest reference above which a photo counts as known.
        known_accepted: the share of photos of the index's classes that count as known.
        temperature: of the vote, at which shares are probabilities.
        coverage: of label sets, in practice; at least ``2 * coverage - 1`` is guaranteed (jackknife+).
        least_sharp: the sharpness (``eval.quality``) that all but 1 % of the references reach; None where they have no
            pictures.
        scores: rows of the file.
        references: how many the index had.
    """

    file: str
    photos: int
    classes: int
    lone: int
    classes_trained_on: bool
    asked: float | None
    false_accepts: float
    threshold: float
    known_accepted: float
    temperature: float
    coverage: float
    least_sharp: float | None
    scores: int
    references: int

    @classmethod
    def of(cls, contents: dict[str, Any]) -> "Calibration":
        """The calibration in a manifest."""
        return cls(**{one.name: contents[one.name] for one in fields(cls)})

    def changed(self, manifest: Manifest) -> float:
        """The share of references that have come, gone or been relabelled since."""
        return manifest.changes / max(1, self.references)


def label_set(
    scores: pa.Table,
    calibration: Calibration,
    similarities: NDArray[np.float32],
    labels: Sequence[str],
    groups: NDArray[np.int64],
) -> list[str] | None:
    """The labels that hold the right one with the calibration's coverage.

    Args:
        scores: what ``calibrate`` gave.
        calibration: likewise.
        similarities: ``[K]`` of the query's nearest references, more than ``VOTERS``, nearest first.
        labels: their labels.
        groups: ``[K]``, their groups, by ``group_codes``.

    Returns:
        The labels, the likeliest first; none at all where the query fits no label as well as most references fit
        theirs. None where all labels of the index are in the set.
    """
    names = list(dict.fromkeys(labels))

    def shares(without: int | None) -> list[float]:
        kept = [place for place in range(len(labels)) if groups[place] != without][:VOTERS]
        found = {
            one.label: one.share
            for one in vote(similarities[kept], [labels[place] for place in kept], calibration.temperature)
        }
        return [*(found.get(name, 0.0) for name in names), 0.0]  # the last one stands for every label not among them

    right, their_groups = (scores[name].to_numpy() for name in ("right", "group"))
    everything = shares(None)
    candidates = np.tile(everything, (len(right), 1))
    for group in np.intersect1d(groups[:VOTERS], their_groups):
        candidates[their_groups == group] = shares(int(group))
    inside = leave_one_out_set(right, candidates, calibration.coverage, their_groups)
    if inside[-1]:
        return None
    order = np.argsort(-np.array(everything[:-1]), kind="stable")
    return [names[place] for place in order if inside[place]]


def group_codes(references: pa.Table, shared_ids: bool = False) -> NDArray[np.int64]:
    """The group of each row ``[N]``, by the number of its first row, which stays the same when others are added.

    Args:
        references: the table of an index.
        shared_ids: whether a photo may stand in several rows: these are then a group, unless they are told otherwise.
    """
    own = first_rows(references["id"]) if shared_ids else np.arange(len(references))
    if "group" not in references.column_names:
        return own
    named = first_rows(references["group"])
    return np.where(named >= 0, named, own)


def independent(codes: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many groups each class has: of photos of one group, the others tell little more than the first.

    Args:
        codes: ``[N]``, the classes of some references as numbers from 0 on.
        groups: ``[N]``, by ``group_codes``.

    Returns:
        ``[C]``, for each number up to the largest.
    """
    return np.bincount(np.unique(np.stack([codes, groups]), axis=1)[0], minlength=codes.max(initial=-1) + 1)


def first_rows(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """For each row the first one with the same value; -1 where there is none."""
    values = column.combine_chunks().dictionary_encode()
    codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    firsts = np.unique(codes, return_index=True)[1]
    firsts = firsts[1:] if codes.min(initial=0) < 0 else firsts
    return np.where(codes >= 0, firsts[codes], -1) if len(firsts) else np.full(len(codes), -1)
