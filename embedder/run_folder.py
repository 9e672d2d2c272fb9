"""What a run folder tells of the photos that its network was trained on."""

from pathlib import Path

import yaml

from embedder.config import CONFIG
from embedder.data.catalog import read_source
from embedder.data.splits import Split, split
from eval.errors import InputError


def run_photos(run: Path) -> Split:
    """The photos of a run, parted as its training has parted them.

    Raises:
        InputError: the folder has no settings, or the photos are not where they were.
    """
    if not (run / CONFIG).is_file():
        raise InputError(f"{run} has no {CONFIG}, which says what it was trained on; give the run folder of a training")
    settings = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))
    data = settings["data"]
    return split(read_source(data["name"], data["root"]), data["protocol"], data["validation"], settings["seed"])
