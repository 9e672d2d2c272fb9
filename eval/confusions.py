"""Which classes are taken for which: pairs whose photos have each other as their nearest."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.evaluation import Evaluation

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Mistake:
    """A query whose nearest reference is of another class.

    Attributes:
        query: its row.
        reference: that reference's row.
        similarity: their cosine.
    """

    query: int
    reference: int
    similarity: float


@dataclass(frozen=True)
class Confusion:
    """Two classes that are taken for each other.

    Attributes:
        first: the name of the class that is taken for the other more often; of equals the first by the alphabet.
        second: the name of the other.
        forth: how many queries of the first have their nearest reference in the second.
        back: how many of the second in the first.
        queries: how many queries both have.
        mistakes: all of these queries, the most similar to what they are taken for first.
    """

    first: str
    second: str
    forth: int
    back: int
    queries: int
    mistakes: list[Mistake]

    @property
    def share(self) -> float:
        """The share of both classes' queries that are taken for the other class; in [0, 1]."""
        return (self.forth + self.back) / self.queries


def confusions(evaluation: Evaluation, reference_codes: Codes, most: int | None = None) -> list[Confusion]:
    """All pairs of classes of which a query of one has its nearest reference in the other.

    By the nearest by similarity, before any re-ranking.

    Args:
        evaluation: what was measured.
        reference_codes: ``[N]``, the classes of the references, numbered as ``evaluation.names``.
        most: how many pairs to return at most; none for all.

    Returns:
        Those with the most mistakes first, then those with the greatest share of them, then by name.
    """
    found = evaluation.nearest.rows[evaluation.rows, 0]
    similarities = evaluation.nearest.similarities[evaluation.rows, 0]
    other = np.where(found >= 0, reference_codes[found], evaluation.codes)
    wrong = np.flatnonzero(other != evaluation.codes)
    pairs: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place in wrong[np.argsort(-similarities[wrong], kind="stable")]:
        one, two = int(evaluation.codes[place]), int(other[place])
        pairs[min(one, two), max(one, two)].append(int(place))
    sizes = np.bincount(evaluation.codes, minlength=len(evaluation.names))
    made = []
    for (one, two), places in pairs.items():
        forth = int((evaluation.codes[places] == one).sum())
        first, second = (one, two) if 2 * forth >= len(places) else (two, one)
        mistakes = [Mistake(int(evaluation.rows[p]), int(found[p]), float(similarities[p])) for p in places]
        counts = max(forth, len(places) - forth), min(forth, len(places) - forth)
        names = evaluation.names
        made.append(Confusion(names[first], names[second], *counts, int(sizes[one] + sizes[two]), mistakes))
    made.sort(key=lambda pair: (-len(pair.mistakes), -pair.share, pair.first, pair.second))
    return made[:most]
