import csv
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from embedder import Embedder
from embedder.config import Config, DataSettings, LossSettings
from embedder.data.catalog import Catalog, ClassSplit, label_column
from embedder.train import default_name, fit, main, next_command, settled
from embedder.trainer import Trainer
from eval.errors import InputError
from eval.files import alone
from eval.images import photo_id


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
    settings = ("pooling", "head", "norm", "attention")
    assert [summary[name] for name in settings] == ["avg+max", "linear", "layer", "none"]
    trained_on = set(np.load(whole / "trained_on.npy"))
    assert trained_on == Embedder.open(whole).trained_on
    held_out = {"kind6", "kind7"}
    expected = {photo_id(path.read_bytes()) for path in photos.rglob("*.png") if path.parent.name not in held_out}
    assert trained_on == expected
    assert Embedder.open(whole).classes_trained_on == {f"kind{number}" for number in range(6)}


def test_help_and_a_finished_run_do_without_torch(whole: Path) -> None:
    for words in (["--help"], ["--config", str(whole / "config.yaml"), "--run", str(whole)]):
        code = (
            "import sys\nfrom embedder.train import main\nfrom eval.command import run\n"
            f"sys.argv[1:] = {words!r}\ntry: run(main)\nfinally: print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "False"


def test_the_profile_names_each_stage(config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {field.name: getattr(config, field.name) for field in fields(config)}
    main(**{**settings, "train": replace(config.train, epochs=1)}, run=tmp_path / "run", profile=True)
    rows = [line.split("  ")[0] for line in capsys.readouterr().err.rpartition("stage ")[2].splitlines()[1:]]
    expected = {
        "check the photos",
        "wait for photos",
        "forward",
        "backward",
        "optimiser",
        "validate",
        "export",
        "total",
    }
    assert expected <= {*rows}


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


def test_what_would_change_nothing_untrained_is_left_out(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    model = replace(config.model, head="linear", attention="se", pooling="attention")
    frozen = settled(replace(config, model=model, train=replace(config.train, epochs=0)))
    assert (frozen.model.head, frozen.model.attention, frozen.model.pooling) == ("none", "none", "avg")
    assert "head: none" in (said := capsys.readouterr().err)
    assert "attention: none, pooling: avg" in said


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
        ({"validation": "none"}, "no two photos of a class are held out to look at"),
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


@pytest.mark.parametrize(
    ("protocol", "split", "declared", "expected"),
    [
        ("auto", ["train", "test", "train"], None, "--split train"),
        ("auto", ["train", "train", "train"], None, ""),
        ("auto", None, None, ""),
        ("zero-shot", ["train", "test", "train"], None, ""),
        ("auto", ["train", "test", "train"], ClassSplit(("a",), (), ("b",)), ""),
        (
            "closed-set",
            ["train", "test", "train"],
            ClassSplit(("a",), (), ("b",)),
            "--split train --protocol closed-set",
        ),
    ],
)
def test_the_next_command_leaves_test_photos_out_of_the_index(
    monkeypatch: pytest.MonkeyPatch,
    protocol: Any,
    split: list[str] | None,
    declared: ClassSplit | None,
    expected: str,
) -> None:
    columns: dict[str, Any] = {"path": ["1.jpg", "2.jpg", "3.jpg"], "label": label_column(["a", "a", "b"])}
    table = pa.table(columns | ({"split": split} if split else {}))
    catalog = Catalog(table, Path("photos"), "folder", declared)
    monkeypatch.setattr("embedder.train.read_source", lambda name, root: catalog)
    words = next_command(DataSettings(root="my photos", protocol=protocol), Path("runs/mine"))
    assert words == ["python", "-m", "index.build", "runs/mine", "my photos", *expected.split(), "--out", "mine.index"]


def test_the_next_command_where_the_photos_have_gone(tmp_path: Path) -> None:
    words = next_command(DataSettings(root=str(tmp_path / "gone")), Path("runs/mine"))
    assert words == ["python", "-m", "index.build", "runs/mine", str(tmp_path / "gone"), "--out", "mine.index"]


@pytest.mark.parametrize(
    "change", [{"epochs": -1}, {"ema": 1.5}, {"batch_size": 0}, {"learning_rate": -1.0}, {"accelerator": "cuda"}]
)
def test_numbers_that_make_no_sense_are_refused(config: Config, tmp_path: Path, change: dict) -> None:
    if change == {"accelerator": "cuda"} and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(InputError, match=rf"train\.{next(iter(change))}"):
        fit(replace(config, train=replace(config.train, **change)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_older_than_a_group_of_settings_is_gone_on_with(config: Config, tmp_path: Path) -> None:
    run = fit(config, tmp_path / "run")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    del settings["mix"]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    (run / "embedder.onnx").unlink()
    assert (fit(config, run) / "embedder.onnx").exists()
    (run / "config.yaml").write_text(yaml.safe_dump({"data": {}, "mix": {}}))
    with pytest.raises(InputError, match="is no training run"):
        fit(config, run)
