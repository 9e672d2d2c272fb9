"""Train an embedder: ``python -m embedder.train --config configs/NAME.yaml [--run runs/NAME] [--loss.name NAME] ...``.

A bare ``python -m embedder.train`` draws birds and learns to tell them apart. The same command given again goes on
where a run was stopped; given again after the run is done, it does nothing.
"""

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from embedder.config import AugmentSettings, Config, DataSettings, LossSettings, ModelSettings, TrainSettings
from embedder.runtime import EMBEDDER
from eval.command import run as run_command
from eval.errors import InputError
from eval.files import replacing

CONFIG = "config.yaml"
FREE_TO_CHANGE = {"data.workers", "train.checkpoint_minutes"}
"""Keys that do not touch the weights, so that a run may be resumed with other values."""


def main(
    *,
    data: DataSettings,
    augment: AugmentSettings,
    model: ModelSettings,
    loss: LossSettings,
    train: TrainSettings,
    seed: int = 0,
    run: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Train an embedder and export it as embedder.onnx into the run folder.

    Args:
        data: which photos, at which size, under which protocol.
        augment: the random view of a photo that training sees.
        model: the network.
        loss: what training minimises.
        train: the loop.
        seed: same seed, same weights.
        run: the run folder; runs/NAME of the data where none is given.
        overwrite: delete what the run folder holds and start anew.
    """
    config = Config(data, augment, model, loss, train, seed)
    folder = run or Path("runs") / (data.name or (Path(data.root).stem if data.root else "drawn_birds"))
    fit(config, folder, overwrite=overwrite)
    print(folder)
    return folder


def fit(config: Config, run: Path, *, overwrite: bool = False) -> Path:
    """Train by ``config`` in the folder ``run``, from where it was stopped if it was.

    Returns:
        The run folder, with ``embedder.onnx`` in it.

    Raises:
        InputError: the folder holds a run of other settings, or the settings or photos cannot be used.
        KeyboardInterrupt: stopped by Ctrl-C (or SIGTERM), after saving.
    """
    config = settled(config)
    if overwrite and (run / CONFIG).exists():
        shutil.rmtree(run)
    record(config, run)
    if (run / EMBEDDER).exists():
        print(f"{run} is trained already; --overwrite trains it anew", file=sys.stderr)
        return run
    from embedder.trainer import Trainer  # noqa: PLC0415 - torch, which --help and a finished run do without

    Trainer(config, run).train()
    return run


def settled(config: Config) -> Config:
    """The settings with what follows from them filled in.

    Where nothing is trained the head would be random, so the frozen network ends with its pooled features.
    """
    if config.train.epochs == 0 and config.model.head != "none":
        print("nothing is trained, so the network ends with its pooled features (head: none)", file=sys.stderr)
        model = dataclasses.replace(config.model, head="none", norm="none", dropout=0.0)
        config = dataclasses.replace(config, model=model)
    if config.data.test_size is None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, test_size=config.data.size))
    return config


def record(config: Config, run: Path) -> None:
    """Write ``config.yaml`` into the run folder, or hold it against the one that is there.

    Raises:
        InputError: the folder holds something else, or a run of other settings.
    """
    wanted = yaml.safe_load(yaml.safe_dump(_plain(dataclasses.asdict(config))))
    path = run / CONFIG
    if not path.exists():
        if run.exists() and any(run.iterdir()):
            raise InputError(f"{run} exists and is no training run; give another --run")
        with replacing(path) as beside:
            beside.write_text(yaml.safe_dump(wanted, sort_keys=False), encoding="utf-8")
        return
    before, now = _flat(yaml.safe_load(path.read_text(encoding="utf-8"))), _flat(wanted)
    differences = [
        f"{key} was {before.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted({*before, *now} - FREE_TO_CHANGE)
        if before.get(key) != now.get(key)
    ]
    if differences:
        raise InputError(
            f"{run} is a run of other settings ({'; '.join(differences)}); give another --run, or --overwrite"
        )


def _plain(value: Any) -> Any:
    """Tuples as lists, which YAML has."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


if __name__ == "__main__":
    run_command(main)
