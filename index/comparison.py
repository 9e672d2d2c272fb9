"""How the answers of an index change from one generation to another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.search import Index


@dataclass(frozen=True)
class Comparison:
    """Answers to the same labelled photos, before and after.

    Attributes:
        photos: how many.
        right_before: in [0, 1], the share whose most voted label was right; NaN where there are no photos.
        right_after: likewise.
        known_before: the share that counted as known; None while uncalibrated.
        known_after: likewise.
        mended: photos that are answered right only afterwards.
        broken: photos that were answered right only before.
        changed: photos that have another label, the two among them.
    """

    photos: int
    right_before: float
    right_after: float
    known_before: float | None
    known_after: float | None
    mended: int
    broken: int
    changed: int

    def __str__(self) -> str:
        """For people."""
        shares = (self.known_before, self.known_after)
        known = ["uncalibrated" if share is None else f"{share:.1%}" for share in shares]
        told = f"; known {known[0]} before, {known[1]} after" if shares != (None, None) else ""
        return (
            f"{self.photos} answers: right {self.right_before:.1%} before, {self.right_after:.1%} after; "
            f"{self.changed} have another label, {self.mended} of them are right now and {self.broken} no longer"
            f"{told}"
        )


def compare_answers(
    before: tuple[Index, NDArray[np.float32]],
    after: tuple[Index, NDArray[np.float32]],
    labels: Sequence[str],
    ids: Sequence[str],
) -> Comparison:
    """Answer photos by two generations, each photo without itself.

    Args:
        before: a generation, and the vectors ``[Q, D]`` of the photos by its embedder.
        after: another one, likewise.
        labels: the right label of each photo.
        ids: of the photos; a reference of the same id has no vote.
    """
    (first, known_before), (second, known_after) = (_answers(*each, ids) for each in (before, after))
    right_before, right_after = (np.array(found, object) == np.array(labels, object) for found in (first, second))
    return Comparison(
        photos=len(labels),
        right_before=float(np.mean(right_before)) if len(labels) else np.nan,
        right_after=float(np.mean(right_after)) if len(labels) else np.nan,
        known_before=known_before,
        known_after=known_after,
        mended=int((right_after & ~right_before).sum()),
        broken=int((right_before & ~right_after).sum()),
        changed=sum(one != other for one, other in zip(first, second, strict=True)),
    )


def _answers(index: Index, vectors: NDArray[np.float32], ids: Sequence[str]) -> tuple[list[str], float | None]:
    """The most voted label of each photo, and the share of them that counts as known."""
    answers = index.judge_all(vectors, [{name} for name in ids])
    known = None if index.calibration is None or not answers else float(np.mean([bool(one.known) for one in answers]))
    return [answer.candidates[0].label for answer in answers], known
