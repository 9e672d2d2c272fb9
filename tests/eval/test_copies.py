import numpy as np

from eval.copies import linked, look_alike


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
