import numpy as np
import pytest
import torch

from eval import on_device
from eval.errors import InputError
from eval.evaluation import evaluate
from eval.neighbours import nearest
from eval.on_device import nearest_on_device
from tests.eval.test_evaluation import LABELS, embeddings
from tests.eval.test_neighbours import grid, unit


@pytest.mark.parametrize("vectors", [unit, lambda count, _, seed=0: grid(count, seed)], ids=["distinct", "ties"])
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("k", [1, 5, 199, 400])
@pytest.mark.parametrize("block", [7, 300])
def test_it_finds_what_the_cpu_finds(vectors, alone: bool, k: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "SPARE", 3)
    queries, references = vectors(200, 16), None if alone else vectors(150, 16, 5)
    counts = np.random.default_rng(0).integers(1, k + 1, 200)
    start = 0
    for found in nearest_on_device(queries, references, counts, "cpu", block):
        few = slice(start, start + len(found.rows))
        expected = nearest(queries, references, k)
        for row, count in enumerate(counts[few]):
            assert np.array_equal(found.rows[row, :count], expected.rows[few][row, :count])
            assert np.array_equal(found.similarities[row, :count], expected.similarities[few][row, :count])
            assert (found.rows[row, count:] == -1).all()
        start = few.stop
    assert start == 200


def test_copies_of_one_vector_are_found_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_device, "SPARE", 2)
    vectors = np.repeat(unit(3, 32), 50, axis=0)
    (found,) = nearest_on_device(vectors, None, np.full(150, 4), "cpu")
    assert np.array_equal(found.rows, nearest(vectors, None, 4).rows)


def test_an_evaluation_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = embeddings(LABELS)
    expected = evaluate(queries)
    monkeypatch.setattr(on_device, "_torch", lambda _: torch)
    monkeypatch.setattr("eval.evaluation.nearest_on_device", lambda *rest: nearest_on_device(*rest[:-1], "cpu"))
    found = evaluate(queries, device="cuda")
    for name, values in expected.per_query.items():
        assert np.array_equal(found.per_query[name], values)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(InputError, match="PyTorch sees no GPU here"):
        evaluate(embeddings(LABELS), device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    vectors = unit(3000, 64)
    found = np.concatenate([one.rows for one in nearest_on_device(vectors, None, np.full(3000, 9), "cuda")])
    assert np.array_equal(found, nearest(vectors, None, 9).rows)
