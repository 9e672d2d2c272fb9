"""Labels that the nearest references contradict: how clearly, and how unlike what is usual between the two classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.vote import TEMPERATURE, elected, softmax

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Doubts:
    """What the nearest references say of each label.

    Attributes:
        winners: ``[Q]``, the label that they elect; -1 where there are none.
        shares: ``[Q]`` in [0, 1], that label's share of the vote.
        own_shares: ``[Q]``, the share of the own label.
        scores: ``[Q]``, how much the own label is to be doubted; 0 where it wins, below 0 where such a vote is less
            usual for the winner than for the own label.
    """

    winners: Numbers
    shares: NDArray[np.float64]
    own_shares: NDArray[np.float64]
    scores: NDArray[np.float64]


def doubts(codes: Numbers, similarities: NDArray[np.float32], labels: Numbers) -> Doubts:
    """Weigh labels against those of the nearest references.

    Where two classes are look-alikes, neighbours of the other one are nothing to wonder at. So the margin of the vote,
    the winner's share less the own label's, is multiplied by how much more usual the neighbours' labels are for the
    winner: by the mean over the neighbours of log P(label | winner) - log P(label | own label), as in a naive Bayes
    classifier. P(label | class) is how often the label is among the neighbours of the queries of a class, all of them
    but the one in question; to each class are added the neighbours of one query, as they are on average over classes.

    Args:
        codes: ``[Q]``, the labels of the queries as numbers from 0 on.
        similarities: ``[Q, k]`` cosines of the nearest references, nearest first; -inf where there is none.
        labels: ``[Q, k]``, their labels as such numbers; -1 where there is none.
    """
    winners, shares = elected(similarities, labels)
    own_shares = (softmax(similarities, TEMPERATURE) * (labels == codes[:, None])).sum(axis=1)
    scores = np.zeros(len(codes))
    lost = np.flatnonzero((winners >= 0) & (winners != codes))
    scores[lost] = (shares - own_shares)[lost] * _more_usual(codes, labels, winners, lost)
    return Doubts(winners, shares, own_shares, scores)


def _more_usual(codes: Numbers, labels: Numbers, winners: Numbers, lost: Numbers) -> NDArray[np.float64]:
    """By how much the neighbours' labels are more usual for the winner, for the queries ``lost``."""
    classes = int(max(codes.max(initial=0), labels.max(initial=0))) + 1
    there = labels >= 0
    pairs, counts = np.unique((codes[:, None] * classes + labels)[there], return_counts=True)
    votes = np.bincount(codes, there.sum(axis=1), minlength=classes)
    agreeing = ((labels == codes[:, None]).sum() + 1) / (there.sum() + 2)
    near = labels[lost]

    def likelihoods(given: Numbers, less: Numbers | int, votes_less: Numbers | int) -> NDArray[np.float64]:
        wanted = given[:, None] * classes + near
        places = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1)
        often = np.where(pairs[places] == wanted, counts[places], 0) - less
        usual = np.where(near == given[:, None], agreeing, (1 - agreeing) / max(1, classes - 1))
        added = labels.shape[1]
        return (often + added * usual) / (votes[given] - votes_less + added)[:, None]

    own_votes = sum((near == near[:, [place]] for place in range(labels.shape[1])), np.zeros_like(near))
    ratios = likelihoods(winners[lost], 0, 0) / likelihoods(codes[lost], own_votes, there[lost].sum(axis=1))
    return np.log(ratios, where=there[lost], out=np.zeros(near.shape)).sum(axis=1) / there[lost].sum(axis=1)
