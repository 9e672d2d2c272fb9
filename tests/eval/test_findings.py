"""Findings, compared with plain loops."""

from dataclasses import replace

import numpy as np
import pytest

from eval.findings import LEAST_NEAR, find
from eval.leaks import SIMILAR_PICTURE, SIMILAR_VECTOR
from eval.vote import vote
from tests.conftest import unit
from tests.eval.test_references import GROUPS, IDS, hidden, made, naive

FAR = [(number * 0x9E3779B97F4A7C15) % 2**64 for number in range(200)]
"""Hashes that differ in many bits."""


def voters(known, query, k=10):
    """Those that vote for a reference, with their cosines."""
    others = [other for other in range(len(known)) if not hidden(known, query, other)]
    others, cosines = naive(known, query, others)
    return others[:k], cosines.astype(np.float32)


def is_lone(known, query):
    """Whether all others of its class are of its group."""
    own = [other for other in range(len(known)) if known.codes[other] == known.codes[query]]
    return {known.groups[other] for other in own} == {known.groups[query]}


@pytest.mark.parametrize("columns", [{}, {"groups": GROUPS}, {"ids": IDS}])
def test_doubts_are_what_plain_votes_give(columns):
    known = made(**columns)
    found = find(known)
    wanted = {}
    for query in range(len(known)):
        near, cosines = voters(known, query)
        first, *_ = elected = vote(cosines[near], [known.names[known.codes[other]] for other in near])
        label = known.names[known.codes[query]]
        if first.label != label and not is_lone(known, query):
            shares = {one.label: one.share for one in elected}
            wanted[query] = (first.label, first.share, shares.get(label, 0.0))
    assert len(wanted) > 3
    assert {one.row: one.elected for one in found.doubts} == {row: said[0] for row, said in wanted.items()}
    for one in found.doubts:
        near, cosines = voters(known, one.row, len(known))
        labels = [known.names[known.codes[other]] for other in near]
        assert (one.share, one.own_share) == pytest.approx(wanted[one.row][1:])
        assert one.nearest.row == near[labels.index(one.elected)]
        assert one.own.row == near[labels.index(known.names[known.codes[one.row]])]
        assert one.nearest.similarity == pytest.approx(cosines[one.nearest.row], abs=1e-6)
        assert one.own.similarity == pytest.approx(cosines[one.own.row], abs=1e-6)
    scores = [one.score for one in found.doubts]
    assert scores == sorted(scores, reverse=True)


def test_a_planted_wrong_label_comes_first():
    known = made(60, classes=4, seed=3, dimension=24)
    before = {one.row for one in find(known).doubts}
    codes = known.codes.copy()
    row = next(row for row in range(60) if row not in before)
    codes[row] = (codes[row] + 1) % 4
    first = find(replace(known, codes=codes)).doubts[0]
    assert (first.row, first.elected) == (row, known.names[known.codes[row]])


def test_the_only_ones_of_their_class_are_counted_and_not_judged():
    labels = ["lone", "twins", "twins", *["a", "b"] * 10]
    known = made(23, labels=labels, groups=[None, "t", "t", *[None] * 20])
    found = find(known, thin=3)
    assert found.lone == 3
    assert not {0, 1, 2} & {one.row for one in found.doubts}
    assert not {0, 1, 2} & {one.row for one in found.misleading}
    assert not {0, 1, 2} & {near.row for one in found.misleading for near in one.misled}
    assert [(one.label, one.independent, one.rows) for one in found.thin] == [("lone", 1, [0]), ("twins", 1, [1, 2])]


@pytest.mark.parametrize("columns", [{}, {"groups": GROUPS}, {"labels": [*"abcdefgh", *"ijkl" * 8]}])
def test_who_helps_and_who_misleads(columns):
    known = made(**columns)
    found = find(known, k=3)
    helped, misled = [[] for _ in range(40)], [[] for _ in range(40)]
    for query in range(40):
        near, cosines = voters(known, query, 3)
        for other in near if not is_lone(known, query) else ():
            (helped if known.codes[other] == known.codes[query] else misled)[other].append((-cosines[other], query))
    only = [row for row in range(40) if misled[row] and not helped[row] and not is_lone(known, row)]
    only.sort(key=lambda row: (-len(misled[row]), row))
    assert only
    assert [one.row for one in found.misleading] == only
    for one in found.misleading:
        assert [near.row for near in one.misled] == [query for _, query in sorted(misled[one.row])]
    assert found.unused == sum(not helped[row] and not misled[row] for row in range(40)) > 0


def test_of_a_sample_it_is_not_known_who_never_votes():
    known = made()
    whole, some = find(known, k=3), find(known, k=3, sample=20)
    assert whole.unused is not None
    assert some.unused is None
    assert 0 < len(some.looked_at) < 40
    misled = {one.row: {near.row for near in one.misled} for one in whole.misleading}
    for one in some.misleading:
        assert {near.row for near in one.misled} <= misled[one.row]


