"""CIFAR-10 as JPEG files, ``train|test/<class>/<nnnn>.jpg``."""

from dataclasses import replace
from pathlib import Path

from embedder.data import folder
from embedder.data.catalog import Catalog
from embedder.data.layout import check_layout
from eval.errors import InputError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LAYOUT = "the folders train and test, each with one folder a class, airplane to truck"


def read(root: Path) -> Catalog:
    """Read the ten classes with the official split; there is no zero-shot protocol.

    Raises:
        InputError: ``root`` does not hold photos of the ten classes, for training and for the test.
    """
    check_layout(root, "cifar10", [f"{split}/{name}" for split in ("train", "test") for name in CLASSES], LAYOUT)
    catalog = folder.read(root)
    if catalog.classes != CLASSES:
        raise InputError(f"{root} is not cifar10: it has photos of {catalog.classes}; it is laid out as {LAYOUT}")
    return replace(catalog, name="cifar10")
