"""The gradients of one step, in one pass and in chunks."""

import copy
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from embedder.augment.mixing import PhotoMixing
from embedder.config import Config, LossSettings, MixSettings
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches
from embedder.gradients import Gradients
from embedder.model.network import Output
from embedder.ranks import ALONE
from embedder.trainer import Trainer
from eval.errors import InputError
from tests.embedder.rank_worker import first_gradients


@pytest.mark.parametrize("name", ["triplet", "proxy-anchor", "multi-similarity"])
@pytest.mark.parametrize("chunk_size", [1, 3])
def test_chunks_give_the_gradients_of_the_whole_batch(
    config: Config, tmp_path: Path, name: str, chunk_size: int
) -> None:
    whole = replace(config, loss=LossSettings(name), model=replace(config.model, dropout=0.0))
    chunked = replace(whole, train=replace(config.train, chunk_size=chunk_size))
    expected, found = first_gradients(whole, tmp_path), first_gradients(chunked, tmp_path)
    assert expected.keys() == found.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        assert torch.allclose(gradient, found[key], rtol=0, atol=1e-5 * max(1.0, largest)), key


@pytest.mark.parametrize(
    ("name", "mix"),
    [
        ("proxy-anchor", MixSettings("cutmix", share=1.0, since=0.0)),
        ("arcface", MixSettings("snapmix", share=1.0, since=0.0)),
        ("multi-similarity", MixSettings(vectors=True, since=0.0)),
    ],
)
def test_mixing_is_the_same_in_chunks(config: Config, tmp_path: Path, name: str, mix: MixSettings) -> None:
    model, data = replace(config.model, dropout=0.0), replace(config.data, size=64)
    mixed = replace(config, loss=LossSettings(name), mix=mix, model=model, data=data)
    plain = first_gradients(replace(mixed, mix=MixSettings()), tmp_path)
    expected = first_gradients(mixed, tmp_path)
    found = first_gradients(replace(mixed, train=replace(config.train, chunk_size=3)), tmp_path)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        assert torch.allclose(gradient, found[key], rtol=0, atol=1e-5 * max(1.0, largest)), key
    assert any(not torch.allclose(gradient, plain[key], rtol=0.01) for key, gradient in expected.items())


def test_parts_and_their_centres_are_the_same_in_chunks(config: Config, tmp_path: Path) -> None:
    model = replace(config.model, dropout=0.0, parts=3)
    augment = replace(config.augment, attended_crop=0.4, attended_drop=0.4, attended_since=0.0)
    data = replace(config.data, size=64)
    loss = LossSettings("proxy-anchor", part_centre=2.0)
    whole = replace(config, data=data, model=model, augment=augment, loss=loss)
    chunked = replace(whole, train=replace(config.train, chunk_size=3))

    def gradients(settings: Config) -> dict[str, torch.Tensor]:
        """Of the second step, in which there are centres, and parts that add something."""
        run = Trainer(settings, tmp_path)
        torch.manual_seed(0)
        torch.nn.init.normal_(run.network.parts.project.weight, std=0.1)
        found = {}
        for step, (images, labels, _) in enumerate(make_loader(run.data.views, EpochBatches(run.sampler, 0, 2, ALONE))):
            run.network.train()
            views, unchanged = run.attended(step, images, run.gradients.places)
            assert 0 < unchanged.sum() < len(images)
            run.network.zero_grad()
            seen = run.network(views).part_features[unchanged]
            apart = run.centres(seen, labels[unchanged]).mean()
            (of_centres,) = torch.autograd.grad(apart, [run.network.parts.attend.weight])
            centres = copy.deepcopy(run.centres)
            centres.update(seen, labels[unchanged])
            done = run.gradients.add(step, views, labels, run.sampler.batch_size, unchanged=unchanged)
            torch.testing.assert_close(run.centres.centres, centres.centres)
            assert run.centres.centres.abs().sum() > 0
            if settings.loss.part_centre == 2.0:
                torch.testing.assert_close(done.loss.parts["part_centre"], apart.detach() / 2.0)
            found = {name: own.grad.clone() for name, own in run.network.named_parameters() if own.grad is not None}
        return {**found, "centres": run.centres.centres, "of centres": of_centres}

    expected, found = gradients(whole), gradients(chunked)
    without = gradients(replace(whole, loss=LossSettings("proxy-anchor", part_centre=1e-9)))
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for key, gradient in expected.items():
        assert torch.allclose(gradient, found[key], rtol=0, atol=1e-5 * max(1.0, largest)), key
    added = expected["parts.attend.weight"] - without["parts.attend.weight"]
    assert expected["of centres"].abs().max() > 1e-4
    torch.testing.assert_close(added, expected["of centres"], rtol=0.01, atol=1e-4 * largest)


