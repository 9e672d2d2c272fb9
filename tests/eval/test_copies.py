import numpy as np
import pytest

from eval import copies
from eval.copies import linked, look_alike, look_alikes


def test_what_is_linked_is_one():
    members, component = linked(np.array([[5, 9, 2, 7], [9, 11, 7, 2]]))
    assert members.tolist() == [2, 5, 7, 9, 11]
    assert component.tolist() == [0, 1, 0, 1, 1]
    assert [len(part) for part in linked(np.empty((2, 0), np.int64))] == [0, 0]


def test_what_looks_alike():
    pictures = np.array([0b1111, 0b1000, 0b0000, 0b0000], np.uint64)
    pairs = np.array([[0, 0, 0, 2], [1, 2, 3, 3]])
    known = np.array([True, True, True, False])
    assert look_alike(pictures, known, pairs).tolist() == [True, False, False, False]


@pytest.mark.parametrize("at_once", [3, 1000])
def test_pairs_that_look_alike_are_those_that_comparing_all_finds(monkeypatch, at_once):
    """Few bits are drawn, so that many hashes are near; and many have a band in common by chance."""
    monkeypatch.setattr(copies, "_COMPARED_AT_ONCE", at_once)
    draw = np.random.default_rng(0)
    pictures = np.bitwise_or.reduce(np.uint64(1) << draw.integers(0, 64, (300, 3), np.uint64), axis=1)
    pictures[7], pictures[9] = pictures[5], pictures[5]
    bits = np.bitwise_count(pictures[:, None] ^ pictures)
    members, component = linked(look_alikes(pictures))
    wanted_members, wanted = linked(np.stack(np.nonzero((bits <= 3) & ~np.eye(300, dtype=bool))))
    assert 2 < len(wanted_members) < 300
    assert (members.tolist(), component.tolist()) == (wanted_members.tolist(), wanted.tolist())
    assert 1 < component.max() + 1 < len(members)


@pytest.mark.parametrize(("bits", "alike"), [(3, True), (4, False)])
def test_hashes_that_look_alike_differ_in_few_bits_wherever_they_are(bits, alike):
    for first in range(0, 64 - 17 * (bits - 1)):
        other = sum(1 << first + 17 * place for place in range(bits))
        assert look_alikes(np.array([0, other], np.uint64)).tolist() == ([[0], [1]] if alike else [[], []])


def test_nothing_looks_like_nothing():
    assert look_alikes(np.empty(0, np.uint64)).shape == (2, 0)
