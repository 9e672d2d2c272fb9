"""Retrieval metrics as plain functions, one number a query; and what metrics are called.

The functions take ``relevant``, a boolean ``[Q, k]`` that says of each query's k nearest references, nearest first,
whether they are of its class; and ``counts``, ``[Q]`` integers: R, how many references of its class there are.
"""

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError

Relevance = NDArray[np.bool_]
Counts = NDArray[np.int64]
PerQuery = NDArray[np.float64]

_TITLES = {"r_precision": "R-precision", "auroc": "AUROC", "fpr@95": "FPR at 95 % TPR"}
_UPPER = ("map", "mrr", "nmi", "ami", "tpr")


def title(metric: str) -> str:
    """A metric's name for people."""
    head, *rest = metric.split("@")
    if head in _UPPER:
        head = {"map": "MAP" if rest == ["r"] else "mAP"}.get(head, head.upper())
    return _TITLES.get(metric, "@".join([head, *(part.upper() for part in rest)]).replace("_", " "))


def recall_at_k(relevant: Relevance, k: int) -> PerQuery:
    """recall@k: 1 where at least one of the k nearest is of the query's class, else 0.

    The R@k of Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016; also hit rate.

    Raises:
        InputError: ``relevant`` has fewer than k columns.
    """
    _check_width(relevant, k, f"recall@{k}")
    return np.asarray(relevant[:, :k].any(axis=1), np.float64)


def precision_at_k(relevant: Relevance, k: int) -> PerQuery:
    """precision@k: the share of the k nearest that is of the query's class; in [0, 1], at most R / k.

    Raises:
        InputError: ``relevant`` has fewer than k columns.
    """
    _check_width(relevant, k, f"precision@{k}")
    return np.asarray(relevant[:, :k].mean(axis=1), np.float64)


def reciprocal_rank_at_k(relevant: Relevance, k: int) -> PerQuery:
    """The query's part of MRR@k: 1 / the place of the first relevant one among the k nearest, 0 without any; in [0, 1].

    Raises:
        InputError: ``relevant`` has fewer than k columns.
    """
    _check_width(relevant, k, f"MRR@{k}")
    first = relevant[:, :k].argmax(axis=1)
    return np.where(relevant[:, :k].any(axis=1), 1.0 / (first + 1), 0.0)


def r_precision(relevant: Relevance, counts: Counts) -> PerQuery:
    """R-precision: of the R nearest, the share that is of the query's class; in [0, 1].

    Musgrave et al., "A Metric Learning Reality Check", section 3.2.

    Raises:
        InputError: ``relevant`` has fewer columns than the largest R, or an R is 0.
    """
    hits: Counts = (relevant & _within_r(relevant, counts, "R-precision")).sum(axis=1)
    return hits / counts


def map_at_r(relevant: Relevance, counts: Counts) -> PerQuery:
    """The query's part of MAP@R: (1/R) * sum over i <= R of precision@i * [the i-th is relevant]; in [0, 1].

    Musgrave et al., "A Metric Learning Reality Check", section 3.2.

    Raises:
        InputError: ``relevant`` has fewer columns than the largest R, or an R is 0.
    """
    return _average_precision(relevant & _within_r(relevant, counts, "MAP@R"), counts)


def average_precision_at_k(relevant: Relevance, counts: Counts, k: int) -> PerQuery:
    """The query's part of mAP@k: the sum over i <= k of precision@i * [the i-th is relevant], over min(R, k).

    The divisor is what the best order would reach, so the range is [0, 1] for any R. Others divide by R, or by the
    number of relevant ones found.

    Raises:
        InputError: ``relevant`` has fewer than k columns, or an R is 0.
    """
    _check_counts(counts, f"mAP@{k}")
    _check_width(relevant, k, f"mAP@{k}")
    return _average_precision(relevant[:, :k], np.minimum(counts, k))


def _within_r(relevant: Relevance, counts: Counts, name: str) -> Relevance:
    """Which of the k columns are among each query's R nearest."""
    _check_counts(counts, name)
    _check_width(relevant, int(counts.max(initial=1)), name)
    return np.arange(relevant.shape[1]) < counts[:, None]


def _average_precision(relevant: Relevance, divisor: Counts) -> PerQuery:
    """The sum of the precision at each relevant place, over ``divisor``."""
    precision = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    return (precision * relevant).sum(axis=1) / divisor


def _check_counts(counts: Counts, name: str) -> None:
    """Refuse queries that have nothing to find."""
    if (counts < 1).any():
        raise InputError(f"{name} is not defined for a query without any reference of its class; leave it out")


def _check_width(relevant: Relevance, k: int, name: str) -> None:
    """Refuse too few neighbours for a metric."""
    if not 1 <= k <= relevant.shape[1]:
        raise InputError(f"{name} needs the {k} nearest, at least 1, and there are {relevant.shape[1]}")
