import numpy as np
import pyarrow as pa

from eval.groups import first_rows, group_codes, independent


def test_the_first_rows_of_more_text_than_one_array_can_hold():
    """Eighty chunks share one buffer of 32 MB, so that together they have 2.7 GB of text."""
    chunk = pa.array([name * 2**20 for name in "abcdefghijklmnopqrstuvwxyzABCDEF"])
    assert first_rows(pa.chunked_array([chunk] * 80)).tolist() == [*range(32)] * 80


def test_how_many_groups_a_class_has():
    assert independent(np.array([0, 0, 0, 2, 2]), np.array([7, 7, 3, 7, 7])).tolist() == [2, 0, 1]
    assert independent(np.arange(0), np.arange(0)).tolist() == []


def test_groups_keep_their_numbers_when_photos_are_added():
    names = ["x", None, "y", "x", None, "y"]
    table = pa.table({"id": list("abcdef"), "group": pa.array(names)})
    more = pa.table({"id": list("abcdefgh"), "group": pa.array([*names, "z", "x"])})
    assert group_codes(table).tolist() == [0, 1, 2, 0, 4, 2]
    assert group_codes(more).tolist() == [0, 1, 2, 0, 4, 2, 6, 0]
    twins = pa.table({"id": list("abca")})
    assert group_codes(twins, shared_ids=True).tolist() == [0, 1, 2, 0]
    assert group_codes(twins).tolist() == [0, 1, 2, 3]
