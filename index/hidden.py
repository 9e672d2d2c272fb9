"""Who votes on references that are hidden: each is searched for as if it were a new photo.

Hidden are its own photo and group, to see how known ones fare, or its whole class, to see how unknown ones do. What is
left out of a prototype is subtracted from the sum that it is made of.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.calibration import pool_sharpness, vote_temperature
from eval.neighbours import nearest_in_blocks
from eval.vote import VOTERS, sharpened, softmax
from index.calibration import PROTOTYPES, By
from index.prototypes import Lacking, Prototypes, replaced
from index.search import Index

Numbers = NDArray[np.int64]

NOBODY = -1e3
"""A similarity that stands for no voter where numbers must be finite."""


@dataclass(frozen=True)
class Votes:
    """Who votes on each of the references that were drawn, and how near the nearest is.

    Attributes:
        similarities: ``[Q, K]`` of those that vote, where its own photo and group are hidden; -inf where there are
            fewer.
        labels: ``[Q, K]`` codes of these; -1 where there are fewer.
        strangers: ``[Q]``, the similarity of the nearest where its whole class is hidden as well; -inf for none.
        strange: ``[Q]``, the class of that one; -1 for none.
    """

    similarities: NDArray[np.float64]
    labels: Numbers
    strangers: NDArray[np.float64]
    strange: Numbers


@dataclass(frozen=True)
class Measured:
    """The votes in the way that the index answers.

    Attributes:
        known: ``[Q]``, the similarity that tells known photos, of each where its own photo and group are hidden.
        strangers: ``[Q]``, the same where its class is hidden; -inf where nothing else is there.
        right: ``[Q]``, the share of its own label.
        temperatures: of the votes, and the sharpness of their mean, as the calibration calls them.
    """

    known: NDArray[np.float64]
    strangers: NDArray[np.float64]
    right: NDArray[np.float64]
    temperatures: dict[str, float]


def measured(index: Index, by: By, rows: Numbers, codes: Numbers, groups: Numbers, lone: NDArray[np.bool_]) -> Measured:
    """The votes on some references.

    Args:
        index: what they are of.
        by: who votes.
        rows: ``[Q]``.
        codes: ``[N]``, the class of each row of the index, as ``class_codes`` gives it.
        groups: ``[N]``, the group of each row.
        lone: ``[Q]``, which have no other reference of their class; these have no part in the temperatures.
    """
    own = codes[rows]
    temperatures: dict[str, float] = {}

    def shares(votes: Votes, name: str) -> NDArray[np.float64]:
        temperatures[name] = _temperature(votes, own, lone)
        return softmax(votes.similarities, temperatures[name])

    if by == "neighbours":
        near = of_neighbours(index, rows, codes, groups)
        right = _right(near.labels, shares(near, "temperature"), own)
        return Measured(near.similarities[:, 0], near.strangers, right, temperatures)
    prototypes = _HiddenPrototypes.of(index, rows, codes, groups)
    means = prototypes.votes()
    if by == "prototypes":
        right = _right(means.labels, shares(means, "prototype_temperature"), own)
        return Measured(means.similarities[:, 0], means.strangers, right, temperatures)
    near = of_neighbours(index, rows, codes, groups)
    labels = np.hstack([near.labels, means.labels])
    both = np.hstack([shares(near, "temperature"), shares(means, "prototype_temperature")])
    pooled = _gathered(labels, both / 2)
    temperatures["sharpness"] = pool_sharpness(pooled[~lone], labels[~lone] == own[~lone, None])
    return Measured(
        known=(near.similarities[:, 0] + prototypes.similarities(near.labels[:, 0])) / 2,
        strangers=(near.strangers + prototypes.similarities(near.strange)) / 2,
        right=_right(labels, sharpened(pooled, temperatures["sharpness"]), own),
        temperatures=temperatures,
    )


def _right(labels: Numbers, shares: NDArray[np.float64], own: Numbers) -> NDArray[np.float64]:
    """The share of the label that is the query's own ``[Q]``."""
    return (shares * (labels == own[:, None])).sum(axis=1)


def _temperature(votes: Votes, own: Numbers, lone: NDArray[np.bool_]) -> float:
    """The temperature at which shares are probabilities."""
    similarities = np.where(np.isfinite(votes.similarities), votes.similarities, NOBODY)
    return vote_temperature(similarities[~lone], (votes.labels == own[:, None])[~lone])


