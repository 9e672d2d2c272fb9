"""A checkpoint is one dictionary of tensors and plain values: enough to go on exactly where it was written."""

import pickle
from pathlib import Path
from typing import Any

import torch

from eval.errors import InputError
from eval.files import replacing

FORMAT = 1
LAST, BEST = "last.ckpt", "best.ckpt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, strings, lists and dictionaries of them) in one step.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    with replacing(path) as beside:
        try:
            torch.save({"format": FORMAT, **state}, beside)
        except RuntimeError as error:  # what torch makes of a write that fails
            raise OSError(f"{path} cannot be written, is the disk full? ({error})") from None


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote, onto the CPU; nothing in the file is executed (``weights_only=True``).

    Raises:
        InputError: the file is damaged, or was written by a newer version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); embedder.train --overwrite trains from the start") from None
    if not isinstance(state, dict) or "format" not in state:
        raise InputError(
            f"{path} is not a checkpoint of a training run; embedder.train --overwrite trains from the start"
        )
    if state["format"] > FORMAT:
        raise InputError(
            f"{path} was written by a newer Fieldmark (format {state['format']}; this one reads {FORMAT}); update it"
        )
    return state
