import csv
import os
import shutil
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
import yaml
from PIL import Image

from embedder import Embedder, checkpoint
from embedder.config import AugmentSettings, Config, DataSettings, LossSettings, ModelSettings, TrainSettings
from embedder.train import default_name, fit, settled
from embedder.trainer import Trainer, learning_rate_share
from eval.errors import InputError
from eval.files import alone
from eval.images import photo_id


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Eight classes of six small photos; the colour is the class, the noise is the photo."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for label in range(8):
        (root / f"kind{label}").mkdir()
        for number in range(6):
            pixels = 32 * label + generator.integers(0, 32, (40, 48, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"kind{label}" / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def config(photos: Path) -> Config:
    return Config(
        data=DataSettings(root=str(photos), validation="classes", size=32, workers=0),
        augment=AugmentSettings(),
        model=ModelSettings(backbone="timm:test_efficientnet", weights="random", dimension=16, dropout=0.2),
        loss=LossSettings("triplet+arcface", memory=0),
        train=TrainSettings(epochs=2, batch_size=8, photos_per_class=2, ema=0.9, accelerator="cpu"),
        seed=3,
    )


def weights(run: Path, name: str = "last.ckpt") -> dict[str, torch.Tensor]:
    return checkpoint.load(run / name)["network"]


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert torch.equal(values, other[name]), name


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    return fit(config, tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_folder_holds_all_that_it_should(whole: Path, config: Config, photos: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert {
        "config.yaml",
        "log.csv",
        "curves.png",
        "last.ckpt",
        "best.ckpt",
        "embedder.onnx",
        "trained_on.npy",
    } <= names
    assert any(name.startswith("events.out") for name in names)
    assert yaml.safe_load((whole / "config.yaml").read_text())["train"]["epochs"] == 2
    rows = list(csv.DictReader((whole / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert {"loss", "triplet", "arcface", "recall@1", "map@r", "positive_distance", "active_triplets"} <= rows[1].keys()
    summary = Embedder.open(whole).summary
    assert {name: summary[name] for name in ("loss", "protocol", "photos", "classes", "epochs", "seed")} == {
        "loss": "triplet+arcface",
        "protocol": "closed-set",
        "photos": 36,
        "classes": 6,
        "epochs": 2,
        "seed": 3,
    }
    trained_on = set(np.load(whole / "trained_on.npy"))
    assert trained_on == Embedder.open(whole).trained_on
    held_out = {"kind6", "kind7"}
    expected = {photo_id(path.read_bytes()) for path in photos.rglob("*.png") if path.parent.name not in held_out}
    assert trained_on == expected
    assert Embedder.open(whole).classes_trained_on == {f"kind{number}" for number in range(6)}


@pytest.mark.parametrize("stop_at", [1, 6, 7])
def test_a_run_killed_at_any_step_and_resumed_has_the_same_bits(
    config: Config, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    stopped = replace(config, train=replace(config.train, checkpoint_minutes=0.0))
    step = Trainer._step

    def dying(self: Trainer, *batch: torch.Tensor) -> None:
        if self.step == stop_at:
            raise MemoryError
        step(self, *batch)

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Trainer, "_step", dying)
        fit(stopped, tmp_path / "stopped")
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


def test_any_number_of_workers_gives_the_same_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    fit(replace(config, data=replace(config.data, workers=2)), tmp_path / "two")
    assert_same(weights(whole), weights(tmp_path / "two"))


def test_another_seed_gives_other_weights(config: Config, whole: Path, tmp_path: Path) -> None:
    fit(replace(config, seed=4), tmp_path / "other")
    assert any(not torch.equal(value, weights(whole)[name]) for name, value in weights(tmp_path / "other").items())


def test_the_loss_falls(config: Config, tmp_path: Path) -> None:
    longer = replace(config, loss=LossSettings("proxy-anchor"), train=replace(config.train, epochs=8))
    rows = list(csv.DictReader((fit(longer, tmp_path / "run") / "log.csv").open()))
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[1]["loss"])


def test_zero_epochs_export_the_frozen_features(config: Config, tmp_path: Path) -> None:
    frozen = replace(config, train=replace(config.train, epochs=0))
    run = fit(frozen, tmp_path / "frozen")
    network = Trainer(settled(frozen), tmp_path / "again").network.eval()
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        pooled = network.pooling(
            network.backbone((torch.from_numpy(images).permute(0, 3, 1, 2) - network.mean) / network.std)
        )
    expected = torch.nn.functional.normalize(pooled).numpy()
    embedder = Embedder.open(run)
    np.testing.assert_allclose(embedder.vectors(images), expected, atol=1e-4)
    assert embedder.trained_on == embedder.classes_trained_on == frozenset()


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(
    config: Config, whole: Path, tmp_path: Path
) -> None:
    whole = shutil.copytree(whole, tmp_path / "whole")
    before = (whole / "embedder.onnx").stat().st_mtime_ns
    fit(replace(config, data=replace(config.data, workers=1)), whole)
    assert (whole / "embedder.onnx").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"train\.epochs was 2 and is now 3"):
        fit(replace(config, train=replace(config.train, epochs=3)), whole)
    shorter = replace(config, train=replace(config.train, epochs=1))
    fit(shorter, whole, overwrite=True)
    assert yaml.safe_load((whole / "config.yaml").read_text())["train"]["epochs"] == 1


def test_changed_photos_are_noticed(config: Config, photos: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(photos, tmp_path / "copy")
    config = replace(config, data=replace(config.data, root=str(copy)))
    run = fit(config, tmp_path / "run")
    shutil.copy(copy / "kind1" / "0.png", copy / "kind0" / "9.png")
    with pytest.raises(InputError, match="was trained on other photos than there are now"):
        fit(config, run)
    (run / "embedder.onnx").unlink()
    with pytest.raises(InputError, match="photos have changed"):
        fit(config, run)


def test_a_folder_that_is_no_run_is_not_touched(config: Config, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="no training run"):
        fit(config, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    (tmp_path / "config.yaml").write_text("of: another program")
    with pytest.raises(InputError, match="no training run"):
        fit(config, tmp_path, overwrite=True)


def test_one_process_trains_in_a_folder(config: Config, tmp_path: Path) -> None:
    with alone(tmp_path / "run"), pytest.raises(InputError, match="is being trained by another process"):
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run" / "log.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": LossSettings("triplet", memory=64)}, "memory_start is 500, but the run has"),
        ({"loss": LossSettings("triplet", memory=4, memory_start=1)}, "less than a batch of 8"),
        ({"validation": "none"}, "nothing is held out to look at"),
    ],
)
def test_settings_that_could_do_nothing_are_refused(
    config: Config, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    loss, validation = settings.get("loss", config.loss), settings.get("validation", "classes")
    config = replace(
        config, loss=loss, data=replace(config.data, validation=validation), train=replace(config.train, patience=2)
    )
    with pytest.raises(InputError, match=message):
        fit(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_print_config_prints_what_config_reads(config: Config, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "embedder.train", "--loss.name", "cosface", "--data.size=96"]
    (tmp_path / "all.yaml").write_text(
        subprocess.run([*command, "--print_config"], capture_output=True, text=True, check=True).stdout
    )
    settings = yaml.safe_load((tmp_path / "all.yaml").read_text())
    assert (settings["loss"]["name"], settings["data"]["size"]) == ("cosface", 96)
    again = [*command[:3], "--config", str(tmp_path / "all.yaml"), "--print_config"]
    assert yaml.safe_load(subprocess.run(again, capture_output=True, text=True, check=True).stdout) == settings


def test_early_stopping_ends_before_the_last_epoch(config: Config, tmp_path: Path) -> None:
    still = replace(config, train=replace(config.train, epochs=6, patience=2, learning_rate=1e-12, ema=0.0))
    rows = list(csv.DictReader((fit(still, tmp_path / "run") / "log.csv").open()))
    assert 2 <= int(rows[-1]["epoch"]) < 6
    assert rows[0]["map@r"] == rows[1]["map@r"]
    assert checkpoint.load(tmp_path / "run" / "best.ckpt")["epoch"] == 1  # not the network before training


@pytest.mark.parametrize(("number", "after", "delay"), [("INT", "log.csv", 0.5), ("TERM", "last.ckpt", 0.0)])
def test_ctrl_c_saves_and_says_how_to_go_on(whole: Path, tmp_path: Path, number: str, after: str, delay: float) -> None:
    """As a terminal does it: the signal goes to the command and to all its workers; then the command is given again."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "embedder.train", "--config", str(whole / "config.yaml"), "--run", str(run)]
    command += ["--train.checkpoint_minutes", "0"]
    command += ["--data.workers", "2"]
    place = {"cwd": Path(__file__).parents[2], "start_new_session": True}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **place)
    while not (run / after).exists():
        assert process.poll() is None
        time.sleep(0.005)
    time.sleep(delay)
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
        patch.setattr(Trainer, "_export", lambda self: (_ for _ in ()).throw(MemoryError))
        fit(still, tmp_path / "run")
    step = checkpoint.load(tmp_path / "run" / "last.ckpt")["step"]
    fit(still, tmp_path / "run")
    assert checkpoint.load(tmp_path / "run" / "last.ckpt")["step"] == step


def test_changed_labels_are_noticed(config: Config, photos: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(photos, tmp_path / "copy")
    config = replace(config, data=replace(config.data, root=str(copy)))
    run = fit(config, tmp_path / "run")
    (run / "embedder.onnx").unlink()
    (copy / "kind0").rename(copy / "x")
    (copy / "kind1").rename(copy / "kind0")
    (copy / "x").rename(copy / "kind1")
    with pytest.raises(InputError, match="photos have changed"):
        fit(config, run)


def test_a_mistake_loses_neither_a_finished_run_nor_the_next_try(config: Config, whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    wrong = replace(config, model=replace(config.model, weights=str(tmp_path / "nowhere.pth")))
    with pytest.raises(InputError, match="nowhere"):
        fit(wrong, run, overwrite=True)
    assert (run / "embedder.onnx").exists()
    with pytest.raises(InputError, match="nowhere"):
        fit(wrong, tmp_path / "new")
    assert fit(config, tmp_path / "new") == tmp_path / "new"


def test_overwriting_deletes_only_what_a_run_writes(config: Config, whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    (run / "thesis.txt").write_text("precious")
    fit(replace(config, seed=9), run, overwrite=True)
    assert (run / "thesis.txt").read_text() == "precious"
    assert len(list(run.glob("events.out.tfevents.*"))) == 1


def test_a_run_is_named_after_its_folder_and_never_is_the_folder_above(photos: Path) -> None:
    assert default_name(DataSettings(root=str(photos / ".."))) == photos.parent.name
    assert default_name(DataSettings(name="cars98", root="..")) == "cars98"
    assert default_name(DataSettings()) == "drawn_birds"


def test_divergence_is_called_so(config: Config, tmp_path: Path) -> None:
    wild = replace(config, train=replace(config.train, learning_rate=1e30, clip=0.0, ema=0.0))
    with pytest.raises(InputError, match="diverged"):
        fit(wild, tmp_path / "run")


@pytest.mark.parametrize(
    "change", [{"epochs": -1}, {"ema": 1.5}, {"batch_size": 0}, {"learning_rate": -1.0}, {"accelerator": "cuda"}]
)
def test_numbers_that_make_no_sense_are_refused(config: Config, tmp_path: Path, change: dict) -> None:
    if change == {"accelerator": "cuda"} and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match=rf"train\.{next(iter(change))}"):
        fit(replace(config, train=replace(config.train, **change)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    shares = [learning_rate_share(step, 100, 0.1) for step in range(100)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == shares[9] == shares[10] == 1.0
    assert all(later < earlier for earlier, later in pairwise(shares[10:]))
    assert shares[-1] < 0.001


def test_everything_frozen_cannot_be_trained(config: Config, tmp_path: Path) -> None:
    model = replace(config.model, frozen_stages="all", head="none", norm="none")
    with pytest.raises(InputError, match="nothing can be trained"):
        fit(replace(config, model=model, loss=LossSettings("triplet")), tmp_path / "run")


def test_no_test_class_is_trained_on_or_chosen_by(config: Config, tmp_path: Path) -> None:
    trainer = Trainer(replace(config, data=replace(config.data, protocol="zero-shot")), tmp_path / "run")
    assert set(trainer.photos.labels) == {"kind0", "kind1"}
    assert set(trainer.validation.labels) == {"kind2", "kind3"}  # 4 to 7 are the test


def test_the_best_weights_are_exported(config: Config, whole: Path, tmp_path: Path) -> None:
    network = Trainer(config, tmp_path / "again").network.eval()
    network.load_state_dict(weights(whole, "best.ckpt"))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).vector.numpy()
    np.testing.assert_allclose(Embedder.open(whole).vectors(images), expected, atol=1e-4)


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
    (group,) = [g for g in trainer.optimizer.param_groups if any(p is own for p in g["params"])]
    assert group["peak"] == pytest.approx(100 * config.train.learning_rate)
    assert group["weight_decay"] == 0
    trained = checkpoint.load(whole / "last.ckpt")["loss"]
    assert any(not torch.equal(value, trained[name]) for name, value in trainer.loss.state_dict().items())
