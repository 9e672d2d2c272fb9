"""How far photos of one class lie from those of others: histograms, the threshold of unknown, the open-set curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.calibration import expected_threshold, unknown_threshold
from eval.embeddings import EmbeddingSet, common_codes
from eval.evaluation import Evaluation
from eval.neighbours import nearest

FALSE_ACCEPTS = 0.05
"""The share of photos of new classes that the threshold lets pass at most, in expectation.

With fewer than 19 classes nothing of the kind can be promised: there the rate is that of one class more among them, as
in an index, and the threshold is an estimate."""

FEWEST_CLASSES = 5
"""With fewer there is not even that: more than a sixth of the new would pass."""

BINS = 50
POINTS = 200
"""Points of the open-set curve."""

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Separation:
    """Similarities to the nearest of the own class and of others.

    Attributes:
        edges: ``[B + 1]``, of the histograms' bins.
        same: ``[B]``, the share of the measured queries whose nearest reference of their own class is so similar.
        other: ``[B]``, the share of the labelled queries whose nearest one of another class is.
        threshold: from which on a photo is taken for known; none where there are too few classes.
        false_accepts: the share of photos of new classes that pass it; none without one.
        estimated: whether that is what is expected, and not the most that is expected.
        known_accepted: the share of measured queries above it; none without one.
        unknown_accepted: the share of the others above it; none without one.
        curve: ``[P, 2]``, from strict to lenient: the shares of unknown and of known photos that are accepted.
    """

    edges: list[float]
    same: list[float]
    other: list[float]
    threshold: float | None
    false_accepts: float | None
    estimated: bool
    known_accepted: float | None
    unknown_accepted: float | None
    curve: list[tuple[float, float]]


def separation(queries: EmbeddingSet, references: EmbeddingSet | None, evaluation: Evaluation) -> Separation | None:
    """Measure it; none where all is of one class."""
    (codes, target_codes), _ = common_codes(queries, queries if references is None else references)
    asked = codes[codes >= 0]
    unknown = evaluation.hidden_scores
    if len(unknown) == 0:
        return None
    same = nearest_of_own(queries, references, codes, target_codes)[evaluation.rows]
    known = evaluation.nearest.similarities[evaluation.rows, 0]
    edges = _edges(min(same.min(), unknown.min()), max(same.max(), unknown.max()))
    threshold, rate, estimated = None, None, False
    if len(asked) == len(unknown):  # otherwise some have no reference of another class, and their classes are not known
        threshold, rate, estimated = _threshold(unknown, asked)
    return Separation(
        edges=edges.tolist(),
        same=_shares(same, edges),
        other=_shares(unknown, edges),
        threshold=threshold,
        false_accepts=rate,
        estimated=estimated,
        known_accepted=None if threshold is None else float((known > threshold).mean()),
        unknown_accepted=None if threshold is None else float((unknown > threshold).mean()),
        curve=open_set_curve(known, unknown),
    )


def _threshold(unknown: Scores, codes: NDArray[np.int64]) -> tuple[float | None, float | None, bool]:
    """The threshold, its rate of false accepts, and whether that is an estimate."""
    classes = len(np.unique(codes))
    if classes < FEWEST_CLASSES:
        return None, None, False
    least = 1 / (classes + 1)
    if least > FALSE_ACCEPTS:
        return expected_threshold(unknown, codes, least), least, True
    return unknown_threshold(unknown, codes, FALSE_ACCEPTS), FALSE_ACCEPTS, False


def nearest_of_own(
    queries: EmbeddingSet, references: EmbeddingSet | None, codes: NDArray[np.int64], target_codes: NDArray[np.int64]
) -> Scores:
    """The similarity of each query's nearest reference of its own class, ``[Q]``; -inf where there is none."""
    scores = np.full(len(queries), -np.inf, np.float32)
    order, there = np.argsort(target_codes, kind="stable"), np.sort(target_codes)
    asked, values = np.argsort(codes, kind="stable"), np.sort(codes)
    for code in np.unique(codes[codes >= 0]):
        mine = asked[slice(*np.searchsorted(values, [code, code + 1]))]
        theirs = order[slice(*np.searchsorted(there, [code, code + 1]))]
        if references is None and len(mine) > 1:
            scores[mine] = nearest(queries.vectors[mine], None, 1).similarities[:, 0]
        elif references is not None and len(theirs):
            scores[mine] = nearest(queries.vectors[mine], references.vectors[theirs], 1).similarities[:, 0]
    return scores


def open_set_curve(known: Scores, unknown: Scores) -> list[tuple[float, float]]:
    """For thresholds from strict to lenient, the shares of unknown and of known photos of at least so much.

    As of ``eval.open_set``: the ROC curve whose area is ``auroc``, at ``POINTS`` even steps of both shares.
    """
    levels = np.linspace(0, 1, POINTS // 2)
    thresholds = np.unique(np.concatenate([np.quantile(known, levels), np.quantile(unknown, levels)]))[::-1]
    accepted = [(float((unknown >= one).mean()), float((known >= one).mean())) for one in thresholds]
    return [(0.0, 0.0), *accepted]


def _edges(least: float, most: float) -> NDArray[np.float64]:
    """Bins from a round number below to one above."""
    low, high = math.floor(least * 20) / 20, math.ceil(most * 20) / 20
    return np.linspace(low, max(high, low + 0.05), BINS + 1)


def _shares(scores: Sequence[float] | Scores, edges: NDArray[np.float64]) -> list[float]:
    """The share of the scores in each bin."""
    return [float(share) for share in np.histogram(scores, edges)[0] / len(scores)]
