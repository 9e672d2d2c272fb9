"""From what an index has found near a photo to its answer: who votes, what is known, which labels fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.neighbours import Neighbours
from eval.vote import VOTERS, vote
from index.answer import Answer, Neighbour
from index.calibration import PROTOTYPES, Calibration
from index.prototypes import Lacking, Prototypes, Read, replaced
from index.shares import Shares, of_both, of_neighbours, of_prototypes
from index.taxonomy import Taxonomy, deepest, name_at

Numbers = NDArray[np.int64]

SPARE, MOST_SPARE = 10, 200
"""Neighbours beyond those that vote, at least and at most: for those that a label set leaves out."""


def uncalibrated(answer: Answer, voters: Sequence[Neighbour]) -> Answer:
    """An answer with the vote of its neighbours, of which nothing more is known.

    Args:
        answer: without what its neighbours say.
        voters: those that vote, nearest first.
    """
    candidates = vote(np.array([voter.similarity for voter in voters], np.float32), [voter.label for voter in voters])
    return replace(answer, label=candidates[0].label, candidates=candidates)


@dataclass(frozen=True)
class Judge:
    """What the answers of a calibrated index are judged by. Prototypes are made for the first answer that needs them.

    Attributes:
        calibration: what may be promised about answers.
        scores: what label sets need of it.
        labels: all labels of the index, in the order of the alphabet.
        codes: ``[N]``, the label of each row by its place there; -1 for a row that is no reference.
        groups: ``[N]``, the group of each row.
        taxa: of the labels.
        read: gives the vectors of some rows, which ascend.
    """

    calibration: Calibration
    scores: pa.Table
    labels: list[str]
    codes: Numbers
    groups: Numbers
    taxa: Taxonomy
    read: Read

    def judged(
        self, answer: Answer, voters: Sequence[Neighbour], vector: NDArray[np.float32], own: Sequence[int]
    ) -> Answer:
        """An answer with what its neighbours and the prototypes say, in calibrated words.

        Args:
            answer: without it.
            voters: neighbours that may vote, ``self.voters`` where there are as many, nearest first.
            vector: ``[D]``, of the photo; or the mean of several.
            own: rows of the query's own photos, which prototypes leave out.
        """
        voters = voters[: self.voters]
        if self.calibration.by == "neighbours":
            similarity, shares = voters[0].similarity, self._of_neighbours(voters)
        else:
            similarity, shares = self._with_prototypes(voters, vector, np.array(own, np.int64))
        candidates = shares.candidates
        best = candidates[0]
        known = bool(similarity > self.calibration.threshold)
        named = shares.label_set(self.scores, self.calibration.coverage)
        taxon = deepest(candidates, self.taxa, self.calibration.sure) if known else None
        if taxon:
            best = next(one for one in candidates if name_at(one.label, taxon.level, self.taxa) == taxon.name)
        return replace(
            answer,
            known=known,
            label=best.label if known else None,
            probability=best.share,
            level=taxon.level if taxon else None,
            taxon=taxon.name if taxon else None,
            taxon_probability=taxon.probability if taxon else None,
            candidates=candidates,
            label_set=self.labels if named is None else named,
            coverage=self.calibration.coverage,
        )

    def _of_neighbours(self, voters: Sequence[Neighbour]) -> Shares:
        """The vote of the nearest references."""
        similarities = np.array([voter.similarity for voter in voters], np.float32)
        groups = self.groups[[voter.row for voter in voters]]
        labels = [voter.label for voter in voters]
        return of_neighbours(similarities, labels, groups, self._calibrated, self.calibration.temperature)

    def _with_prototypes(
        self, voters: Sequence[Neighbour], vector: NDArray[np.float32], own: Numbers
    ) -> tuple[float, Shares]:
        """The similarity that tells known photos, and the vote of prototypes, alone or with the neighbours."""
        mine = self.prototypes.without(own, np.zeros_like(own))
        near = self._near(vector, own, mine)
        shares = of_prototypes(near, self.labels, self._calibrated, self.calibration.prototype_temperature)
        if self.calibration.by == "prototypes":
            return float(near.similarities[0, 0]), shares
        code = self.codes[voters[0].row]
        without = mine.similarities(vector)[mine.codes == code]
        beside = float(without[0] if len(without) else self.prototypes.vectors[code] @ vector)
        both = of_both(self._of_neighbours(voters), shares, self.calibration.sharpness)
        return (voters[0].similarity + beside) / 2, both

    def _near(self, vector: NDArray[np.float32], own: Numbers, mine: Lacking) -> Neighbours:
        """The nearest prototypes ``[1 + G, M]``, without the own photos, then without each calibrated group as well."""
        lacking = self._lacking
        similarities = lacking.similarities(vector)
        touched = np.isin(lacking.codes, mine.codes)
        if touched.any():
            similarities[touched] = self._without_groups(own).similarities(vector)
        found = self.prototypes.nearest(vector[None], PROTOTYPES + lacking.most + mine.most)
        found = replaced(found, PROTOTYPES + lacking.most, mine, mine.similarities(vector))
        cases = 1 + len(self._calibrated)
        everywhere = Neighbours(np.repeat(found.rows, cases, axis=0), np.repeat(found.similarities, cases, axis=0))
        return replaced(everywhere, PROTOTYPES, lacking, similarities)

    @cached_property
    def voters(self) -> int:
        """How many neighbours may vote: ``VOTERS``, and as many as take their places where a group is left out."""
        groups = self.groups[self._hidden]
        largest = int(np.unique(groups, return_counts=True)[1].max(initial=1))
        return VOTERS + min(max(SPARE, largest), MOST_SPARE)

    @cached_property
    def prototypes(self) -> Prototypes:
        """Those of all labels, from every reference."""
        return Prototypes.of(self.codes, self.read)

    @cached_property
    def _calibrated(self) -> Numbers:
        """The groups that label sets leave out in turn ``[G]``, ascending."""
        return np.unique(self.scores["group"].to_numpy())

    @cached_property
    def _hidden(self) -> Numbers:
        """The references of these groups."""
        return np.flatnonzero(np.isin(self.groups, self._calibrated) & (self.codes >= 0))

    @cached_property
    def _lacking(self) -> Lacking:
        """The prototypes that lack a group; the key is its place after the case in which nothing is left out."""
        return self._lack(self._hidden, self.groups[self._hidden])

    def _without_groups(self, own: Numbers) -> Lacking:
        """Those of them that are of the classes of some rows, without these rows as well."""
        rows = self._hidden[np.isin(self.codes[self._hidden], self.codes[own])]
        groups = self.groups[rows]
        for row in own:
            cases = np.unique(groups[self.codes[rows] == self.codes[row]])
            cases = cases[cases != self.groups[row]]
            rows, groups = np.append(rows, np.full(len(cases), row)), np.append(groups, cases)
        return self._lack(rows, groups)

    def _lack(self, rows: Numbers, groups: Numbers) -> Lacking:
        """The prototypes without some rows, each in the case that its group is left out."""
        return self.prototypes.without(rows, groups).of_cases(np.append(-1, self._calibrated))
