import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from embedder import Embedder, checkpoint, trainer
from embedder.collapse import batch_statistics
from embedder.config import AugmentSettings, Config, LossSettings, MixSettings
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches
from embedder.export import trained_network
from embedder.log import SilentLog
from embedder.ranks import ALONE
from embedder.schedule import learning_rate_share
from embedder.train import fit
from embedder.trainer import Trainer
from eval.errors import InputError
from tests.embedder.killed import fit_until
from tests.embedder.techniques import MANY, with_techniques
from tests.embedder.weights import assert_same, weights


@pytest.mark.parametrize("stop_at", [1, 6, 7])
def test_a_run_killed_at_any_step_and_resumed_has_the_same_bits(
    config: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    fit_until(config, tmp_path / "stopped", stop_at, monkeypatch)
    assert not (tmp_path / "stopped" / "embedder.onnx").exists()
    fit(config, tmp_path / "stopped")
    assert_same(weights(whole), weights(tmp_path / "stopped"))
    assert_same(weights(whole, "best.ckpt"), weights(tmp_path / "stopped", "best.ckpt"))
    assert Embedder.open(whole).fingerprint == Embedder.open(tmp_path / "stopped").fingerprint
    times = {"images_per_second", "seconds"}
    logs = [list(csv.DictReader((run / "log.csv").open())) for run in (whole, tmp_path / "stopped")]
    assert [{k: v for k, v in row.items() if k not in times} for row in logs[0]] == [
        {k: v for k, v in row.items() if k not in times} for row in logs[1]
    ]


@pytest.mark.usefixtures("no_export")
def test_any_number_of_workers_gives_the_same_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    fit(replace(config, data=replace(config.data, workers=2)), tmp_path / "two")
    assert_same(weights(whole), weights(tmp_path / "two"))


@pytest.mark.usefixtures("no_export")
def test_another_seed_gives_other_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    fit(replace(config, seed=4), tmp_path / "other")
    assert any(not torch.equal(value, weights(whole)[name]) for name, value in weights(tmp_path / "other").items())


@pytest.mark.usefixtures("no_export")
def test_the_loss_falls(config: Config, tmp_path: Path) -> None:
    longer = replace(config, loss=LossSettings("proxy-anchor"), train=replace(config.train, epochs=8))
    rows = list(csv.DictReader((fit(longer, tmp_path / "run") / "log.csv").open()))
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[1]["loss"])


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("loss", "changes"),
    [
        (LossSettings("proxy-anchor"), {"mix": MixSettings("mixup", share=0.5, since=0.0)}),
        (
            LossSettings("sub-centre-arcface"),
            {"data": {"size": 64}, "mix": MixSettings("snapmix", share=0.5, since=0.0, until=0.6)},
        ),
        (LossSettings("contrastive+normalised-softmax"), {"mix": MixSettings(vectors=True, since=0.0)}),
        (LossSettings("arcface", part_centre=1.0), {"data": {"size": 64}, "model": {"parts": 3, "look": "second"}}),
        (LossSettings("arcface", part_centre=1.0), {"data": {"size": 64}, "model": {"parts": 3, "part_stride": 16}}),
        (
            LossSettings("arcface"),
            {
                "data": {"size": 64},
                "augment": {"attended_crop": 0.3, "attended_drop": 0.3, "attended_since": 0.3},
                "mix": MixSettings("mixup", share=0.5, since=0.0),
                "model": {"look": "first"},
            },
        ),
        (
            LossSettings("proxy-anchor"),
            {
                "data": {"size": 64},
                "augment": {"attended_crop": 0.3, "attended_drop": 0.3, "attended_since": 0.0},
                "mix": MixSettings("snapmix", share=0.5, since=0.0),
                "model": {"backbone": "timm:test_vit", "pooling": "rollout", "look": "second"},
                "train": {"chunk_size": 4},
            },
        ),
        (LossSettings("proxy-anchor+arcface", part_centre=1.0, prefixes=(4,)), MANY),
    ],
)
def test_a_run_with_more_techniques_goes_on_where_it_was(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: LossSettings, changes: dict[str, Any]
) -> None:
    mixing = with_techniques(config, loss, changes)
    model = replace(config.model, backbone=mixing.model.backbone)
    plain = replace(config, data=mixing.data, model=model, loss=replace(loss, part_centre=0.0))
    before = weights(fit(plain, tmp_path / "plain"))
    whole = fit(mixing, tmp_path / "whole")
    assert any(not torch.equal(value, weights(whole)[key]) for key, value in before.items())
    fit_until(mixing, tmp_path / "stopped", 4, monkeypatch)
    fit(mixing, tmp_path / "stopped")
    assert_same(weights(whole), weights(tmp_path / "stopped"))


