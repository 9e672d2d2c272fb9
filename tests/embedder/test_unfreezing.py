from dataclasses import replace
from pathlib import Path

import pytest
import torch

from embedder import checkpoint
from embedder.config import Config
from embedder.model.backbone import build_backbone
from embedder.train import fit
from embedder.trainer import Trainer
from embedder.unfreezing import Unfreezing
from tests.embedder.killed import fit_until


@pytest.fixture
def backbone():
    return build_backbone("wide-resnet-10-1", "random")


def test_stages_begin_one_after_another_from_the_last(backbone) -> None:
    sizes = [len([*stage.parameters()]) for stage in backbone.stages]
    count = len(sizes)
    plan = Unfreezing(backbone, 0.5, 20 * count, alone=False)  # so one begins every ten steps
    for step in range(20 * count):
        begun = min(count, 1 + step // 10)
        waiting = plan.waiting(step)
        assert len(waiting) == sum(sizes[: count - begun]), step
        expected = {id(own) for stage in backbone.stages[: count - begun] for own in stage.parameters()}
        assert {id(own) for own in waiting} == expected
    assert all(own.requires_grad for own in backbone.parameters())


def test_alone_nothing_is_computed_for_what_waits(backbone) -> None:
    plan = Unfreezing(backbone, 1.0, 100, alone=True)
    for step in (0, 60, 99, 100, 0):
        waiting = {id(own) for own in plan.waiting(step)}
        assert all(own.requires_grad == (id(own) not in waiting) for own in backbone.parameters())
    assert waiting


def test_all_at_once_by_default_and_frozen_stages_stay_so(backbone) -> None:
    assert Unfreezing(backbone, 0.0, 100, alone=True).waiting(0) == []
    backbone.freeze(1, batch_norm=False)
    plan = Unfreezing(backbone, 0.5, 100, alone=True)
    plan.waiting(0)
    plan.waiting(99)
    trained = {id(own) for stage in backbone.stages[1:] for own in stage.parameters()}
    assert all(own.requires_grad == (id(own) in trained) for own in backbone.parameters())


@pytest.mark.usefixtures("no_export")
def test_a_stage_that_waits_is_frozen_whole(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With batch norm that learns, its statistics stand still too, whoever looks at the photos in between."""
    loose = replace(config.model, freeze_batch_norm=False)
    slow = replace(
        config,
        data=replace(config.data, size=64),
        augment=replace(config.augment, attended_drop=0.5, attended_since=0.0),
        model=loose,
        train=replace(config.train, unfreeze=1.0, ema=0.0),
    )
    step, moved = Trainer._step, []

    def watched(self: Trainer, *batch: torch.Tensor) -> None:
        stages = self.network.backbone.stages
        before = [[own.clone() for own in stage.buffers()] for stage in stages]
        step(self, *batch)
        pairs = [zip(old, stage.buffers(), strict=True) for old, stage in zip(before, stages, strict=True)]
        moved.append([any(not torch.equal(one, other) for one, other in pair) for pair in pairs])

    monkeypatch.setattr(Trainer, "_step", watched)
    fit(slow, tmp_path / "run")
    stages = len(moved[0])
    for number, one in enumerate(moved):
        begun = min(stages, 1 + int(stages * number / len(moved)))
        assert one == [False] * (stages - begun) + [True] * begun, number


@pytest.mark.usefixtures("no_export")
def test_a_run_leaves_what_waits_as_it_was_and_resumes_exactly(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(config, train=replace(config.train, unfreeze=1.0, ema=0.0, checkpoint_minutes=0.0))
    step, seen = Trainer._step, []

    def watched(self: Trainer, *batch: torch.Tensor) -> None:
        stages = self.network.backbone.stages
        before = [[own.detach().clone() for own in stage.parameters()] for stage in stages]
        step(self, *batch)
        pairs = [zip(old, stage.parameters(), strict=True) for old, stage in zip(before, stages, strict=True)]
        seen.append([any(not torch.equal(one, other) for one, other in pair) for pair in pairs])

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", watched)
        fit(slow, tmp_path / "whole")
    stages = len(seen[0])
    for number, moved in enumerate(seen[:-1]):  # in the last step the learning rate is next to nothing
        begun = min(stages, 1 + int(stages * number / len(seen)))
        assert moved == [False] * (stages - begun) + [True] * begun, number

    fit_until(slow, tmp_path / "stopped", 4, monkeypatch)
    fit(slow, tmp_path / "stopped")
    one, other = (checkpoint.load(tmp_path / name / "last.ckpt")["network"] for name in ("whole", "stopped"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.usefixtures("no_export")
def test_whether_gradients_are_computed_and_dropped_or_not_computed_is_the_same(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several processes compute them, as they wait for each other's."""
    slow = replace(config, train=replace(config.train, unfreeze=0.8))
    fit(slow, tmp_path / "alone")
    monkeypatch.setattr("embedder.trainer.Unfreezing", lambda *plan: Unfreezing(*plan[:3], alone=False))
    fit(slow, tmp_path / "several")
    one, other = (checkpoint.load(tmp_path / name / "last.ckpt")["network"] for name in ("alone", "several"))
    assert all(torch.allclose(value, other[name], atol=1e-6) for name, value in one.items())
