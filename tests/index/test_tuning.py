"""Tuning compared with plain loops over all references."""

import faiss
import numpy as np
import pytest

from index import Index
from index.candidates import set_parameters
from index.remove import main as remove
from index.tuning import tuned
from tests.index.conftest import commit_vectors, unit

COUNT, DIMENSION = 1200, 24


@pytest.fixture
def index(tmp_path):
    """References of which a third have been deleted."""
    vectors = unit(np.random.default_rng(0).normal(size=(COUNT, DIMENSION)))
    folder = commit_vectors(tmp_path / "a.index", vectors)
    remove(folder, label="label-1")
    return Index.open(folder)


def structure(index, rows):
    made = faiss.index_factory(DIMENSION, "IVF32,Flat", faiss.METRIC_INNER_PRODUCT)
    made.train(index.vectors(np.arange(COUNT)))
    made.add_with_ids(index.vectors(rows), rows)
    return made


def shares(made, index, search, queries, own):
    """Of each query the share of the ten nearest kept others that the structure proposes."""
    vectors, kept = index.vectors(np.arange(COUNT)), np.flatnonzero(index.kept).tolist()
    set_parameters(made, search.parameters)
    proposed = made.search(queries, int(np.ceil(search.candidates * made.ntotal / len(kept))))[1]
    found = []
    for query, mine, near in zip(queries, own, proposed.tolist(), strict=True):
        right = sorted((row for row in kept if row != mine), key=lambda row: -float(vectors[row] @ query))[:10]
        found.append(len({*right} & {*near}) / 10)
    return np.array(found)


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
def test_what_is_found_is_what_plain_loops_count(index, target):
    """The structure holds deleted rows and the queries themselves, none of which is to be found."""
    made = structure(index, np.arange(COUNT))
    held = np.flatnonzero(index.kept)[::8]
    search = tuned(made, index, held, index.kept, target)
    queries = index.vectors(held)
    near = shares(made, index, search, queries, held)
    assert search.recall == pytest.approx(near.mean(), abs=0.002)
    vectors = index.vectors(np.arange(COUNT))
    cosines = np.where(index.kept & (np.arange(COUNT) != held[:, None]), queries @ vectors.T, -2)
    far = unit(2 * queries - vectors[cosines.argmax(axis=1)])
    found = shares(made, index, search, far, [-1] * len(held))
    assert search.far_recall == pytest.approx(found.mean(), abs=0.002)
    assert found.mean() - 2 * found.std() / len(held) ** 0.5 >= target - 0.002
    assert search.queries == len(held)


def test_no_less_is_looked_for_than_before(index):
    made = structure(index, np.arange(COUNT))
    held = np.flatnonzero(index.kept)[::8]
    much = tuned(made, index, held, index.kept, 0.95)
    little = tuned(made, index, held, index.kept, 0.5)
    assert little.parameters["nprobe"] < much.parameters["nprobe"]
    assert tuned(made, index, held, index.kept, 0.5, much).parameters == much.parameters
    assert tuned(made, index, held, index.kept, 0.5, much).far_recall == much.far_recall
