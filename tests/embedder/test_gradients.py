"""The gradients of one step, in one pass and in chunks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from embedder.config import Config, LossSettings, MixSettings
from embedder.gradients import Gradients
from embedder.trainer import Trainer
from eval.errors import InputError
from tests.embedder.rank_worker import first_gradients


@pytest.mark.parametrize("name", ["triplet", "proxy-anchor", "multi-similarity"])
@pytest.mark.parametrize("chunk_size", [1, 3, 8])
def test_chunks_give_the_gradients_of_the_whole_batch(
    config: Config, tmp_path: Path, name: str, chunk_size: int
) -> None:
    """With dropout, too: both passes of a chunk drop the same; and in one chunk of 8 that is the whole batch."""
    dropout = 0.2 if chunk_size == 8 else 0.0
    whole = replace(config, loss=LossSettings(name), model=replace(config.model, dropout=dropout))
    chunked = replace(whole, train=replace(config.train, chunk_size=chunk_size))
    expected, found = first_gradients(whole, tmp_path), first_gradients(chunked, tmp_path)
    assert expected.keys() == found.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        assert torch.allclose(gradient, found[key], rtol=0, atol=1e-5 * max(1.0, largest)), key


@pytest.mark.parametrize(
    ("name", "mix"),
    [
        ("proxy-anchor", MixSettings("cutmix", share=1.0)),
        ("arcface", MixSettings("snapmix", share=1.0)),
        ("multi-similarity", MixSettings(vectors=True)),
    ],
)
def test_mixing_is_the_same_in_chunks(config: Config, tmp_path: Path, name: str, mix: MixSettings) -> None:
    mixed = replace(config, loss=LossSettings(name), mix=mix, model=replace(config.model, dropout=0.0))
    plain = first_gradients(replace(mixed, mix=MixSettings()), tmp_path)
    expected = first_gradients(mixed, tmp_path)
    found = first_gradients(replace(mixed, train=replace(config.train, chunk_size=3)), tmp_path)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        assert torch.allclose(gradient, found[key], rtol=0, atol=1e-5 * max(1.0, largest)), key
    assert any(not torch.allclose(gradient, plain[key], rtol=0.01) for key, gradient in expected.items())


def test_looking_for_what_snapmix_weighs_leaves_the_network_as_it_was(config: Config, tmp_path: Path) -> None:
    """Batch norm that learns would take the statistics of another pass."""
    run = Trainer(replace(config, model=replace(config.model, freeze_batch_norm=False)), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.network.train()
    features = run.gradients.features(torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    assert features.shape[0] == 3
    assert not features.requires_grad
    assert run.network.training
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())


def test_both_passes_of_a_chunk_drop_the_same(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that lets dropout alone decide has the same vectors in the second pass as in the first."""
    seen: dict[int, list[torch.Tensor]] = {}
    embed = Gradients._embed

    def watched(self: Gradients, step: int, chunk: int, images: torch.Tensor) -> torch.Tensor:
        vectors = embed(self, step, chunk, images)
        seen.setdefault(chunk, []).append(vectors.detach())
        return vectors

    monkeypatch.setattr(Gradients, "_embed", watched)
    model = replace(config.model, dropout=0.5)
    first_gradients(replace(config, model=model, train=replace(config.train, chunk_size=3)), tmp_path)
    assert [len(vectors) for vectors in seen.values()] == [2, 2, 2]
    assert all(torch.equal(*vectors) for vectors in seen.values())
    assert not torch.equal(seen[0][0][:2], seen[1][0][:2])


def test_batch_norm_that_learns_needs_the_whole_batch(config: Config, tmp_path: Path) -> None:
    loose = replace(config, model=replace(config.model, freeze_batch_norm=False))
    with pytest.raises(InputError, match=r"train\.chunk_size is 3, but batch norm needs the whole batch"):
        first_gradients(replace(loose, train=replace(config.train, chunk_size=3)), tmp_path)
