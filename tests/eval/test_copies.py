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


@pytest.mark.parametrize("bits", [0, 3, 6])
@pytest.mark.parametrize("at_once", [3, 1000])
def test_pairs_that_look_alike_are_those_that_comparing_all_finds(monkeypatch, at_once, bits):
    """Few bits are set, so that many hashes are near; and each pair comes once."""
    monkeypatch.setattr(copies, "_COMPARED_AT_ONCE", at_once)
    draw = np.random.default_rng(0)
    pictures = np.bitwise_or.reduce(np.uint64(1) << draw.integers(0, 64, (200, 4), np.uint64), axis=1)
    pictures[7], pictures[9] = pictures[5], pictures[5]
    differing = np.bitwise_count(pictures[:, None] ^ pictures)
    wanted = np.stack(np.nonzero(np.triu(differing <= bits, 1))).T.tolist()
    found = np.concatenate([*look_alikes(pictures, bits)], axis=1).T.tolist()
    assert 2 < len(wanted) < 200 * 199 / 2
    assert sorted(found) == wanted


def test_nothing_looks_like_nothing():
    assert [*look_alikes(np.empty(0, np.uint64))] == []
