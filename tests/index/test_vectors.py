"""Candidates with all that may tie, from whatever finds the nearest."""

import numpy as np
import pytest

from index.vectors import SPARE, nearest_with_ties
from tests.index.conftest import unit


@pytest.mark.parametrize("k", [1, 5, 300])
def test_only_queries_that_are_not_settled_are_asked_again(random_vectors, k):
    """Of three queries the second is near 150 copies of one reference."""
    references, queries = random_vectors(300), random_vectors(3, seed=1)
    references[100:250] = queries[1]
    asked = []

    def search(some, wanted):
        asked.append((len(some), wanted))
        similarities = some @ references.T
        rows = np.argsort(-similarities, axis=1, kind="stable")[:, :wanted]
        return np.take_along_axis(similarities, rows, axis=1), rows

    found = nearest_with_ties(search, queries, k, len(references))
    first = k + SPARE
    assert asked == ([(3, first), (1, 4 * first), (1, min(16 * first, 300))] if k < 300 else [(3, 300)])
    for query, rows in zip(queries, found, strict=True):
        similarities = references.astype(np.float64) @ query
        kth = np.sort(similarities)[-k]
        assert {*np.flatnonzero(similarities >= kth - 1e-6)} <= {*rows} <= {-1, *range(300)}
        assert len({*rows} - {-1}) == (rows >= 0).sum() >= k


@pytest.mark.parametrize(("queries", "count"), [(0, 7), (2, 0), (0, 0)])
def test_no_queries_or_no_references(queries, count):
    def search(some, wanted):
        raise AssertionError("nothing is to be found")

    found = nearest_with_ties(search, unit(np.ones((queries, 4))), 3, count)
    assert found.shape == (queries, min(3, count))