@pytest.mark.parametrize(
    "attention",
    [{"attention": "cbam"}, {"attention": "se", "pooling": "gem"}, {"attention": "eca", "pooling": "attention"}],
    ids=str,
)
def test_many_techniques_together_come_out_of_the_run(
    config: Config, photos: Path, tmp_path: Path, attention: dict[str, str]
) -> None:
    changes = MANY | {"model": MANY["model"] | attention}
    many = with_techniques(config, LossSettings("arcface", part_centre=1.0), changes)
    run = fit(replace(many, train=replace(many.train, epochs=1)), tmp_path / "run")
    embedder = Embedder.open(run)
    assert set(embedder.views) == {"whole", "mirror", "smaller", "closer"}
    pixels = np.stack([embedder.prepare(path) for path in sorted(photos.glob("*/0.png"))])
    with torch.no_grad():
        expected = trained_network(run, embedder.views)(torch.from_numpy(pixels)).vector.numpy()
    assert (embedder.vectors(pixels) * expected).sum(axis=1).min() > 0.9999


def test_averaged_weights_follow_those_of_every_step(config: Config, tmp_path: Path) -> None:
    run = Trainer(replace(config, loss=LossSettings("arcface")), tmp_path / "run")
    run.log = SilentLog([])
    expected: dict[str, torch.Tensor] = {}
    for batch in make_loader(run.data.views, EpochBatches(run.sampler, 0, 3, ALONE)):
        run._step(*batch)
        now = {name: value.detach().clone() for name, value in run.network.named_parameters()}
        expected = {name: 0.9 * expected.get(name, value) + 0.1 * value for name, value in now.items()}
    found = dict(run.evaluated.named_parameters())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name
    assert any(not torch.allclose(found[name], value, atol=1e-6) for name, value in now.items())


@pytest.mark.usefixtures("no_export")
def test_distances_within_batches_are_those_of_photos_that_are_not_mixed(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logged is the mean over the other batches; no mean where there are none."""
    told = []

    def noted(*given: Any) -> dict[str, torch.Tensor]:
        told.append(batch_statistics(*given))
        return told[-1]

    monkeypatch.setattr(trainer, "batch_statistics", noted)
    some = replace(config, loss=LossSettings("arcface"), mix=MixSettings("mixup", share=0.5, since=0.0, until=1.0))
    some = replace(some, train=replace(config.train, epochs=1, batch_size=6))
    fit(some, tmp_path / "some")
    row = [*csv.DictReader((tmp_path / "some" / "log.csv").open())][-1]
    assert 0 < len(told) < int(row["step"])
    for name in told[0]:
        assert float(row[name]) == pytest.approx(sum(float(one[name]) for one in told) / len(told), rel=1e-4)
    fit(replace(some, mix=MixSettings("mixup", share=1.0, since=0.0, until=1.0)), tmp_path / "all")
    assert "negative_distance" not in [*csv.DictReader((tmp_path / "all" / "log.csv").open())][-1]


@pytest.mark.usefixtures("no_export")
def test_early_stopping_ends_before_the_last_epoch(config: Config, tmp_path: Path) -> None:
    still = replace(config, train=replace(config.train, epochs=6, patience=2, learning_rate=1e-12, ema=0.0))
    rows = list(csv.DictReader((fit(still, tmp_path / "run") / "log.csv").open()))
    assert 2 <= int(rows[-1]["epoch"]) < 6
    assert rows[0]["map@r"] == rows[1]["map@r"]
    assert checkpoint.load(tmp_path / "run" / "best.ckpt")["epoch"] == 1  # not the network before training


@pytest.mark.parametrize("number", ["INT", "TERM"])
def test_ctrl_c_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path, number: str) -> None:
    """As a terminal does it: the signal goes to the command and all that it has started; then it is given again."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "embedder.train", "--config", str(whole / "config.yaml"), "--run", str(run)]
    command += ["--train.checkpoint_minutes", "0"]
    command += ["--data.workers", "2"]
    place = {"cwd": Path(__file__).parents[2], "start_new_session": True}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **place)
    while not (run / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.Signals[f"SIG{number}"])
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert_same(weights(whole), weights(run))


def test_kill_9_loses_nothing(config: Config, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "embedder.train", "--config", str(whole / "config.yaml"), "--run", str(run)]
    command += ["--train.checkpoint_minutes", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment, cwd=Path(__file__).parents[2])
    while not (run / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parents[2])
    assert_same(weights(whole), weights(run))


