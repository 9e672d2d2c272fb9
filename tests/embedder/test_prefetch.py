import threading
import time

import pytest

from embedder.prefetch import batched, prefetched


def test_order_is_kept_whatever_takes_longest():
    def slow(number):
        time.sleep(0.01 * (number % 3))
        return number * number

    assert list(prefetched(slow, range(20), threads=4, ahead=6)) == [number * number for number in range(20)]


def test_no_more_than_ahead_is_begun():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = prefetched(lambda number: number, items(), threads=2, ahead=5)
    assert next(results) == 0
    time.sleep(0.05)
    assert taken == list(range(6))
    assert next(results) == 1
    assert taken == list(range(7))


def test_the_work_is_done_in_threads_while_the_caller_does_something_else():
    done = threading.Event()
    results = prefetched(lambda number: done.set() if number == 1 else None, range(2), threads=1, ahead=1)
    next(results)
    assert done.wait(5)


def test_an_error_comes_at_its_turn_and_ends_the_work():
    def broken(number):
        if number == 2:
            raise ValueError("two")
        return number

    results = prefetched(broken, range(100), threads=2, ahead=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert list(results) == []


def test_leaving_early_stops_the_threads():
    before = threading.active_count()
    results = prefetched(lambda number: number, range(1000), threads=3, ahead=10)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_batched():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
