"""CIFAR-10 as photos, ``train|test/<class>/<name>``, or in the batches that it is published in.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from dataclasses import replace
from pathlib import Path

from embedder.data import folder
from embedder.data.catalog import Catalog
from embedder.data.cifar_batches import FOLDER, unpack
from embedder.data.layout import check_layout
from eval.errors import InputError
from eval.files import alone

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PHOTOS = "cifar10-photos"
"""The folder that photos are unpacked into, beside that of the batches."""

LAYOUT = (
    "the folders train and test, each with one folder a class, airplane to truck; or the folder "
    f"{FOLDER} of cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html, as "
    "`python -m embedder.data.download cifar10 FOLDER` fetches it"
)


def read(root: Path) -> Catalog:
    """Read the ten classes with the official split; there is no zero-shot protocol.

    Batches are unpacked once, into ``cifar10-photos`` beside them.

    Raises:
        InputError: ``root`` does not hold photos of the ten classes, for training and for the test; or a batch is not
            the published one.
    """
    batches = root if root.name == FOLDER else root / FOLDER
    if batches.is_dir():
        root = batches.parent / PHOTOS
        with alone(batches):
            if not root.is_dir():
                unpack(batches, root, CLASSES)
    check_layout(root, "cifar10", [f"{split}/{name}" for split in ("train", "test") for name in CLASSES], LAYOUT)
    catalog = folder.read(root)
    if catalog.classes != CLASSES:
        raise InputError(f"{root} is not cifar10: it has photos of {catalog.classes}; it is laid out as {LAYOUT}")
    return replace(catalog, name="cifar10")
