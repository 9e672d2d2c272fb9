"""Train an embedder: ``python -m embedder.train --config configs/NAME.yaml [--run runs/NAME] [--loss.name NAME] ...``.

A bare ``python -m embedder.train`` draws birds and learns to tell them apart. The same command given again goes on
where a run was stopped; given again after the run is done, it does nothing.
"""

import dataclasses
import shlex
import sys
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from embedder.config import (
    CONFIG,
    AugmentSettings,
    Config,
    DataSettings,
    LossSettings,
    MixSettings,
    ModelSettings,
    TrainSettings,
)
from embedder.data.catalog import read_source
from embedder.data.splits import is_zero_shot
from embedder.runtime import EMBEDDER, Embedder
from embedder.torchrun import is_first, is_one_of_several
from eval.command import run as run_command
from eval.errors import InputError
from eval.files import alone, at_home, real_path, replacing
from eval.recipes import dotted
from eval.stages import profiled, stage

FREE_TO_CHANGE = {"data.workers", "train.checkpoint_minutes"}
"""Keys that do not touch the weights, so that a run may be resumed with other values."""

ALWAYS = {"data", "augment", "model", "loss", "train", "seed"}
"""What every run's settings have."""

PROGRESS = ("log.csv", "last.ckpt", EMBEDDER)
WRITTEN = (*PROGRESS, "best.ckpt", "trained_on.npy", "curves.png", "events.out.tfevents.*", ".*.part", CONFIG)


def main(
    *,
    data: DataSettings,
    augment: AugmentSettings,
    mix: MixSettings,
    model: ModelSettings,
    loss: LossSettings,
    train: TrainSettings,
    seed: int = 0,
    run: Path | None = None,
    overwrite: bool = False,
    profile: bool = False,
) -> Path:
    """Train an embedder and export it as embedder.onnx into the run folder.

    Args:
        data: which photos, at which size, under which protocol.
        augment: the random view of a photo that training sees.
        mix: photos, or their vectors, mixed with others of the batch.
        model: the network.
        loss: what training minimises.
        train: the loop.
        seed: same seed, same weights.
        run: the run folder; runs/NAME of the data where none is given.
        overwrite: delete what the run folder holds and start anew.
        profile: print where the time went. A GPU works on while the next stages begin: what waits for it is said to
            take its time.
    """
    config = Config(data, augment, mix, model, loss, train, seed)
    folder = at_home(run) if run else Path("runs") / default_name(data)
    with profiled(profile):
        fit(config, folder, overwrite=overwrite)
    if is_first():
        print(f"next: {shlex.join(next_command(data, folder))}", file=sys.stderr)
        print(folder)
    return folder


def fit(config: Config, run: Path, *, overwrite: bool = False) -> Path:
    """Train by ``config`` in the folder ``run``, from where it was stopped if it was.

    Returns:
        The run folder, with ``embedder.onnx`` in it.

    Raises:
        InputError: the folder holds a run of other settings or photos, another process trains there, or the settings or
            photos cannot be used.
        KeyboardInterrupt: stopped by Ctrl-C (or SIGTERM), after saving.
    """
    config = settled(config)
    config.check()
    if not is_first():
        _train(config, run, overwrite)
        return run
    check_folder(run)
    try:
        with alone(run, f"{run} is being trained by another process; wait for it, or give another --run"):
            _train(config, run, overwrite)
    finally:
        with suppress(OSError):  # something is in it, as it should be
            run.rmdir()
    return run


def _train(config: Config, run: Path, overwrite: bool) -> None:
    """Train, unless that is done; the settings stand in the run folder then."""
    several = is_one_of_several()
    if not several and not overwrite and is_finished(config, run):
        return
    with stage("import torch"):  # which --help and a finished run do without
        from embedder.conflicts import check_together  # noqa: PLC0415
        from embedder.ranks import join  # noqa: PLC0415
        from embedder.trainer import Trainer  # noqa: PLC0415

    check_together(config)
    joined = join(config.train)
    if several and not overwrite and joined[1].from_first(lambda: is_finished(config, run)):
        return
    trainer = Trainer(config, run, joined)
    if trainer.ranks.first:
        if overwrite:
            clear(run)
        with replacing(run / CONFIG) as beside:
            beside.write_text(yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False), encoding="utf-8")
    trainer.train()


