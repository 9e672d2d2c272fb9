"""Each loss against its formula, written as loops over photos and classes."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from embedder.loss_contracts import LOSSES
from embedder.miners import build_miner

CLASSES, DIMENSION = 5, 6
LABELS = torch.tensor([0, 0, 0, 1, 1, 3, 3, 4, 1, 0])


def unit(vectors: Tensor) -> Tensor:
    return vectors / vectors.norm(dim=1, keepdim=True)


def draw(dtype: torch.dtype = torch.float64) -> Tensor:
    return unit(
        torch.randn(len(LABELS), DIMENSION, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ).to(dtype)


def cosines(a: Tensor, b: Tensor) -> list[list[float]]:
    return [[float(x @ y / (x.norm() * y.norm())) for y in b] for x in a]


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def others(anchor: int, same: bool) -> list[int]:
    return [i for i in range(len(LABELS)) if i != anchor and (LABELS[i] == LABELS[anchor]).item() == same]


def triplet(s, margin):
    hinges = [s[a][n] - s[a][p] + margin for a in range(len(s)) for p in others(a, True) for n in others(a, False)]
    return mean([hinge for hinge in hinges if hinge > 0])


def contrastive(s, positive_margin, negative_margin):
    positive = [positive_margin - s[a][p] for a in range(len(s)) for p in others(a, True)]
    negative = [s[a][n] - negative_margin for a in range(len(s)) for n in others(a, False)]
    return mean([x for x in positive if x > 0]) + mean([x for x in negative if x > 0])


def multi_similarity(s, alpha, beta, base, epsilon):
    losses = []
    for a in range(len(s)):
        pulls = [math.exp(-alpha * (s[a][p] - base)) for p in others(a, True)]
        pushes = [math.exp(beta * (s[a][n] - base)) for n in others(a, False)]
        losses.append(math.log(1 + sum(pulls)) / alpha + math.log(1 + sum(pushes)) / beta)
    return mean(losses)


def supcon(s, temperature):
    losses = []
    for a in range(len(s)):
        total = sum(math.exp(s[a][i] / temperature) for i in range(len(s)) if i != a)
        positives = [math.log(math.exp(s[a][p] / temperature) / total) for p in others(a, True)]
        if positives:
            losses.append(-mean(positives))
    return mean(losses)


def proxy_anchor(s, margin, alpha):
    pulls, pushes = [], []
    for proxy in range(CLASSES):
        near = [math.exp(-alpha * (s[i][proxy] - margin)) for i in range(len(s)) if LABELS[i] == proxy]
        far = [math.exp(alpha * (s[i][proxy] + margin)) for i in range(len(s)) if LABELS[i] != proxy]
        pushes.append(math.log(1 + sum(far)))
        if near:
            pulls.append(math.log(1 + sum(near)))
    return mean(pulls) + mean(pushes)


def cross_entropy(logits: list[list[float]]) -> float:
    chosen = [math.exp(row[int(y)]) / sum(map(math.exp, row)) for row, y in zip(logits, LABELS, strict=True)]
    return -mean([math.log(probability) for probability in chosen])


def with_own(s, change: Callable[[float], float], scale: float) -> float:
    """Cross entropy of scaled cosines, that with the own class changed."""
    return cross_entropy(
        [[scale * (change(c) if k == y else c) for k, c in enumerate(row)] for row, y in zip(s, LABELS, strict=True)]
    )


def grouped(s, centres: int) -> list[list[list[float]]]:
    return [[row[k * centres : (k + 1) * centres] for k in range(CLASSES)] for row in s]


def soft_triple(s, centres, scale, gamma, margin):
    soft = []
    for row in grouped(s, centres):
        weights = [[math.exp(c / gamma) for c in group] for group in row]
        soft.append(
            [sum(w * c for w, c in zip(ws, g, strict=True)) / sum(ws) for ws, g in zip(weights, row, strict=True)]
        )
    return with_own(soft, lambda c: c - margin, scale)


def sub_centre_arcface(s, margin, scale, centres):
    nearest = [[max(group) for group in row] for row in grouped(s, centres)]
    return with_own(nearest, lambda c: math.cos(math.acos(c) + margin), scale)


PAIR_FORMULAS = {
    "triplet": triplet,
    "contrastive": contrastive,
    "multi-similarity": multi_similarity,
    "supcon": supcon,
}
CLASS_FORMULAS = {
    "proxy-anchor": proxy_anchor,
    "proxy-nca++": lambda s, temperature: cross_entropy([[-(2 - 2 * c) / temperature for c in row] for row in s]),
    "normalised-softmax": lambda s, temperature: cross_entropy([[c / temperature for c in row] for row in s]),
    "arcface": lambda s, margin, scale: with_own(s, lambda c: math.cos(math.acos(c) + margin), scale),
    "sub-centre-arcface": sub_centre_arcface,
    "cosface": lambda s, margin, scale: with_own(s, lambda c: c - margin, scale),
    "soft-triple": soft_triple,
}


def defaults(name: str) -> dict[str, float]:
    return {key: option.default for key, option in LOSSES[name].options.items()}


def class_vectors(loss: torch.nn.Module) -> Tensor:
    """The loss's one parameter as one row a class or centre."""
    (weights,) = loss.parameters()
    return weights.detach() if weights.shape[1] == DIMENSION else weights.detach().T