def test_a_full_disk_keeps_the_last_checkpoint(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails in the second epoch; what the first one saved is still whole."""
    saving, calls = torch.save, []

    def failing(state: object, path: Path) -> None:
        calls.append(path)
        if len(calls) > 2:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        saving(state, path)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(torch, "save", failing)
        fit(config, tmp_path / "run")
    assert checkpoint.load(tmp_path / "run" / "last.ckpt")["step"] > 0
    assert not list((tmp_path / "run").glob(".*.part"))


def test_a_really_full_disk_is_told_in_one_line(whole: Path, tmp_path: Path) -> None:
    """The system refuses to write a file as large as a checkpoint."""
    size = (whole / "best.ckpt").stat().st_size // 2
    script = f"ulimit -f {size // 1024}; exec {sys.executable} -m embedder.train --config {whole / 'config.yaml'}"
    command = ["bash", "-c", f"trap '' XFSZ; {script} --run {tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").glob("*.ckpt"))


def test_a_run_that_stopped_early_and_died_in_its_export_does_not_train_on(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = replace(config, train=replace(config.train, epochs=6, patience=1, learning_rate=1e-12, ema=0.0))
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(trainer, "export_best", lambda *_: (_ for _ in ()).throw(MemoryError))
        fit(still, tmp_path / "run")
    step = checkpoint.load(tmp_path / "run" / "last.ckpt")["step"]
    fit(still, tmp_path / "run")
    assert checkpoint.load(tmp_path / "run" / "last.ckpt")["step"] == step


def test_divergence_is_called_so(config: Config, tmp_path: Path) -> None:
    wild = replace(config, train=replace(config.train, learning_rate=1e30, clip=0.0, ema=0.0))
    with pytest.raises(InputError, match="diverged"):
        fit(wild, tmp_path / "run")


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    shares = [learning_rate_share(step, 100, 0.1) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert all(later < earlier for earlier, later in pairwise(shares[10:]))
    assert shares[-1] < 0.001


@pytest.mark.parametrize(("look", "larger"), [("first", 3), ("second", 1), ("none", 1)])
def test_a_first_look_is_trained_on_larger_photos_and_sees_what_others_see(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Any, larger: int
) -> None:
    model = replace(config.model, look=look, look_detail=3, parts=2)
    made = Trainer(replace(config, model=model, data=replace(config.data, size=64, test_size=96)), tmp_path / "run")
    assert made.data.views.size == 64 * larger
    assert (made.preprocessing.size, made.preprocessing.seen) == ((96, 96) if look == "none" else (288, 96))
    seen: list[torch.Size] = []
    add = made.gradients.add

    def added(step: int, images: torch.Tensor, *rest: Any) -> Any:
        seen.append(images.shape[1:])
        return add(step, images, *rest)

    monkeypatch.setattr(made.gradients, "add", added)
    made.train()
    assert {*seen} == {torch.Size([64, 64, 3])}


def test_everything_frozen_cannot_be_trained(config: Config, tmp_path: Path) -> None:
    model = replace(config.model, frozen_stages="all", head="none", norm="none")
    with pytest.raises(InputError, match="nothing can be trained"):
        fit(replace(config, model=model, loss=LossSettings("triplet")), tmp_path / "run")


def test_no_test_class_is_trained_on_or_chosen_by(config: Config, tmp_path: Path) -> None:
    halved = replace(config, data=replace(config.data, protocol="zero-shot"))
    data = Trainer(halved, tmp_path / "run").data
    assert set(data.photos.labels) == {"kind0", "kind1"}
    assert set(data.validation.labels) == {"kind2", "kind3"}  # 4 to 7 are the test


def test_the_best_weights_are_exported(config: Config, whole: Path, tmp_path: Path) -> None:
    network = Trainer(config, tmp_path / "again").network.eval()
    network.load_state_dict(weights(whole, "best.ckpt"))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).vector.numpy()
    np.testing.assert_allclose(Embedder.open(whole).vectors(images), expected, atol=1e-4)


@pytest.mark.usefixtures("no_export")
def test_a_collapse_is_called_so(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photos that are all alike lie in one place, whatever the network."""
    for number in range(24):
        path = tmp_path / "photos" / f"kind{number % 4}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 48), "grey").save(path)
    alike = replace(
        config,
        data=replace(config.data, root=str(tmp_path / "photos")),
        augment=AugmentSettings(brightness=0, contrast=0, saturation=0),
        model=replace(config.model, dropout=0.0),
    )
    fit(alike, tmp_path / "run")
    assert "the vectors have collapsed" in capsys.readouterr().err


def test_the_loss_s_own_weights_are_trained_at_their_own_rate(config: Config, whole: Path, tmp_path: Path) -> None:
    trainer = Trainer(config, tmp_path / "run")
    (own,) = trainer.loss.parameters()
    (group,) = [g for g in trainer.optimizer._dense.param_groups if any(p is own for p in g["params"])]
    assert group["peak"] == pytest.approx(100 * config.train.learning_rate)
    assert group["weight_decay"] == 0
    trained = checkpoint.load(whole / "last.ckpt")["loss"]
    assert any(not torch.equal(value, trained[name]) for name, value in trainer.loss.state_dict().items())