def is_finished(config: Config, run: Path) -> bool:
    """Whether the run folder holds what this training would give; says so.

    Raises:
        InputError: it is a run of other settings, or of photos that have changed since.
    """
    check_same(config, run)
    if not (run / EMBEDDER).exists():
        return False
    trained_by = Embedder.open(run).summary.get("catalog")
    if trained_by != read_source(config.data.name, config.data.root).digest():
        raise InputError(
            f"{run} was trained on other photos than there are now; give another --run, or --overwrite to train anew"
        )
    print(f"{run} is trained already; --overwrite trains it anew", file=sys.stderr)
    return True


def settled(config: Config) -> Config:
    """The settings with what follows from them filled in.

    Where nothing is trained, head and parts would be random and attention would change nothing, so the frozen network
    ends with its pooled features. A folder is named from the root, so that the run can be gone on with from anywhere.
    """
    pooling = "avg" if config.model.pooling == "attention" else config.model.pooling  # as that begins
    untrained: dict[str, Any] = {"head": "none", "norm": "none", "dropout": 0.0, "parts": 0}
    untrained |= {"attention": "none", "pooling": pooling}
    bare = dataclasses.replace(config.model, **untrained)
    if config.train.epochs == 0 and config.model != bare:
        less = ", ".join(
            f"{name}: {value}" for name, value in untrained.items() if getattr(config.model, name) != value
        )
        if is_first():
            print(f"nothing is trained, so the network ends with its pooled features ({less})", file=sys.stderr)
        config = dataclasses.replace(config, model=bare)
    if config.data.root and at_home(config.data.root).exists():
        root = str(real_path(at_home(config.data.root)))
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=root))
    return config


def check_folder(run: Path) -> None:
    """Refuse to train into what is there, unless it is a run or empty.

    Raises:
        InputError: it is a file, or a folder of something else.
    """
    if run.is_file() or (run.exists() and any(run.iterdir()) and not _is_run(run)):
        raise InputError(f"{run} exists and is no training run; give another --run")


def _is_run(run: Path) -> bool:
    """Whether a folder's ``config.yaml`` is one of ours; other programs have files of that name too."""
    try:
        settings = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    known = {key.name for key in dataclasses.fields(Config)}
    return isinstance(settings, dict) and ALWAYS <= settings.keys() <= known  # a run may be older than a group


def check_same(config: Config, run: Path) -> None:
    """Hold the settings against those of the run that is there, if it has got anywhere.

    Raises:
        InputError: it is a run of other settings.
    """
    if not any((run / name).exists() for name in PROGRESS):
        return
    settings = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    before = _values(dataclasses.asdict(Config())) | _values(settings)  # a run may be older than a setting
    now = _values(dataclasses.asdict(config))
    differences = [
        f"{key} was {before.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted({*before, *now} - FREE_TO_CHANGE)
        if before.get(key) != now.get(key)
    ]
    if differences:
        raise InputError(
            f"{run} is a run of other settings ({'; '.join(differences)}); give another --run, or --overwrite"
        )


def clear(run: Path) -> None:
    """Delete what a training has written into its folder, and nothing else; last the file by which it is known."""
    for pattern in WRITTEN:
        for path in run.glob(pattern):
            path.unlink()


def next_command(data: DataSettings, run: Path) -> list[str]:
    """The words of the command that makes an index with a finished run.

    Test photos of the classes trained on stay out of it, to be asked about. Test classes do not: an index knows only
    the classes that are in it.
    """
    photos = ":".join(filter(None, (data.name, data.root))) or "drawn_birds"
    options: list[str] = []
    # What is to be said of the photos has been said; and if they have gone since, what was trained is there.
    with suppress(InputError, OSError), redirect_stderr(StringIO()):
        catalog = read_source(data.name, data.root)
        has_test_photos = "split" in catalog.table.column_names and "test" in catalog.table["split"].to_pylist()
        if has_test_photos and not is_zero_shot(catalog, data.protocol):
            options = ["--split", "train", *(["--protocol", data.protocol] if catalog.class_split else [])]
    return ["python", "-m", "index.build", str(run), photos, *options, "--out", f"{run.name}.index"]


def default_name(data: DataSettings) -> str:
    """What to call a run: the data set, or the folder or table of photos."""
    return data.name or (real_path(at_home(data.root)).stem if data.root else "drawn_birds")


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML has."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _values(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted keys, without the groups that they are in."""
    return {key: value for key, value in dotted(_plain(settings)).items() if not isinstance(value, dict)}


if __name__ == "__main__":
    run_command(main)
