"""Training by photos whose keypoints are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from embedder import Embedder
from embedder.config import Config, LossSettings
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawn_birds import draw_photos
from embedder.train import fit
from tests.embedder.killed import fit_until
from tests.embedder.techniques import MANY, with_techniques
from tests.embedder.weights import assert_same, weights

POSES = {"pose_crop": 0.3, "pose_axis": (-30.0, 60.0), "pose_turn": 0.5, "pose_facing": 0.5, "pose_head": 0.1}


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four species of drawn birds, six photos each, of which four are to train on."""
    folder = tmp_path_factory.mktemp("birds") / "drawn"
    draw_photos(folder, [*SPECIES][:4], 6, 64)
    return folder


@pytest.fixture
def posed(config: Config, birds: Path) -> Callable[..., Config]:
    """Many techniques together, with some options of poses."""

    def made(**poses: object) -> Config:
        many = with_techniques(config, LossSettings("arcface", part_centre=1.0), MANY)
        data = replace(many.data, name="drawn_birds", root=str(birds), validation="none")
        return replace(many, data=data, augment=replace(many.augment, **poses))

    return made


def test_poses_go_with_other_techniques(
    posed: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(posed(**POSES), tmp_path / "whole")
    assert set(Embedder.open(whole).views) == {"whole", "mirror", "smaller", "closer"}
    fit_until(posed(**POSES), tmp_path / "stopped", 3, monkeypatch)
    monkeypatch.setattr("embedder.trainer.export_best", lambda *_: None)
    assert_same(weights(whole), weights(fit(posed(**POSES), tmp_path / "stopped")))
    plain = fit(posed(), tmp_path / "plain")
    with pytest.raises(AssertionError):
        assert_same(weights(whole), weights(plain))
