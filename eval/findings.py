"""What is worth a person's look: doubtful labels, near copies, references that only mislead, thin classes.

Each reference is searched for among the others, once. Hidden from its vote are its own photo and its group, as they say
what it was labelled and not what it looks like.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eval.copies import linked, look_alike
from eval.doubts import doubts
from eval.errors import InputError
from eval.leaks import SIMILAR_VECTOR
from eval.neighbours import Neighbours
from eval.references import Mask, References, Rows, split
from eval.vote import VOTERS

SAMPLE = 50_000
"""References that are looked at where there are more."""

LEAST_NEAR = 0.95
"""The least cosine from which on two are near copies where nobody says which: in a small set the nearest are far."""

THIN = 5
"""A class of fewer independent references is thin."""


class Near(NamedTuple):
    """A row beside another one, and the cosine of the two."""

    row: int
    similarity: float


@dataclass(frozen=True)
class Doubt:
    """A reference whose neighbours elect another label than its own.

    Attributes:
        row: of the index.
        elected: the label that they elect.
        share: in [0, 1], its share of the vote.
        own_share: in [0, 1], the share of the own label.
        score: how much the own label is to be doubted, by ``eval.doubts``.
        nearest: the nearest reference of the elected label.
        own: the nearest other one of the own label, which need not be among those that vote.
    """

    row: int
    elected: str
    share: float
    own_share: float
    score: float
    nearest: Near
    own: Near


@dataclass(frozen=True)
class Copies:
    """References that are nearly one photo, each a near copy of at least one other of them.

    Attributes:
        rows: of the index, ascending.
        labels: all that they have, in alphabetical order; several contradict each other.
        similarity: the least cosine of two of them that are near copies.
    """

    rows: list[int]
    labels: list[str]
    similarity: float


@dataclass(frozen=True)
class Misleading:
    """A reference that votes for others, and never for one of its own label.

    Attributes:
        row: of the index.
        misled: the rows of those others, the nearest first.
    """

    row: int
    misled: list[Near]


@dataclass(frozen=True)
class Thin:
    """A class of few references.

    Attributes:
        label: its name.
        independent: how many there are, where photos of one group count once.
        rows: all of them, ascending.
    """

    label: str
    independent: int
    rows: list[int]


@dataclass(frozen=True)
class Findings:
    """All that was found.

    Attributes:
        looked_at: ``[Q]``, the rows that were searched for: all, or those of drawn classes.
        voters: the rows of those that vote for each, ``[Q, k]``; -1 where there are fewer.
        lone: how many of these have no other of their class but those of their group, so that no label can be doubted.
        near: the cosine from which on two are near copies.
        unused: how many vote for no other; None where not all were searched for.
        doubts: the most doubtful first.
        copies: those of several labels first, then the most alike.
        misleading: those that mislead most first.
        thin: of all classes, those of the fewest first.
    """

    looked_at: Rows
    voters: Neighbours
    lone: int
    near: float
    unused: int | None
    doubts: list[Doubt]
    copies: list[Copies]
    misleading: list[Misleading]
    thin: list[Thin]


def find(
    references: References,
    *,
    k: int = VOTERS,
    near: float | None = None,
    thin: int = THIN,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Findings:
    """Look for all of it.

    Args:
        references: one at least.
        k: how many vote for each.
        near: the cosine from which on two are near copies, in (0, 1]. None for half the usual distance: as far from 1
            as half the median similarity of the nearest is, but from ``LEAST_NEAR`` to ``SIMILAR_VECTOR``.
            Those among the ``k`` nearest that look the same by their hashes are near copies anyway.
        thin: a class of fewer independent references is thin.
        sample: how many references to search for, in whole classes that are drawn; 0 for all. All are searched in.
        seed: of that draw.

    Raises:
        InputError: ``k``, ``near``, ``sample`` or ``seed`` is out of its range.
    """
    if k < 1:
        raise InputError(f"k is {k}; it must be at least 1")
    if near is not None and not 0 < near <= 1:
        raise InputError(f"near is {near}; it is a cosine, above 0 and at most 1")
    if sample < 0:
        raise InputError(f"sample is {sample}; give a number of references, or 0 for all")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")
    queries = references.drawn(sample, seed)
    others, voters = references.search(queries, k)
    judged = references.independent()[references.codes[queries]] > 1
    near = _half_of_the_usual_distance(voters) if near is None else near
    misleading, unused = _misleading(references, queries, voters, judged)
    return Findings(
        looked_at=references.rows[queries],
        voters=Neighbours(np.where(voters.rows >= 0, references.rows[voters.rows], -1), voters.similarities),
        lone=int((~judged).sum()),
        near=near,
        unused=unused if len(queries) == len(references) else None,
        doubts=_doubts(references, queries[judged], Neighbours(voters.rows[judged], voters.similarities[judged])),
        copies=_copies(references, queries, others, near),
        misleading=misleading,
        thin=_thin(references, thin),
    )


def _half_of_the_usual_distance(voters: Neighbours) -> float:
    """The default of ``near``."""
    nearest = voters.similarities[voters.rows[:, 0] >= 0, 0]
    if not len(nearest):
        return SIMILAR_VECTOR
    return min(max((1 + float(np.median(nearest))) / 2, LEAST_NEAR), SIMILAR_VECTOR)


def _doubts(references: References, queries: Rows, voters: Neighbours) -> list[Doubt]:
    """The doubtful ones of some references, each of which has another one of its class and of another group."""
    rows, codes = references.rows, references.codes
    labels = np.where(voters.rows >= 0, codes[voters.rows], -1)
    said = doubts(codes[queries], voters.similarities, labels)
    lost = np.flatnonzero((said.winners >= 0) & (said.winners != codes[queries]))
    lost = lost[np.lexsort((queries[lost], -said.scores[lost]))]
    first = (labels[lost] == said.winners[lost, None]).argmax(axis=1)
    own = references.nearest_of_own(queries[lost])
    return [
        Doubt(
            row=int(rows[queries[query]]),
            elected=references.names[said.winners[query]],
            share=float(said.shares[query]),
            own_share=float(said.own_shares[query]),
            score=float(said.scores[query]),
            nearest=Near(int(rows[voters.rows[query, first[place]]]), float(voters.similarities[query, first[place]])),
            own=Near(int(rows[own.rows[place, 0]]), float(own.similarities[place, 0])),
        )
        for place, query in enumerate(lost)
    ]


def _copies(references: References, queries: Rows, others: Neighbours, near: float) -> list[Copies]:
    """The connected components of near copies."""
    query, place = np.nonzero(others.rows >= 0)
    pairs, cosines = np.stack([queries[query], others.rows[query, place]]), others.similarities[query, place]
    alike = (cosines >= near) | look_alike(references.pictures, references.pictured, pairs)
    members, component = linked(pairs[:, alike])
    least = np.full(component.max(initial=-1) + 1, np.inf, np.float32)
    np.minimum.at(least, component[np.searchsorted(members, pairs[0, alike])], cosines[alike])
    groups = [
        Copies(
            rows=references.rows[some].tolist(),
            labels=sorted({references.names[code] for code in references.codes[some]}),
            similarity=float(cosine),
        )
        for some, cosine in zip(split(members, component), least, strict=True)
    ]
    return sorted(groups, key=lambda group: (len(group.labels) == 1, -group.similarity, group.rows))


def _misleading(
    references: References, queries: Rows, voters: Neighbours, judged: Mask
) -> tuple[list[Misleading], int]:
    """Those of ``queries`` that only mislead, and how many of them have no vote at all.

    Whoever is the only one of its class can neither be helped nor help.
    """
    rows, codes = references.rows, references.codes
    query, place = np.nonzero((voters.rows >= 0) & judged[:, None])
    voter, cosines = voters.rows[query, place], voters.similarities[query, place]
    right = codes[voter] == codes[queries[query]]
    helped, misled = (np.bincount(voter[some], minlength=len(references))[queries] for some in (right, ~right))
    some = queries[judged & (helped == 0) & (misled > 0)]
    links = np.flatnonzero(np.isin(voter, some))
    links = links[np.lexsort((query[links], -cosines[links]))]
    found = [
        Misleading(int(rows[one]), [Near(int(rows[queries[query[link]]]), float(cosines[link])) for link in theirs])
        for one, theirs in zip(some, split(links, np.searchsorted(some, voter[links])), strict=True)
    ]
    return sorted(found, key=lambda one: (-len(one.misled), one.row)), int((helped + misled == 0).sum())


def _thin(references: References, fewest: int) -> list[Thin]:
    """The classes of fewer independent references than ``fewest``."""
    classes = zip(references.names, references.independent(), split(references.rows, references.codes), strict=True)
    found = [Thin(name, int(count), rows.tolist()) for name, count, rows in classes if count < fewest]
    return sorted(found, key=lambda one: (one.independent, one.label))
