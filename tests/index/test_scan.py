import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from eval.errors import InputError
from eval.folders import flat_header
from eval.similarity import slack
from index.scan import ALONE, Halves, Scan
from tests.index.conftest import unit


def vectors_with_near_copies(dimension, count=300):
    """A third of them lie closer to each other than half precision can tell."""
    random = np.random.default_rng(dimension)
    vectors = unit(random.normal(size=(count, dimension)))
    third = slice(0, count // 3)
    vectors[third] = unit(vectors[0] + random.normal(size=(count // 3, dimension)) * 2e-4)
    return vectors


def scan(folder, vectors, deleted=()):
    path = folder / "vectors.faiss"
    path.write_bytes(flat_header(len(vectors), vectors.shape[1]) + vectors.tobytes())
    return Scan(path, vectors, np.array(deleted, np.int64))


@pytest.mark.parametrize(("deleted", "first"), [((), 0), ((3, 50, 51, 299), 0), ((3, 50), 20)])
@pytest.mark.parametrize("dimension", [5, 64, 200])
def test_a_query_alone_finds_the_nearest_before_and_after_vectors_are_copied(tmp_path, dimension, deleted, first):
    vectors = vectors_with_near_copies(dimension)
    scanned = scan(tmp_path, vectors, deleted)
    cosines = vectors.astype(np.float64) @ vectors.T
    cosines[:, [*deleted, *range(first)]] = -np.inf
    for query in range(3 * ALONE):
        found = scanned.candidates(vectors[[query]], 10, first)[0]
        assert {*np.argsort(-cosines[query])[:10]} <= {*found.tolist()}
        assert np.isfinite(cosines[query, found[found >= 0]]).all()
        assert (scanned._halves is None) == (query < ALONE or first > 0)


def test_what_is_too_large_is_not_copied(tmp_path, random_vectors, monkeypatch):
    vectors = random_vectors(30)
    for most, copied in ((vectors.size - 1, False), (vectors.size, True)):
        monkeypatch.setattr("index.scan.FAST_ENOUGH", most)
        scanned = scan(tmp_path, vectors)
        for _ in range(2 * ALONE):
            scanned.candidates(random_vectors(1), 3)
        assert (scanned._halves is not None) == copied


def test_where_there_is_no_memory_for_a_copy(tmp_path, random_vectors, monkeypatch):
    def none(_):
        raise MemoryError

    monkeypatch.setattr("index.scan.Halves", none)
    scanned = scan(tmp_path, random_vectors(30))
    for _ in range(2 * ALONE):
        assert (scanned.candidates(random_vectors(1), 3) >= 0).any()


def test_many_queries_at_once_copy_nothing(tmp_path, random_vectors):
    scanned = scan(tmp_path, random_vectors(30))
    for _ in range(2 * ALONE):
        scanned.candidates(random_vectors(2), 3)
    assert scanned._halves is None


@pytest.mark.parametrize("dimension", [5, 64, 1280])
def test_the_error_of_half_precision_is_known(dimension):
    vectors = vectors_with_near_copies(dimension)
    halves = Halves(vectors)
    queries = np.concatenate([vectors[:20], unit(np.random.default_rng(1).normal(size=(20, dimension)))])
    similarities, rows = halves.search(queries, len(vectors))
    exact = np.take_along_axis(queries.astype(np.float64) @ vectors.T, rows, axis=1)
    assert 0 < np.abs(similarities - exact).max() <= halves.error + slack(dimension)
    assert halves.error < 2.0**-11


def test_values_that_are_not_numbers_are_told_before_and_after(tmp_path, random_vectors):
    vectors = random_vectors(20)
    vectors[4, 2] = np.nan
    scanned = scan(tmp_path, vectors)
    for _ in range(2 * ALONE):
        with pytest.raises(InputError, match=r"damaged.*not numbers"):
            scanned.candidates(random_vectors(1), 20)


def test_faiss_keeps_its_number_of_cores(tmp_path, random_vectors):
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        scan(tmp_path, random_vectors(5)).candidates(random_vectors(1), 2)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_a_metric_learning_library_in_the_same_process_does_no_harm():
    """faiss.contrib.torch_utils patches faiss for the whole process; here in one of its own."""
    script = (
        "import faiss.contrib.torch_utils, numpy as np\n"
        "from index.scan import Halves\n"
        "halves = Halves(np.eye(4, dtype=np.float32))\n"
        "assert halves.error == 0\n"
        "assert halves.search(np.eye(4, dtype=np.float32)[:1], 1, params=None)[1][0, 0] == 0\n"
    )
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", script]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
