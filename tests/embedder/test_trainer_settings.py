"""What a trainer says of its settings before photos are decoded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from embedder import trainer
from embedder.config import Config, LossSettings
from embedder.trainer import Trainer
from eval.errors import InputError
from tests.embedder.techniques import with_techniques
from tests.embedder.weights import assert_same


def test_what_the_network_cannot_do_is_told_before_photos_are_decoded(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "load_training_data", lambda *_: pytest.fail("photos were decoded"))
    with pytest.raises(InputError, match=r"^model\.parts is 5000"):
        Trainer(replace(config, model=replace(config.model, parts=5000)), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": {"options": {"margn": 0.2}}}, "margn"),
        ({"loss": {"miner": "semihard"}}, "semihard"),
        ({"loss": {"weights": {"tripet": 2}}}, "tripet"),
        ({"loss": {"prefixes": (512,)}}, r"loss\.prefixes is \(512,\)"),
        ({"loss": {"name": "triplet", "partial_fc": 0.5}}, r"loss\.partial_fc is 0\.5"),
        ({"train": {"chunk_size": 2}, "model": {"freeze_batch_norm": False}}, r"train\.chunk_size is 2"),
    ],
)
def test_a_mistake_is_told_before_photos_are_decoded(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(trainer, "load_training_data", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=message):
        others = {name: values for name, values in changes.items() if name != "loss"}
        Trainer(with_techniques(config, replace(config.loss, **changes.get("loss", {})), others), tmp_path)


def test_looking_at_the_loss_beforehand_changes_no_weights(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = replace(config, loss=LossSettings("proxy-anchor"))
    first = Trainer(some, tmp_path).loss.state_dict()
    monkeypatch.setattr(trainer, "check_loss", lambda *_: None)
    assert_same(first, Trainer(some, tmp_path).loss.state_dict())


@pytest.mark.parametrize("frozen", [True, False])
def test_batch_norm_that_never_normalises_is_told_of(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], frozen: bool
) -> None:
    Trainer(replace(config, model=replace(config.model, freeze_batch_norm=frozen)), tmp_path)
    told = "frozen batch norm of random weights does not normalise; give --no-model.freeze_batch_norm"
    assert (told in capsys.readouterr().err) is frozen


@pytest.mark.parametrize(("test_size", "told"), [(None, False), (48, False), (24, True), (80, True)])
def test_photos_much_smaller_or_larger_than_in_training_are_told_of(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], test_size: int | None, told: bool
) -> None:
    Trainer(replace(config, data=replace(config.data, test_size=test_size)), tmp_path)
    assert (f"data.test_size is {test_size}, and photos of 32 pixels are trained on" in capsys.readouterr().err) is told