def _gathered(labels: Numbers, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares ``[Q, K]`` of labels of which some are there twice: their sum at the first place, nothing at the other."""
    keys = np.arange(len(labels))[:, None] * (labels.max() + 2) + labels + 1
    _, firsts, places = np.unique(keys, return_index=True, return_inverse=True)
    sums = np.zeros(labels.size)
    sums[firsts] = np.bincount(places.ravel(), shares.ravel())
    return sums.reshape(labels.shape)


def of_neighbours(index: Index, rows: Numbers, codes: Numbers, groups: Numbers) -> Votes:
    """Search for each of some references among all of them, and leave its own photo and group out of what is found."""
    there = np.flatnonzero(index.kept)
    references = index.vectors(there)
    of_class, of_group = np.bincount(codes[there]), _sizes(groups, there)
    wanted = np.minimum(np.maximum(of_class[codes[rows]], VOTERS) + of_group[rows] + 1, len(there))
    votes = _no_votes(len(rows), VOTERS)
    start = 0
    for found in nearest_in_blocks(index.vectors(rows), references, wanted):
        for query, places, values in zip(rows[start:], found.rows, found.similarities, strict=False):
            near = np.where(places >= 0, there[places], query)
            other = (groups[near] != groups[query]) & (near != query)
            _fill(votes, start, codes[near[other]], values[other], codes[query])
            start += 1
    return votes


def _no_votes(queries: int, voters: int) -> Votes:
    """Room for the votes on some queries."""
    nobody = np.full(queries, -np.inf), np.full(queries, -1)
    return Votes(np.full((queries, voters), -np.inf), np.full((queries, voters), -1), *nobody)


def _fill(votes: Votes, query: int, labels: Numbers, similarities: NDArray[np.float32], own: int) -> None:
    """Enter who is near one query, nearest first."""
    few = min(votes.labels.shape[1], len(labels))
    votes.similarities[query, :few], votes.labels[query, :few] = similarities[:few], labels[:few]
    strange = np.flatnonzero(labels != own)
    if len(strange):
        votes.strangers[query], votes.strange[query] = similarities[strange[0]], labels[strange[0]]


@dataclass(frozen=True)
class _HiddenPrototypes:
    """The prototypes as each of some references finds them: its own photo and group left out of them.

    Attributes:
        prototypes: with nothing left out.
        queries: ``[Q, D]``, the vectors of the references.
        own: ``[Q]``, their classes.
        lacking: what each of them finds in the place of some prototypes.
    """

    prototypes: Prototypes
    queries: NDArray[np.float32]
    own: Numbers
    lacking: Lacking

    @classmethod
    def of(cls, index: Index, rows: Numbers, codes: Numbers, groups: Numbers) -> "_HiddenPrototypes":
        """Those that some rows find."""
        prototypes = Prototypes.of(codes, index.vectors)
        hidden = np.flatnonzero(np.isin(groups, groups[rows]) & index.kept)
        lacking = prototypes.without(hidden, groups[hidden])
        return cls(prototypes, index.vectors(rows), codes[rows], lacking.of_cases(groups[rows]))

    def votes(self) -> Votes:
        """The nearest ones."""
        found = self.prototypes.nearest(self.queries, PROTOTYPES + self.lacking.most)
        found = replaced(found, PROTOTYPES, self.lacking, self._instead)
        strange = (found.rows != self.own[:, None]) & (found.rows >= 0)
        first = np.argmax(strange, axis=1)[:, None]
        there = strange.any(axis=1)
        similarities = found.similarities.astype(np.float64)
        strangers = np.where(there, np.take_along_axis(similarities, first, axis=1)[:, 0], -np.inf)
        names = np.where(there, np.take_along_axis(found.rows, first, axis=1)[:, 0], -1)
        return Votes(similarities, found.rows, strangers, names)

    def similarities(self, codes: Numbers) -> NDArray[np.float64]:
        """That of each reference with the prototype of one class ``[Q]``; -inf for the class -1."""
        cosines = np.einsum("qd,qd->q", self.queries, self.prototypes.vectors[codes]).astype(np.float64)
        places = self.lacking.keys
        here = self.lacking.codes == codes[places]
        cosines[places[here]] = self._instead[here]
        return np.where(codes >= 0, cosines, -np.inf)

    @cached_property
    def _instead(self) -> NDArray[np.float32]:
        """The similarities of what is found in the place of some prototypes."""
        return self.lacking.similarities(self.queries[self.lacking.keys])


def _sizes(groups: Numbers, there: Numbers) -> Numbers:
    """Of each row, how many references its group has."""
    return np.bincount(groups[there], minlength=groups.max() + 1)[groups]
