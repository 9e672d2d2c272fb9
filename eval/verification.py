"""Verification: are two photos of one class? Every pair of a query and a reference, told by a threshold.

The similarities of all pairs are counted in bins of one part in a million, which bounds the memory for any number of
pairs; the rates are exact to within one such bin.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet, common_codes, common_ids
from eval.errors import InputError
from eval.neighbours import BLOCK_VALUES

BINS = 2_000_000
Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Roc:
    """The receiver operating characteristic over all thresholds, from the highest down.

    Attributes:
        thresholds: ``[T]`` similarities in [-1, 1]; a pair of at least that much is accepted.
        true_positive_rates: ``[T]``, the share of pairs of one class that are accepted.
        false_positive_rates: ``[T]``, the share of pairs of two classes that are accepted.
        pairs_of_one_class: how many there are.
        pairs_of_two_classes: how many there are.
    """

    thresholds: NDArray[np.float64]
    true_positive_rates: NDArray[np.float64]
    false_positive_rates: NDArray[np.float64]
    pairs_of_one_class: int
    pairs_of_two_classes: int

    def true_positive_rate_at(self, false_positive_rate: float) -> float:
        """The largest true positive rate with at most this false positive rate; in [0, 1].

        Raises:
            InputError: the rate is not a share.
        """
        if not 0 <= false_positive_rate <= 1:
            raise InputError(f"false_positive_rate is {false_positive_rate}; it must be from 0 to 1")
        allowed = self.true_positive_rates[self.false_positive_rates <= false_positive_rate]
        return float(allowed.max(initial=0.0))

    def equal_error_rate(self) -> float:
        """Where as many pairs of two classes are accepted as pairs of one class are refused; in [0, 1].

        Between the two thresholds around that point the rates are taken to be straight lines.
        """
        refused = np.concatenate([[1.0], 1 - self.true_positive_rates])
        accepted = np.concatenate([[0.0], self.false_positive_rates])
        after = int(np.argmax(accepted >= refused))
        before = after - 1
        gap = (refused[before] - accepted[before]) + (accepted[after] - refused[after])
        share = (refused[before] - accepted[before]) / gap
        return float(accepted[before] + share * (accepted[after] - accepted[before]))


def verify(queries: EmbeddingSet, references: EmbeddingSet | None = None) -> Roc:
    """Compare all labelled queries with all labelled references; photos of one id are not compared.

    Args:
        queries: one side of the pairs.
        references: the other side; none for the pairs within a set, each counted once.

    Raises:
        InputError: there are no pairs of one class, or none of two.
    """
    targets = queries if references is None else references
    (codes, target_codes), _ = common_codes(queries, targets)
    ids, target_ids = common_ids(queries, targets)
    rows, columns = np.flatnonzero(codes >= 0), np.flatnonzero(target_codes >= 0)
    one, two = np.zeros(BINS + 1, np.int64), np.zeros(BINS + 1, np.int64)
    block = max(1, BLOCK_VALUES // max(1, len(columns)))
    for start in range(0, len(rows), block):
        few = rows[start : start + block]
        similarities = queries.vectors[few] @ targets.vectors[columns].T
        compared = ids[few][:, None] != target_ids[columns]
        if references is None:
            compared &= few[:, None] < columns
        same = codes[few][:, None] == target_codes[columns]
        bins = np.rint((np.clip(similarities, -1, 1) + 1) * (BINS / 2)).astype(np.int64)
        one += np.bincount(bins[compared & same], minlength=BINS + 1)
        two += np.bincount(bins[compared & ~same], minlength=BINS + 1)
    for name, counts in (("one class", one), ("two classes", two)):
        if not counts.any():
            raise InputError(f"there are no pairs of {name}; nothing can be verified")
    return _roc(one, two)


def _roc(one: Histogram, two: Histogram) -> Roc:
    """The curve of two histograms; thresholds at which nothing changes are left out."""
    used = np.flatnonzero(one + two)[::-1]
    accepted, wrongly = np.cumsum(one[used]), np.cumsum(two[used])
    return Roc(
        thresholds=used / (BINS / 2) - 1,
        true_positive_rates=accepted / accepted[-1],
        false_positive_rates=wrongly / wrongly[-1],
        pairs_of_one_class=int(accepted[-1]),
        pairs_of_two_classes=int(wrongly[-1]),
    )
