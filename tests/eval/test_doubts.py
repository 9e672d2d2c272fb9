"""Doubts about labels, compared with plain loops over queries and neighbours."""

from math import exp, log

import numpy as np
import pytest

from eval.doubts import doubts
from eval.vote import TEMPERATURE, vote


def drawn(seed, queries=60, k=5, classes=6, missing=0.2):
    """Queries of classes, each with up to k neighbours of any class, nearest first."""
    draw = np.random.default_rng(seed)
    codes = draw.integers(0, classes, queries)
    similarities = -np.sort(-draw.uniform(0.3, 0.9, (queries, k)).astype(np.float32), axis=1)
    labels = np.where(draw.random((queries, k)) < 0.5, codes[:, None], draw.integers(0, classes, (queries, k)))
    there = np.arange(k) < k - (draw.random(queries) < missing)[:, None] * draw.integers(1, k + 1, (queries, 1))
    return codes, np.where(there, similarities, np.float32(-np.inf)), np.where(there, labels, -1)


def naive_score(query, codes, labels, winner, margin, classes):
    """The formula of ``doubts``, one probability at a time."""
    k = labels.shape[1]
    votes = [(codes[one], label) for one in range(len(codes)) for label in labels[one] if label >= 0]
    agreeing = (sum(code == label for code, label in votes) + 1) / (len(votes) + 2)

    def probability(label, given, but):
        of_others = [
            other
            for one in range(len(codes))
            if codes[one] == given and one != but
            for other in labels[one]
            if other >= 0
        ]
        usual = agreeing if label == given else (1 - agreeing) / (classes - 1)
        return (of_others.count(label) + k * usual) / (len(of_others) + k)

    near = [label for label in labels[query] if label >= 0]
    ratios = [log(probability(label, winner, query) / probability(label, codes[query], query)) for label in near]
    return margin * sum(ratios) / len(ratios)


@pytest.mark.parametrize("seed", range(4))
def test_they_are_what_plain_loops_give(seed):
    codes, similarities, labels = drawn(seed)
    found = doubts(codes, similarities, labels)
    disputed = 0
    for query in range(len(codes)):
        near = labels[query] >= 0
        shares = {one.label: one.share for one in vote(similarities[query][near], labels[query][near].tolist())}
        if not shares:
            assert (found.winners[query], found.shares[query], found.own_shares[query]) == (-1, 0, 0)
            assert found.scores[query] == 0
            continue
        winner = next(iter(shares))
        own = shares.get(codes[query], 0.0)
        assert found.winners[query] == winner
        assert found.shares[query] == pytest.approx(shares[winner])
        assert found.own_shares[query] == pytest.approx(own)
        if winner == codes[query]:
            assert found.scores[query] == 0
        else:
            disputed += 1
            wanted = naive_score(query, codes, labels, winner, shares[winner] - own, 6)
            assert found.scores[query] == pytest.approx(wanted)
    assert disputed > 10


def test_what_look_alikes_do_all_the_time_is_less_doubtful():
    """Classes 0 and 1 are always mixed up, 2 and 3 never; one photo of each is among the other's."""
    codes = np.repeat([0, 1, 2, 3], 10)
    mixed = np.tile([0, 1, 0, 1], (20, 1))
    pure = np.repeat([2, 3], 10)[:, None] * np.ones((1, 4), int)
    labels = np.concatenate([mixed, pure])
    labels[0], labels[20] = 1, 3
    found = doubts(codes, np.full(labels.shape, 0.5, np.float32), labels)
    assert found.winners[[0, 20]].tolist() == [1, 3]
    assert found.shares[0] == found.shares[20] == 1
    assert found.scores[20] > 3 * found.scores[0] > 0


def test_a_winner_without_queries_of_its_own_is_taken_for_a_usual_class():
    codes = np.array([0] * 8 + [1] * 8)
    labels = np.repeat(codes[:, None], 3, axis=1)
    labels[0], labels[1] = 2, 1
    found = doubts(codes, np.full(labels.shape, 0.5, np.float32), labels)
    assert found.winners[0] == 2
    assert found.scores[0] > found.scores[1] / 2 > 0


def test_one_class_leaves_no_doubt():
    found = doubts(np.zeros(3, int), np.full((3, 2), 0.5, np.float32), np.zeros((3, 2), int))
    assert found.scores.tolist() == [0, 0, 0]
    assert found.own_shares.tolist() == [1, 1, 1]


def test_the_weight_of_a_vote_is_that_of_the_index():
    found = doubts(np.array([0]), np.array([[0.8, 0.7]], np.float32), np.array([[1, 0]]))
    assert found.own_shares[0] == pytest.approx(exp(-0.1 / TEMPERATURE) / (1 + exp(-0.1 / TEMPERATURE)), abs=1e-6)