def test_every_loss_has_a_formula_here() -> None:
    assert {*PAIR_FORMULAS, *CLASS_FORMULAS} == {*LOSSES}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIR_FORMULAS)
def test_pair_losses_agree_with_their_formulas(name: str, dtype: torch.dtype) -> None:
    vectors = draw(dtype)
    value = LOSSES[name].build(CLASSES, DIMENSION, **defaults(name))(vectors, LABELS)
    assert float(value) == pytest.approx(PAIR_FORMULAS[name](cosines(vectors, vectors), **defaults(name)), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLASS_FORMULAS)
def test_class_losses_agree_with_their_formulas(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    vectors = draw(dtype)
    loss = LOSSES[name].build(CLASSES, DIMENSION, **defaults(name)).to(dtype)
    wanted = CLASS_FORMULAS[name](cosines(vectors, class_vectors(loss).to(dtype)), **defaults(name))
    assert loss(vectors, LABELS).item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_options_are_used(name: str) -> None:
    """Another value of any option changes the loss, or the pairs that its miner takes."""
    contract = LOSSES[name]

    def value(options: dict) -> float:
        torch.manual_seed(0)
        miner = build_miner(contract.miners[0], options.get(contract.margin, 0.0)) if contract.pairs else None
        vectors = unit(draw(torch.float32) + 0.5)
        return contract.build(CLASSES, DIMENSION, **options)(vectors, LABELS, miner and miner(vectors, LABELS)).item()

    for key, option in contract.options.items():
        other = option.default + 1 if isinstance(option.default, int) else 0.7 * option.default + 0.02
        assert option.least <= other <= option.greatest
        assert value(defaults(name) | {key: other}) != pytest.approx(value(defaults(name)), rel=1e-6), key


@pytest.mark.parametrize("name", LOSSES)
def test_contracts_say_what_is_true(name: str) -> None:
    contract = LOSSES[name]
    loss = contract.build(CLASSES, DIMENSION, **defaults(name))
    assert contract.has_parameters == bool(list(loss.parameters()))
    assert contract.pairs != contract.has_parameters
    assert contract.margin in {"", *contract.options}
    for miner in contract.miners:
        mined = build_miner(miner, 0.1)
        assert torch.isfinite(loss(draw(torch.float32), LABELS, mined and mined(draw(torch.float32), LABELS)))
    for option in contract.options.values():
        assert option.least <= option.default <= option.greatest


@pytest.mark.parametrize("name", CLASS_FORMULAS)
def test_class_vectors_are_a_function_of_the_seed(name: str) -> None:
    def build() -> Tensor:
        torch.manual_seed(5)
        return class_vectors(LOSSES[name].build(CLASSES, DIMENSION, **defaults(name)))

    assert torch.equal(build(), build())


def test_the_documentation_lists_each_loss_with_its_options_and_miners() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "techniques.md").read_text(encoding="utf-8")
    for name, contract in LOSSES.items():
        options = ", ".join(f"`{option}` {value.default:.3g}" for option, value in contract.options.items())
        miners = ", ".join(f"`{miner}`" for miner in contract.miners)
        row = f"| `{name}` | {options} | {miners} | {contract.paper} |".replace("|  |", "| |")
        assert row in documented
