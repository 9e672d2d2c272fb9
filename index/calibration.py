"""What an index promises about its answers: the threshold of "unknown", probabilities, label sets.

All of it is measured on the index's own references, each with its own photo, or its class, hidden (``index.hiding``);
what is promised, and on which condition, stands in ``eval.calibration``.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.manifest import Manifest

STALE = 0.05
"""The share of references that may change before a calibration says less than it did."""

PROTOTYPES = 50
"""Prototypes that vote: the nearest ones. With more, shares on birds100 and cars98 hardly change (docs/results.md)."""

SURE = 0.9
"""The probability from which on a label, or else a genus, is sure enough to be the answer: one in ten may be wrong."""

COVERAGE = 0.9
"""How often a label set holds the right label, where nobody asks for another rate."""

By = Literal["neighbours", "prototypes", "both"]
"""How an index answers: who votes."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured, as the manifest keeps it.

    Attributes:
        file: of the scores that label sets need, one row a photo: ``row``, ``right``, ``group``; see ``scores_table``.
        photos: how many references were hidden in turn, each from those that remain.
        classes: of how many classes they are.
        lone: how many of them have no other reference of their class but copies, so that they only count as unknown.
            Of photos of such classes nothing is promised.
        classes_trained_on: whether the embedder was trained on other photos of their classes; None where that is not
            known. The promise is then about classes like these, and an embedder takes a class that it has never seen
            for known more often.
        asked: the share of photos of other classes that was to be taken for known; None where that was left open.
        false_accepts: the expected share that is: the one asked for, or the least that so many classes can show.
        threshold: the similarity above which a photo counts as known: that of the nearest reference, or of the nearest
            prototype, or the mean of that of the nearest reference and that of its class's prototype.
        known_accepted: the share of photos of the index's classes that count as known.
        coverage: of label sets, in practice; at least ``2 * coverage - 1`` is guaranteed (jackknife+).
        least_sharp: the sharpness (``eval.quality``) that all but 1 % of the references reach; None where they have no
            pictures.
        scores: rows of the file.
        references: how many the index had.
        by: who votes.
        temperature: of the neighbours' vote, at which shares are probabilities; 1 where they have none.
        prototype_temperature: of the prototypes' vote; 1 where they have none.
        sharpness: of the mean of both votes, at which it is a probability (``eval.vote.sharpened``).
        sure: the probability from which on a label or a genus is sure enough.
        copies: how many of them have near copies, or are of groups that near copies make one; these were hidden
            together (``index.copies``).
    """

    file: str
    photos: int
    classes: int
    lone: int
    classes_trained_on: bool | None
    asked: float | None
    false_accepts: float
    threshold: float
    known_accepted: float
    coverage: float
    least_sharp: float | None
    scores: int
    references: int
    by: By = "neighbours"
    temperature: float = 1.0
    prototype_temperature: float = 1.0
    sharpness: float = 1.0
    sure: float = SURE
    copies: int = 0

    @classmethod
    def of(cls, contents: dict[str, Any]) -> "Calibration":
        """The calibration in a manifest; one that is older than a field has its default."""
        return cls(**{one.name: contents[one.name] for one in fields(cls) if one.name in contents})

    def changed(self, manifest: Manifest) -> float:
        """The share of references that have come, gone or been relabelled since."""
        return manifest.changes / max(1, self.references)

    def is_stale(self, manifest: Manifest) -> bool:
        """Whether so many have that what was measured says less than it did."""
        return self.changed(manifest) > STALE


Joined = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Groups, ascending, and those that near copies make them one with (``index.copies.joined_groups``)."""


def with_joined(groups: NDArray[np.int64], joined: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each row ``[N]``, where some groups are one with others."""
    new = np.arange(len(groups))
    new[joined] = target
    return np.asarray(new[groups])


def scores_table(
    rows: NDArray[np.int64], right: NDArray[np.float64], groups: NDArray[np.int64], joined: Joined
) -> pa.Table:
    """What label sets need of a calibration: each photo's score and group, then the groups that are one with others.

    Of the latter ``row`` is the group and ``group`` the other one; they have no score.
    """
    table = pa.table({"row": rows, "right": right, "group": groups})
    nothing = pa.nulls(len(joined[0]), pa.float64())
    return pa.concat_tables([table, pa.table({"row": joined[0], "right": nothing, "group": joined[1]})])


def split_scores(table: pa.Table) -> tuple[pa.Table, Joined]:
    """The photos with their scores, and the groups that are one with others, of what ``scores_table`` made."""
    scored = table["right"].is_valid()
    joined = table.filter(pc.invert(scored))
    return table.filter(scored), (joined["row"].to_numpy(), joined["group"].to_numpy())


def class_codes(labels: NDArray[np.object_], kept: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.int64]]:
    """The labels of an index in the order of the alphabet, and the class of each row ``[N]`` by its place there.

    Args:
        labels: ``[N]``, of each row.
        kept: ``[N]``, which rows are references; the others are of the class -1.
    """
    found = pa.array(labels[kept], pa.large_string()).dictionary_encode()  # one array, though they hold 2 GB
    names = np.array(found.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names)
    codes = np.full(len(labels), -1)
    codes[kept] = np.argsort(order)[found.indices.to_numpy()]
    return names[order].tolist(), codes
