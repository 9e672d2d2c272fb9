import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedder.config import AugmentSettings, Config
from embedder.data.photos import EpochBatches
from embedder.pooled import PooledPhotos, _name
from embedder.train import fit
from embedder.trainer import Trainer
from embedder.validation import prepared
from tests.embedder.killed import fit_until
from tests.embedder.weights import weights

STILL = AugmentSettings(
    crop_share=(1.0, 1.0), crop_aspect=(0.01, 100.0), mirror=0, brightness=0, contrast=0, saturation=0
)
"""All views of a photo are the same."""


@pytest.fixture
def probe(config: Config) -> Config:
    """A head behind a frozen backbone."""
    model = replace(config.model, frozen_stages="all", head="mlp", dropout=0.0)
    return replace(config, augment=STILL, model=model, data=replace(config.data, feature_views=1))


def without(probe: Config) -> Config:
    return replace(probe, data=replace(probe.data, feature_views=0))


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize("mirror", [False, True])
def test_the_head_learns_what_it_would_have_learned_from_the_photos(
    probe: Config, tmp_path: Path, mirror: bool
) -> None:
    """In float64, as AdamW makes much of the rounding of small gradients."""
    precise = replace(probe.train, precision="64")
    probe = replace(probe, model=replace(probe.model, mirror=mirror), train=precise)
    once, always = fit(probe, tmp_path / "once"), fit(without(probe), tmp_path / "always")
    for name, value in weights(always).items():
        torch.testing.assert_close(weights(once)[name], value, atol=1e-7, rtol=1e-6)
    logs = [[*csv.DictReader((run / "log.csv").open())] for run in (once, always)]
    for one, other in zip(*logs, strict=True):
        assert float(one["map@r"]) == pytest.approx(float(other["map@r"]), abs=1e-6)


def test_views_are_those_of_the_first_epochs_in_turn(probe: Config, tmp_path: Path) -> None:
    lively = replace(probe, augment=AugmentSettings(), data=replace(probe.data, feature_views=3))
    run = Trainer(lively, tmp_path)
    assert run.pooled is not None
    assert run.pooled.views.shape == (3, len(run.data.photos), run.network.backbone.channels)
    for number, row in ((0, 4), (2, 7)):
        view = torch.from_numpy(run.data.views.view((number, row, 0)))[None]
        torch.testing.assert_close(run.pooled.views[number, row], run.network.pooled(view)[0], atol=1e-5, rtol=1e-4)
    batches = EpochBatches(run.sampler, 3 * run.sampler.steps, 3 * run.sampler.steps + 2)
    for keys, (features, codes, rows) in zip(batches, run.pooled.loader(batches), strict=True):
        for place, (epoch, row, view) in enumerate(keys):
            assert torch.equal(features[place], run.pooled.views[(epoch + view) % 3, row])
            assert (codes[place], rows[place]) == (run.data.photos.codes[row], row)


def test_photos_held_out_are_pooled_with_their_mirror_images(probe: Config, tmp_path: Path) -> None:
    run = Trainer(replace(probe, model=replace(probe.model, mirror=True)), tmp_path)
    assert run.pooled is not None
    (images,) = prepared(run.data.validation, range(5), run.preprocessing)
    with torch.no_grad():
        for found, view in zip(run.pooled.held_out, (images, images.flip(2)), strict=True):
            torch.testing.assert_close(found[:5], run.network.pooled(view), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(run.pooled.embed(run.network)[:5], run.network.eval()(images).vector)


def test_photos_held_out_are_pooled_smaller_too(probe: Config, tmp_path: Path) -> None:
    larger = replace(probe.data, size=64, test_size=128)
    run = Trainer(replace(probe, data=larger, model=replace(probe.model, mirror=True, smaller=True)), tmp_path)
    assert run.pooled is not None
    assert len(run.pooled.held_out) == 3
    (images,) = prepared(run.data.validation, range(5), run.preprocessing)
    with torch.no_grad():
        torch.testing.assert_close(run.pooled.embed(run.network)[:5], run.network.eval()(images).vector)


def test_two_views_of_a_photo_in_a_batch_are_two() -> None:
    views = torch.arange(6.0).view(3, 2, 1)
    batches: Any = [[(5, 1, 0), (5, 1, 1), (6, 0, 2)]]
    ((features, _, _),) = PooledPhotos(views, torch.zeros(2), []).loader(batches)
    assert features.flatten().tolist() == [views[2, 1, 0], views[0, 1, 0], views[2, 0, 0]]


def test_what_was_pooled_is_kept_for_other_runs(probe: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For another head, but not for other views, photos, sizes or weights."""
    data, model = replace(probe.data, feature_views=2, cache=str(tmp_path / "cache")), probe.model
    kept = replace(probe, augment=AugmentSettings(), data=data)
    before = Trainer(kept, tmp_path).pooled
    assert before is not None
    (file,) = (tmp_path / "cache").glob("pooled-*.pt")
    others = [
        replace(kept, augment=STILL),
        replace(kept, data=replace(data, feature_views=1)),
        replace(kept, data=replace(data, validation="none")),
        replace(kept, seed=5),
        replace(kept, data=replace(data, test_size=48)),
        replace(kept, model=replace(model, mirror=True)),
        replace(kept, model=replace(model, backbone="timm:test_resnet")),
    ]
    for other in others:
        Trainer(other, tmp_path)
    assert len([*(tmp_path / "cache").glob("pooled-*.pt")]) == 1 + len(others)
    head = replace(kept, model=replace(model, head="linear", dimension=7))
    with monkeypatch.context() as patch:
        patch.setattr("embedder.pooled._pool", lambda *_: pytest.fail("photos were put through the network again"))
        after = Trainer(head, tmp_path).pooled
    assert after is not None
    assert torch.equal(after.views, before.views)
    assert all(torch.equal(*pair) for pair in zip(after.held_out, before.held_out, strict=True))
    file.write_bytes(file.read_bytes()[:999])
    anew = Trainer(head, tmp_path).pooled
    assert anew is not None
    assert torch.equal(anew.views, before.views)
    assert len(file.read_bytes()) > 999


def test_what_is_kept_is_named_by_seed_and_weights(probe: Config, tmp_path: Path) -> None:
    """Another seed holds out other photos, too, and another backbone has other views: here each changes alone."""
    run = Trainer(probe, tmp_path)

    def name(config: Config) -> str:
        return _name(run.network, run.data, config, run.preprocessing)

    before = name(probe)
    assert name(replace(probe, seed=5)) != before
    next(run.network.backbone.parameters()).data[0] += 1
    assert name(probe) != before


@pytest.mark.usefixtures("no_export")
def test_it_is_resumed_with_the_same_bits(probe: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lively = replace(probe, augment=AugmentSettings(), data=replace(probe.data, feature_views=2))
    whole = fit(lively, tmp_path / "whole")
    fit_until(lively, tmp_path / "stopped", 5, monkeypatch)
    fit(lively, tmp_path / "stopped")
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(tmp_path / "stopped").items())


@pytest.mark.usefixtures("no_export")
def test_photos_are_opened_before_training_and_not_in_it(
    probe: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Trainer(probe, tmp_path)

    def opened(*_: object) -> np.ndarray:
        raise AssertionError

    monkeypatch.setattr("embedder.data.photos.TrainingPhotos.view", opened)
    monkeypatch.setattr("embedder.validation.open_image", opened)
    run.train()
    assert run.step == run.steps
