import pytest
import torch
import torch.nn.functional as F

from embedder.collapse import batch_statistics, looks_collapsed


def naive(vectors: torch.Tensor, labels: list[int], margin: float) -> dict[str, float]:
    distances = [[1 - float(a @ b) for b in vectors] for a in vectors]
    rows = range(len(labels))
    positive = [(a, p) for a in rows for p in rows if a != p and labels[a] == labels[p]]
    negative = [(a, n) for a in rows for n in rows if labels[a] != labels[n]]
    triplets = [distances[a][p] + margin > distances[a][n] for a, p in positive for b, n in negative if a == b]
    return {
        "active_triplets": sum(triplets) / len(triplets),
        "positive_distance": sum(distances[a][p] for a, p in positive) / len(positive),
        "negative_distance": sum(distances[a][n] for a, n in negative) / len(negative),
    }


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_statistics_agree_with_loops(margin: float) -> None:
    vectors = F.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(1)), dim=1).requires_grad_()
    labels = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 1, 0]
    statistics = batch_statistics(vectors, torch.tensor(labels), margin)
    for name, value in naive(vectors.detach(), labels, margin).items():
        assert not statistics[name].requires_grad
        assert float(statistics[name]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0], [0]])
def test_batch_without_pairs_of_a_kind_gives_zeros_and_no_nan(labels: list[int]) -> None:
    vectors = F.normalize(torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(1)), dim=1)
    statistics = batch_statistics(vectors, torch.tensor(labels), 0.1)
    assert float(statistics["active_triplets"]) == 0
    assert all(torch.isfinite(value) for value in statistics.values())


def test_vectors_in_one_place_have_collapsed_and_spread_ones_have_not() -> None:
    generator = torch.Generator().manual_seed(2)
    noise, labels = torch.randn(16, 8, generator=generator), torch.arange(16) // 4
    together = batch_statistics(F.normalize(torch.ones(8) + 0.01 * noise, dim=1), labels, 0.1)
    assert together["active_triplets"] == 1
    assert looks_collapsed({name: float(value) for name, value in together.items()})
    assert not looks_collapsed(batch_statistics(F.normalize(noise, dim=1), labels, 0.1))
    assert not looks_collapsed({"epoch": 0})


def test_vectors_that_nearly_fall_together_are_told_of() -> None:
    assert looks_collapsed({"negative_distance": 0.03})
    assert not looks_collapsed({"negative_distance": 0.06})
