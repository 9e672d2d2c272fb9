"""Caltech-UCSD Birds-200-2011: ``images/<nnn.Species>/<name>.jpg`` and lists of lines ``<id> <value> ...`` from 1.

Wah, Branson, Welinder, Perona and Belongie, "The Caltech-UCSD Birds-200-2011 Dataset" (2011).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from embedder.data.catalog import TYPES, Catalog, ClassSplit, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import check_ids, corners, meant, numbered, numbers
from eval.errors import InputError

PUBLISHED = Counts(photos=11_788, classes=200, training=5_994, test=5_794)
PARTS = 15
LISTS = [
    "classes.txt",
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "parts/parts.txt",
    "parts/part_locs.txt",
]
LAYOUT = (
    f"a folder images with one folder a species, and {', '.join(LISTS)}, as in CUB_200_2011.tgz from "
    "https://data.caltech.edu/records/65de6-vp158"
)


def read(root: Path) -> Catalog:
    """Read the 200 species with the official split, the box of each bird as ``subject_box``, and its 15 keypoints.

    Closed-set: the official 5,994 training and 5,794 test photos of all species. Zero-shot: species 1-70 for training,
    71-100 for validation, 101-200 for the test, whole photos (Oh Song et al. 2016, section 6). The keypoints are those
    of ``parts/parts.txt``, from the back to the throat.

    Raises:
        InputError: a list or a photo is missing, the lists do not fit together, or the counts are not the published
            ones.
    """
    check_layout(root, "cub200", ["images", *LISTS], LAYOUT)
    species, photos, labels, splits = (numbered(root / name) for name in LISTS[:4])
    if len({*species}) < len(species):
        raise InputError(f"{root / LISTS[0]} lists a species twice; unpack the data set anew")
    for name, values in zip(LISTS[2:4], (labels, splits), strict=True):
        if len(values) != len(photos):
            raise InputError(
                f"{root / name} has {len(values)} lines and {LISTS[1]} has {len(photos)}; unpack them anew"
            )
    paths = [f"images/{photo}" for photo in photos]
    check_listed(root, paths, root / LISTS[1])
    names = {str(number): name for number, name in enumerate(species, 1)}
    sides = {"1": "train", "0": "test"}
    columns = {
        "path": pa.array(paths),
        "label": label_column(meant(root / LISTS[2], labels, names), species),
        "split": pa.array(meant(root / LISTS[3], splits, sides)),
        "subject_box": pa.array(_boxes(root / LISTS[4], len(photos)), TYPES["subject_box"]),
        "keypoints": pa.array(_keypoints(root / LISTS[6], len(photos)), TYPES["keypoints"]),
    }
    protocol = ClassSplit(tuple(species[:70]), tuple(species[70:100]), tuple(species[100:]))
    parts = tuple(numbered(root / LISTS[5]))
    catalog = Catalog(pa.table(columns), root, "cub200", protocol, keypoint_names=parts)
    check_counts(catalog, PUBLISHED)
    return catalog


def _keypoints(file: Path, photos: int) -> list[list[list[float]]]:
    """x, y, visible of each photo's parts, from lines ``<id> <part> <x> <y> <visible>``."""
    found = numbers(file, photos * PARTS, columns=5)
    check_ids(file, found[:, 0], np.repeat(np.arange(1, photos + 1), PARTS))
    check_ids(file, found[:, 1], np.tile(np.arange(1, PARTS + 1), photos))
    return found[:, 2:].reshape(photos, PARTS, 3).tolist()


def _boxes(file: Path, photos: int) -> list[list[float]]:
    """Left, top, right, bottom of each photo's bird, from lines ``<id> <left> <top> <width> <height>``."""
    found = numbers(file, photos, columns=5)
    check_ids(file, found[:, 0], np.arange(1, photos + 1))
    return corners(file, found[:, 1:])
