"""From what an index has found near a photo to its answer: who votes, what is known, which labels fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.vote import vote
from index.answer import Answer, Neighbour
from index.calibration import VOTERS, Calibration, label_set


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
    """What the answers of a calibrated index are judged by.

    Attributes:
        calibration: what may be promised about them.
        scores: what label sets need of it.
        labels: all labels of the index, in the order of the alphabet.
        groups: ``[N]``, the group of each row.
    """

    calibration: Calibration
    scores: pa.Table
    labels: list[str]
    groups: NDArray[np.int64]

    def judged(self, answer: Answer, voters: Sequence[Neighbour]) -> Answer:
        """An answer with what its neighbours say, in calibrated words.

        Args:
            answer: without it.
            voters: those that may vote, more than ``VOTERS`` where there are as many, nearest first.
        """
        similarities = np.array([voter.similarity for voter in voters], np.float32)
        labels = [voter.label for voter in voters]
        candidates = vote(similarities[:VOTERS], labels[:VOTERS], self.calibration.temperature)
        known = bool(similarities[0] > self.calibration.threshold)
        groups = self.groups[[voter.row for voter in voters]]
        named = label_set(self.scores, self.calibration, similarities, labels, groups)
        return replace(
            answer,
            known=known,
            label=candidates[0].label if known else None,
            probability=candidates[0].share,
            candidates=candidates,
            label_set=self.labels if named is None else named,
            coverage=self.calibration.coverage,
        )
