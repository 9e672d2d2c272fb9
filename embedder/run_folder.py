"""What a run folder tells of the training: its settings, and the photos as it has parted them."""

from pathlib import Path
from typing import Any

import yaml

from embedder.config import CONFIG
from embedder.data.catalog import read_source
from embedder.data.splits import Split, split
from eval.errors import InputError


def run_file(run: Path, name: str) -> Path:
    """A file that the network of a run is made from.

    Raises:
        InputError: the folder does not have it.
    """
    if not (run / name).is_file():
        raise InputError(f"{run} has no {name}, which the network is made from; give the run folder of a training")
    return run / name


def run_settings(run: Path) -> dict[str, Any]:
    """The settings of a run, as its ``config.yaml`` has them.

    Raises:
        InputError: there is none.
    """
    settings: dict[str, Any] = yaml.safe_load(run_file(run, CONFIG).read_text(encoding="utf-8"))
    return settings


def run_photos(run: Path) -> Split:
    """The photos of a run, parted as its training has parted them.

    Raises:
        InputError: as for ``run_settings``, or the photos are not where they were.
    """
    settings = run_settings(run)
    data = settings["data"]
    return split(read_source(data["name"], data["root"]), data["protocol"], data["validation"], settings["seed"])
