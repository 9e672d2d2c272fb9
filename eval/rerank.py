"""Better orders of what is near a query, by what the references say of each other. They are for those who ask for them.

A query's order depends on it and on the references, never on what else is asked with it. The similarity of a neighbour
stays what it was, its cosine with the query: what is re-ranked is the order.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.neighbours import Neighbours
from eval.similarity import exact

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

Read = Callable[[Numbers], Vectors]
"""Gives the vectors ``[K, D]`` of some references by their rows ``[K]``, in any order."""

Search = Callable[[Vectors], Numbers]
"""Gives the rows ``[Q, K]`` of the references nearest to other vectors ``[Q, D]`` of the same queries; -1 for none."""

Method = Literal["none", "alpha-qe", "k-reciprocal"]

TOLD_APART = 9
"""Decimals of a re-ranked distance: what differs by less stays in the order of the similarities."""


@dataclass(frozen=True)
class AlphaQE:
    """Alpha query expansion: search again with the mean of the query and of its nearest references.

    Attributes:
        n: how many references the query is moved towards.
        alpha: each of them has the weight similarity**alpha, the query itself 1.
    """

    method: ClassVar[Method] = "alpha-qe"
    n: int = 10
    alpha: float = 3.0

    def __post_init__(self) -> None:
        if self.n < 1 or self.alpha < 0:
            raise InputError(f"n is {self.n} and alpha is {self.alpha}; n must be at least 1 and alpha at least 0")

    @property
    def candidates(self) -> int:
        """How many of the nearest references it looks at."""
        return self.n


@dataclass(frozen=True)
class KReciprocal:
    """k-reciprocal re-ranking: what shares its surroundings with the query comes first.

    Attributes:
        k1: how far two photos look to find each other.
        k2: the mean is taken over so many photos' surroundings.
        weight: of the distance by similarity, against that by surroundings (the paper's lambda); in [0, 1].
        candidates: how many of the nearest references are re-ranked; the others stay behind them.
    """

    method: ClassVar[Method] = "k-reciprocal"
    k1: int = 20
    k2: int = 6
    weight: float = 0.3
    candidates: int = 200

    def __post_init__(self) -> None:
        for name in ("k1", "k2", "candidates"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.weight <= 1:
            raise InputError(f"weight is {self.weight}; it must lie between 0 and 1")


Rerank = AlphaQE | KReciprocal

METHODS: dict[Method, Rerank | None] = {"none": None, AlphaQE.method: AlphaQE(), KReciprocal.method: KReciprocal()}
"""Each with its default parameters."""


def to_json(by: Rerank) -> dict[str, Any]:
    """What results say of how they were ranked."""
    return {"method": by.method, "uses_reference_set": True, **asdict(by)}


def in_words(by: Rerank) -> str:
    """The same, for people."""
    parameters = ", ".join(f"{name} {value:g}" for name, value in asdict(by).items())
    return f"re-ranked with the reference set by {by.method} ({parameters})"


def expanded(query: Vectors, nearest: Vectors, similarities: NDArray[np.float32], alpha: float) -> Vectors:
    """Move a query towards its nearest references.

    Radenović, Tolias, Chum: "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018, alpha-weighted query
    expansion. A reference with a similarity below 0 has no weight.

    Args:
        query: ``[D]``, of unit length.
        nearest: ``[n, D]``, of unit length.
        similarities: ``[n]``, theirs with the query.
        alpha: with 0 all count alike, with more the nearest count more.

    Returns:
        ``[D]``, of unit length.
    """
    weights = np.where(similarities > 0, similarities.astype(np.float64).clip(0) ** alpha, 0)
    total = query + (weights[:, None] * nearest).sum(axis=0)
    return (total / np.linalg.norm(total)).astype(np.float32)


def k_reciprocal_distances(query: Vectors, candidates: Vectors, k1: int, k2: int, weight: float) -> NDArray[np.float64]:
    """How far candidates are from a query, by the photos that surround them and by their similarity.

    Zhong, Zheng, Cao, Li: "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017, section 3,
    with 1 - cosine as the distance and with the query and its candidates as all the photos that there are. As in the
    authors' code a photo is its own nearest, beside ``k1`` others and as one of ``k2``. Other than there, and as in the
    paper, neither distances nor encodings are scaled.

    Args:
        query: ``[D]``, of unit length.
        candidates: ``[C, D]``, of unit length, nearest first: of equal neighbours the earlier one is nearer.
        k1: how far two photos look to find each other.
        k2: the mean is taken over so many photos' surroundings.
        weight: of the distance by similarity.

    Returns:
        ``[C]``, in [0, 2].
    """
    pool = np.concatenate([query[None], candidates])
    cosines = exact(pool, pool)
    itself = np.eye(len(pool), dtype=bool)
    order = np.argsort(np.where(itself, -np.inf, -cosines), axis=1, kind="stable")
    mutual, closely = _mutual(order, k1), _mutual(order, round(k1 / 2))
    joins = mutual * (3 * (mutual @ closely) >= 2 * closely.sum(axis=1))  # two thirds of its own are there already
    around = mutual + joins @ closely > 0
    encoded = np.where(around, np.exp(cosines - 1), 0)[order[:, :k2]].mean(axis=1)
    common, either = np.minimum(encoded, encoded[0]).sum(axis=1), np.maximum(encoded, encoded[0]).sum(axis=1)
    return ((1 - weight) * (1 - common / either) + weight * (1 - cosines[0]))[1:]


def _mutual(order: Numbers, k: int) -> NDArray[np.float32]:
    """Which photos ``[P, P]`` are among each other's ``k`` nearest, 1 or 0; ``order`` has all, themselves first."""
    near = np.zeros(order.shape, np.float32)
    np.put_along_axis(near, order[:, : k + 1], 1, axis=1)
    return near * near.T


def reranked(queries: Vectors, found: Neighbours, by: Rerank, read: Read, search: Search) -> Neighbours:
    """Put what is near some queries into a better order.

    Args:
        queries: ``[Q, D]``, of unit length.
        found: their nearest references ``[Q, K]``, ``by.candidates`` at least where there are as many.
        by: how.
        read: gives the references' vectors.
        search: finds what is near other vectors.

    Returns:
        Rows ``[Q, K]`` in the new order, with their cosines with the query as it was: these do not descend.
    """
    if isinstance(by, KReciprocal):
        return _by_surroundings(queries, found, by, read)
    return _by_expansion(queries, found, by, read, search)


def _by_expansion(queries: Vectors, found: Neighbours, by: AlphaQE, read: Read, search: Search) -> Neighbours:
    """The same by alpha query expansion: what is near the queries after they have moved."""
    near = zip(queries, found.rows[:, : by.n], found.similarities[:, : by.n], strict=True)
    moved = [
        expanded(query, read(rows[rows >= 0]), similarities[rows >= 0], by.alpha) for query, rows, similarities in near
    ]
    rows = search(np.stack(moved))
    similarities = np.full(rows.shape, -np.inf, np.float32)
    for query, places, values in zip(queries, rows, similarities, strict=True):
        values[places >= 0] = exact(query[None], read(places[places >= 0]))[0]
    return Neighbours(rows, similarities)


def _by_surroundings(queries: Vectors, found: Neighbours, by: KReciprocal, read: Read) -> Neighbours:
    """The same by k-reciprocal re-ranking: the first candidates change places."""
    order = np.tile(np.arange(found.rows.shape[1]), (len(queries), 1))
    for query, rows, places in zip(queries, found.rows[:, : by.candidates], order, strict=True):
        there = rows[rows >= 0]
        distances = k_reciprocal_distances(query, read(there), by.k1, by.k2, by.weight)
        places[: len(there)] = np.argsort(distances.round(TOLD_APART), kind="stable")
    return Neighbours(
        np.take_along_axis(found.rows, order, axis=1), np.take_along_axis(found.similarities, order, axis=1)
    )
