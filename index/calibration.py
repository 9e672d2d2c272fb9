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
        references: how many rows there were, to know what has changed since.
        deleted: how many of them were no longer references.
        label_changes: how many had been given another label.
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
    references: int
    deleted: int
    label_changes: int

    @classmethod
    def of(cls, contents: dict[str, Any]) -> "Calibration":
        """The calibration in a manifest."""
        return cls(**{one.name: contents[one.name] for one in fields(cls)})

    def changed(self, manifest: Manifest) -> float:
        """The share of references that have come, gone or been relabelled since."""
        changes = (
            abs(manifest.rows - self.references)
            + abs(len(manifest.deleted) - self.deleted)
            + abs(len(manifest.label_changes) - self.label_changes)
        )
        return changes / max(1, self.references - self.deleted)


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
    candidates = np.tile(shares(None), (len(right), 1))
    for group in np.intersect1d(groups[:VOTERS], their_groups):
        candidates[their_groups == group] = shares(int(group))
    inside = leave_one_out_set(right, candidates, calibration.coverage, their_groups)
    if inside[-1]:
        return None
    order = np.argsort(-np.array(shares(None)[:-1]), kind="stable")
    return [names[place] for place in order if inside[place]]


def group_codes(references: pa.Table) -> NDArray[np.int64]:
    """The group of each row ``[N]`` as a number: one of its own where the table names none."""
    own = np.arange(len(references))
    if "group" not in references.column_names:
        return own
    names = references["group"].combine_chunks().dictionary_encode()
    codes = names.indices.to_numpy(zero_copy_only=False).astype(np.float64)
    return np.where(np.isnan(codes), own, len(own) + np.nan_to_num(codes)).astype(np.int64)
