from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from time import sleep

import numpy as np
import pytest

from eval import neighbours, tiles
from eval.evaluation import evaluate
from eval.neighbours import nearest
from eval.tiles import Schedule, nearest_in_tiles
from tests.eval.test_evaluation import embeddings
from tests.eval.test_neighbours import grid, unit


@pytest.mark.parametrize("vectors", [unit, lambda count, _, seed=0: grid(count, seed)], ids=["distinct", "ties"])
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("side", [37, 64, 4096])
@pytest.mark.parametrize("k", [1, 5, 40, 299])
def test_tiles_give_what_whole_rows_give(vectors, alone: bool, side: int, k: int) -> None:
    queries = vectors(300, 16)
    references = None if alone else vectors(200, 16, 5)
    heaps = nearest_in_tiles(queries, references, np.full(300, k), side)
    expected = nearest(queries, references, k)
    assert np.array_equal(heaps.rows.reshape(300, k), expected.rows)
    assert np.array_equal(heaps.similarities.reshape(300, k), expected.similarities)


def test_copies_of_one_vector_are_found_by_row() -> None:
    vectors = np.repeat(unit(3, 32), 100, axis=0)
    heaps = nearest_in_tiles(vectors, None, np.full(300, 4), 64)
    for row, found in enumerate(heaps.rows.reshape(300, 4)):
        others = [other for other in range(row // 100 * 100, row // 100 * 100 + 100) if other != row]
        assert found.tolist() == others[:4]


def test_a_large_set_is_measured_as_a_small_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"class {number}" for number in np.random.default_rng(3).geometric(0.05, 600)]
    assert {1, 2, 20} < set(Counter(Counter(labels).values()))  # lone classes and a long tail
    queries = embeddings(labels)
    expected = evaluate(queries)
    monkeypatch.setattr(neighbours, "LARGE", 0)
    searches = []
    monkeypatch.setattr(tiles, "nearest_in_tiles", lambda *asked: searches.append(asked) or nearest_in_tiles(*asked))
    found = evaluate(queries)
    assert len(searches) == 1
    for name, values in expected.per_query.items():
        assert np.array_equal(found.per_query[name], values), name


@pytest.mark.parametrize("itself", [True, False])
def test_no_two_workers_write_to_the_same_rows(itself: bool) -> None:
    every = [(above, left) for above in range(9) for left in range(9) if not itself or left >= above]
    schedule, busy, done, overlaps = Schedule(list(every), itself), Counter(), [], []
    lock = Lock()

    def work(_: int) -> None:
        for tile in schedule:
            written = set(tile) if itself else {tile[0]}
            with lock:
                busy.update(written)
                overlaps.extend(block for block in written if busy[block] > 1)
            sleep(0.0005)
            with lock:
                busy.subtract(written)
                done.append(tile)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert sorted(done) == every
    assert not overlaps


def test_a_stopped_schedule_hands_out_no_more() -> None:
    schedule = Schedule([(0, 0), (1, 1), (2, 2)], True)
    seen = []
    for tile in schedule:
        seen.append(tile)
        schedule.stop()
    assert seen == [(0, 0)]


def test_a_failing_worker_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(tiles, "_scan", broken)
    with pytest.raises(MemoryError, match="no more"):
        nearest_in_tiles(unit(300, 16), None, np.full(300, 2), 16)


@pytest.mark.parametrize("side", [37, 400])
def test_lengths_that_are_nearly_one_are_ranked_alike(side: int) -> None:
    """Parallel vectors a little longer or shorter, as a set may hold them: all cosines are 1 for people."""
    lengths = np.random.default_rng(0).uniform(0.9992, 1.0008, (200, 1))
    vectors = (lengths * np.array([[0.6, 0.8, 0.0]])).astype(np.float32)
    heaps, expected = nearest_in_tiles(vectors, None, np.full(200, 3), side), nearest(vectors, None, 3)
    assert np.array_equal(heaps.rows.reshape(200, 3), expected.rows)
    assert np.array_equal(heaps.similarities.reshape(200, 3), expected.similarities)
    assert expected.similarities.max() <= 1
