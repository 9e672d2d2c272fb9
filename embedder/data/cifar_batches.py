"""CIFAR-10 as published: six pickled batches, unpacked once into photos.

A pickle can run any program. So a batch is opened only where its MD5 is the published one, and even then by an
unpickler that makes nothing but arrays.
"""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from eval.errors import InputError
from eval.files import new_folder

FOLDER = "cifar-10-batches-py"
BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""The batches with their MD5, as https://www.cs.toronto.edu/~kriz/cifar.html has published them."""

SIDE = 32

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("numpy", "ndarray"): "numpy",
    ("numpy", "dtype"): "numpy",
}
"""All that the pickles name, and where it is in the NumPy of today."""


def unpack(batches: Path, folder: Path, classes: list[str]) -> None:
    """Write the photos of the batches as ``train|test/<class>/<nnnnn>.png``.

    Args:
        batches: the folder ``cifar-10-batches-py``.
        folder: where they go; it is there as a whole or not at all.
        classes: their names, in the order of the labels.

    Raises:
        InputError: a batch is missing, or not the published one.
    """
    contents = {name: _checked(batches / name, md5) for name, md5 in BATCHES.items()}
    with new_folder(folder) as beside:
        for split in ("train", "test"):
            for name in classes:
                (beside / split / name).mkdir(parents=True)
        number = 0
        for name, content in contents.items():
            split = "test" if name == "test_batch" else "train"
            for pixels, label in zip(*_photos(batches / name, content), strict=True):
                Image.fromarray(pixels).save(beside / split / classes[label] / f"{number:05}.png")
                number += 1


def _checked(file: Path, md5: str) -> bytes:
    """A batch, if it is the published one."""
    if not file.is_file():
        raise InputError(f"{file} is missing; unpack cifar-10-python.tar.gz anew")
    content = file.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise InputError(
            f"{file} is not the published one (its MD5 is {found} and not {md5}), so it is not opened; load "
            "cifar-10-python.tar.gz anew from https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    return content


def _photos(file: Path, content: bytes) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels ``[N, 32, 32, 3]`` and labels of a batch."""
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        planes = np.asarray(batch["data"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        return planes.transpose(0, 2, 3, 1), [int(label) for label in batch["labels"]]
    except (pickle.UnpicklingError, KeyError, ValueError, TypeError, EOFError, AttributeError, IndexError) as error:
        raise InputError(f"{file} is no batch of CIFAR-10 ({error}); unpack the data set anew") from None


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, lists, dictionaries, numbers and strings, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle names, if it belongs to an array."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return super().find_class(_ALLOWED[module, name], name)