def alike(*cosines):
    """Vectors in a chain: each has the next cosine with the one before, and all chains start at right angles."""
    angles = np.cumsum([0, *np.arccos(cosines)])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_near_copies_are_connected_components(random_vectors):
    """Two chains, one of two labels; what lies between them is far."""
    vectors = random_vectors(30, 40)
    vectors[:3], vectors[5:7] = 0, 0
    vectors[:3, :2], vectors[5:7, 2:4] = alike(0.97, 0.96), alike(0.99)
    known = made(30, labels=["a", "a", "b", *["c"] * 27])
    found = find(replace(known, vectors=unit(vectors)), near=0.95)
    assert [(one.rows, one.labels) for one in found.copies] == [([0, 1, 2], ["a", "b"]), ([5, 6], ["c"])]
    assert [one.similarity for one in found.copies] == pytest.approx([0.96, 0.99], abs=1e-3)
    assert [one.rows for one in find(replace(known, vectors=unit(vectors)), near=0.965).copies] == [[5, 6], [0, 1]]


def test_the_same_picture_is_a_near_copy_whatever_the_vectors_say(random_vectors):
    hashes = FAR[:20]
    hashes[4] = hashes[9] ^ 0b10011
    hashes[6] = hashes[11] ^ 0b10111
    hashes[2] = hashes[13] = None
    known = replace(made(20, hashes=hashes), vectors=random_vectors(20, 30))
    assert SIMILAR_PICTURE == 3
    found = find(known, k=19, near=1.0)
    assert [one.rows for one in found.copies] == [[4, 9]]
    assert found.copies[0].similarity == pytest.approx(float(known.vectors[4] @ known.vectors[9]), abs=1e-6)


def test_near_copies_are_found_from_one_side(random_vectors):
    """Only the class of one of them is drawn."""
    vectors = random_vectors(12, 30)
    vectors[11] = vectors[0]
    known = replace(made(12, labels=[*"aa", *"b" * 10]), vectors=vectors)
    assert [one.rows for one in find(known, sample=2).copies] == [[0, 11]]


def test_one_photo_under_several_labels_is_a_contradiction(random_vectors):
    vectors = random_vectors(12, 30)
    vectors[7] = vectors[2]
    known = made(12, ids=[str(number if number != 7 else 2) for number in range(12)], labels=list("abcabcabdabc"))
    found = find(replace(known, vectors=vectors))
    assert [(one.rows, one.labels) for one in found.copies] == [([2, 7], ["b", "c"])]


def test_by_default_near_is_half_the_usual_distance():
    loose = made(30, dimension=20)
    assert find(loose).near == LEAST_NEAR
    known = replace(loose, vectors=unit(loose.vectors + 2.2 * np.eye(20)[0]))
    nearest = [voters(known, query, 1) for query in range(30)]
    usual = np.median([cosines[near[0]] for near, cosines in nearest])
    assert find(known).near == pytest.approx((1 + usual) / 2)
    copies = replace(known, vectors=np.repeat(known.vectors[:15], 2, axis=0))
    assert find(copies).near == SIMILAR_VECTOR


def test_a_sample_is_searched_for_among_all():
    known = made(200, classes=20, dimension=12)
    whole, part = find(known), find(known, sample=60, seed=1)
    rows = {*part.looked_at.tolist()}
    assert len(rows) <= 60
    assert {one.row: one.elected for one in part.doubts} == {
        one.row: one.elected for one in whole.doubts if one.row in rows
    }
    assert {one.row for one in part.misleading} <= rows
    assert part.thin == whole.thin
    assert find(known, sample=0).doubts == whole.doubts


def test_rows_are_those_of_the_index():
    known = made(40, groups=GROUPS)
    found, moved = find(known, k=4), find(replace(known, rows=np.arange(40) * 2 + 100), k=4)
    assert [one.row for one in moved.doubts] == [one.row * 2 + 100 for one in found.doubts]
    assert [one.nearest.row for one in moved.doubts] == [one.nearest.row * 2 + 100 for one in found.doubts]
    assert [one.own.row for one in moved.doubts] == [one.own.row * 2 + 100 for one in found.doubts]
    assert [near.row for one in moved.misleading for near in one.misled] == [
        near.row * 2 + 100 for one in found.misleading for near in one.misled
    ]
    there = found.voters.rows >= 0
    assert (moved.voters.rows[there] == found.voters.rows[there] * 2 + 100).all()
    assert (moved.voters.rows[~there] == -1).all()


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_one_class_has_no_doubts(count):
    found = find(made(count, labels=["a"] * count), thin=3)
    assert (found.doubts, found.misleading, len(found.thin)) == ([], [], int(count < 3))
    assert found.lone == (count == 1)
    assert found.near == (SIMILAR_VECTOR if count == 1 else pytest.approx(found.near))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0; it must be at least 1"),
        ({"near": 0.0}, "near is 0.0; it is a cosine"),
        ({"near": 1.01}, "near is 1.01; it is a cosine"),
        ({"near": float("nan")}, "near is nan; it is a cosine"),
        ({"sample": -1}, "sample is -1; give a number of references, or 0 for all"),
        ({"seed": -1, "sample": 5}, "seed is -1; it must be 0 or more"),
    ],
)
def test_options_out_of_their_range(options, message):
    with pytest.raises(ValueError, match=message):
        find(made(), **options)