def test_mixed_photos_leave_the_centres_of_parts_alone(config: Config, tmp_path: Path) -> None:
    mix, loss = MixSettings("cutmix", share=0.5, since=0.0), LossSettings("proxy-anchor", part_centre=2.0)
    model, data = replace(config.model, parts=3), replace(config.data, size=64)
    run = Trainer(replace(config, data=data, model=model, loss=loss, mix=mix), tmp_path)
    images, labels, _ = next(make_loader(run.data.views, EpochBatches(run.sampler, 0, 1, ALONE)))
    mixing = PhotoMixing(replace(mix, share=1.0), run.steps, run.config.seed)
    views, mixed = mixing(0, images, labels, run.gradients.places)
    assert mixed is not None
    run.network.train()
    step = run.gradients.add(0, images, labels, len(images))
    centres = run.centres.centres.clone()
    assert centres.abs().sum() > 0
    assert "part_centre" in step.loss.parts
    step = run.gradients.add(1, views, labels, len(images), mixed)
    assert torch.equal(run.centres.centres, centres)
    assert "part_centre" not in step.loss.parts


def test_of_a_pass_for_vectors_nothing_else_is_left(config: Config, tmp_path: Path) -> None:
    """Feature maps of all chunks would fill the memory that chunks save."""
    run = Trainer(replace(config, train=replace(config.train, chunk_size=3)), tmp_path)
    maps, left = [], []

    def seen(_network: object, _given: object, output: Output) -> None:
        maps.append(weakref.ref(output.features))

    def loss(vectors: torch.Tensor, *rest: object) -> object:
        left.extend(one for one in maps if one() is not None)
        return run.loss(vectors, *rest)

    run.network.register_forward_hook(seen)
    run.gradients.loss = loss
    images, labels, _ = next(iter(make_loader(run.data.views, EpochBatches(run.sampler, 0, 1, ALONE))))
    run.gradients.add(0, images, labels, run.sampler.batch_size)
    assert len(maps) > 2
    assert not left


def test_looking_for_what_snapmix_weighs_leaves_the_network_as_it_was(config: Config, tmp_path: Path) -> None:
    """Batch norm that learns would take the statistics of another pass."""
    run = Trainer(replace(config, model=replace(config.model, freeze_batch_norm=False)), tmp_path)
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    run.network.train()
    places = run.gradients.places(torch.zeros(3, 32, 32, 3, dtype=torch.uint8))
    assert places.shape[:2] == (3, 1)
    assert not places.requires_grad
    assert run.network.training
    assert all(torch.equal(value, before[name]) for name, value in run.network.state_dict().items())


def test_what_looks_at_photos_computes_in_the_precision_of_a_step(config: Config, tmp_path: Path) -> None:
    run = Trainer(replace(config, train=replace(config.train, precision="bf16")), tmp_path)
    seen: list[torch.dtype] = []
    run.network.backbone.register_forward_hook(lambda *call: seen.append(call[2].map.dtype))
    images, labels = torch.zeros(4, 32, 32, 3, dtype=torch.uint8), torch.tensor([0, 0, 1, 1])
    places = run.gradients.places(images)
    run.network.train()
    run.gradients.add(0, images, labels, 4)
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert places.dtype == torch.float32


def test_both_passes_of_a_chunk_drop_the_same(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that lets dropout alone decide has the same vectors in the second pass as in the first."""
    seen: dict[int, list[torch.Tensor]] = {}
    embed = Gradients._embed

    def watched(self: Gradients, step: int, chunk: int, images: torch.Tensor) -> Output:
        output = embed(self, step, chunk, images)
        seen.setdefault(chunk, []).append(output.vector.detach())
        return output

    monkeypatch.setattr(Gradients, "_embed", watched)
    model = replace(config.model, dropout=0.5)
    first_gradients(replace(config, model=model, train=replace(config.train, chunk_size=3)), tmp_path)
    assert [len(vectors) for vectors in seen.values()] == [2, 2, 2]
    assert all(torch.equal(*vectors) for vectors in seen.values())
    assert not torch.equal(seen[0][0][:2], seen[1][0][:2])
    seen.clear()
    first_gradients(replace(config, model=model, train=replace(config.train, chunk_size=8)), tmp_path)
    assert [len(vectors) for vectors in seen.values()] == [1]  # a chunk that holds the batch needs no second pass


def test_batch_norm_that_learns_needs_the_whole_batch(config: Config, tmp_path: Path) -> None:
    loose = replace(config, model=replace(config.model, freeze_batch_norm=False))
    with pytest.raises(InputError, match=r"train\.chunk_size is 3, but batch norm needs the whole batch"):
        first_gradients(replace(loose, train=replace(config.train, chunk_size=3)), tmp_path)
