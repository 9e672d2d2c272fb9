"""The shares of the labels that a query may have, by the vote of its neighbours, of prototypes or of both.

All of them are wanted more than once: with nothing left out, and with each group of the calibration left out in turn,
which is what a label set compares with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.calibration import leave_one_out_set
from eval.neighbours import Neighbours
from eval.vote import VOTERS, Candidate, sharpened, softmax, vote

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Shares:
    """The shares of some labels; every other label has none.

    Attributes:
        names: the L labels.
        shares: ``[1 + G, L]``: with nothing left out, then without each of the groups.
        groups: ``[G]``, ascending.
    """

    names: list[str]
    shares: NDArray[np.float64]
    groups: Numbers

    @property
    def candidates(self) -> list[Candidate]:
        """The labels with a share where nothing is left out, the largest first."""
        order = np.argsort(-self.shares[0], kind="stable")
        return [Candidate(self.names[place], float(self.shares[0, place])) for place in order if self.shares[0, place]]

    def label_set(self, scores: pa.Table, coverage: float) -> list[str] | None:
        """The labels that hold the right one with a stated coverage (``eval.calibration.leave_one_out_set``).

        Args:
            scores: one row a photo, ``right`` and ``group``, by the same vote.
            coverage: in (0, 1).

        Returns:
            The labels, the likeliest first; none at all where the query fits no label as well as most references fit
            theirs. None where all labels of the index are in the set.
        """
        right, groups = (scores[name].to_numpy() for name in ("right", "group"))
        candidates = np.pad(self.shares, ((0, 0), (0, 1)))  # the last one stands for every label not among them
        inside = leave_one_out_set(right, candidates[1 + np.searchsorted(self.groups, groups)], coverage, groups)
        if inside[-1]:
            return None
        return [self.names[place] for place in np.argsort(-self.shares[0], kind="stable") if inside[place]]


def of_neighbours(
    similarities: NDArray[np.float32], labels: Sequence[str], of_groups: Numbers, groups: Numbers, temperature: float
) -> Shares:
    """The vote of the ``VOTERS`` nearest references.

    Args:
        similarities: ``[K]``, more than ``VOTERS``, nearest first.
        labels: their labels.
        of_groups: ``[K]``, their groups.
        groups: ``[G]``, those to leave out in turn, ascending.
        temperature: of the vote.
    """
    names = list(dict.fromkeys(labels))

    def shares(without: int | None) -> list[float]:
        kept = [place for place in range(len(labels)) if of_groups[place] != without][:VOTERS]
        candidates = vote(similarities[kept], [labels[place] for place in kept], temperature)
        found = {one.label: one.share for one in candidates}
        return [found.get(name, 0.0) for name in names]

    table = np.tile(shares(None), (1 + len(groups), 1))
    for group in np.intersect1d(of_groups[:VOTERS], groups):
        table[1 + np.searchsorted(groups, group)] = shares(int(group))
    return Shares(names, table, groups)


def of_prototypes(found: Neighbours, names: list[str], groups: Numbers, temperature: float) -> Shares:
    """The vote of the nearest prototypes.

    Args:
        found: ``[1 + G, M]`` classes: with nothing left out, then without each of the groups.
        names: of the classes.
        groups: ``[G]``, ascending.
        temperature: of the vote.
    """
    present = np.zeros(len(names) + 1, bool)
    present[found.rows] = True  # -1, for none, is the last
    codes = np.flatnonzero(present[:-1]).tolist()
    column = np.cumsum(present) - 1
    table = np.zeros((len(found.rows), len(codes) + 1))
    np.put_along_axis(table, column[found.rows], softmax(found.similarities, temperature), axis=1)
    return Shares([names[code] for code in codes], table[:, :-1], groups)


def of_both(first: Shares, second: Shares, sharpness: float) -> Shares:
    """The mean of two votes, sharpened so that it is a probability (``eval.vote.sharpened``)."""
    names = list(dict.fromkeys([*first.names, *second.names]))
    column = {name: place for place, name in enumerate(names)}
    table = np.zeros((len(first.shares), len(names)))
    for one in (first, second):
        table[:, [column[name] for name in one.names]] += one.shares / 2
    return Shares(names, sharpened(table, sharpness), first.groups)
