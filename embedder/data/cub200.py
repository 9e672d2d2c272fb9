"""Caltech-UCSD Birds-200-2011: ``images/<nnn.Species>/<name>.jpg`` and lists of lines ``<id> <value> ...`` from 1.

Wah, Branson, Welinder, Perona and Belongie, "The Caltech-UCSD Birds-200-2011 Dataset" (2011).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedder.data.catalog import TYPES, Catalog, ClassSplit, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
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
    of ``parts/parts.txt``, from 1 for the back to 15 for the throat.

    Raises:
        InputError: a list or a photo is missing, the lists do not fit together, or the counts are not the published
            ones.
    """
    check_layout(root, "cub200", ["images", *LISTS], LAYOUT)
    species, photos, labels, splits = (_named(root / name) for name in LISTS[:4])
    if len({*species}) < len(species):
        raise InputError(f"{root / LISTS[0]} lists a species twice; unpack the data set anew")
    for name, values in zip(LISTS[2:4], (labels, splits), strict=True):
        if len(values) != len(photos):
            raise InputError(f"{root / name} has {len(values)} lines and {LISTS[1]} has {len(photos)}")
    paths = [f"images/{photo}" for photo in photos]
    check_listed(root, paths, root / LISTS[1])
    names = {str(number): name for number, name in enumerate(species, 1)}
    columns = {
        "path": pa.array(paths),
        "label": label_column(_meant(root / LISTS[2], labels, names), species),
        "split": pa.array(_meant(root / LISTS[3], splits, {"1": "train", "0": "test"})),
        "subject_box": pa.array(_boxes(root / LISTS[4], len(photos)), TYPES["subject_box"]),
        "keypoints": pa.array(_keypoints(root / LISTS[6], len(photos)), TYPES["keypoints"]),
    }
    protocol = ClassSplit(tuple(species[:70]), tuple(species[70:100]), tuple(species[100:]))
    catalog = Catalog(pa.table(columns), root, "cub200", protocol)
    check_counts(catalog, PUBLISHED)
    return catalog


def _named(file: Path) -> list[str]:
    """The values of a list with one line ``<id> <value>`` each, counting from 1."""
    values = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is damaged: {error}; unpack the data set anew") from None
    for index, line in enumerate(lines, 1):
        number, _, value = line.strip().partition(" ")
        if number != str(index) or not value:
            raise InputError(f"{file}, line {index}: expected '{index} VALUE' and found {line!r}")
        values.append(value)
    return values


def _meant(file: Path, values: list[str], meaning: dict[str, str]) -> list[str]:
    """What each value of a list stands for."""
    for index, value in enumerate(values, 1):
        if value not in meaning:
            raise InputError(f"{file}, line {index}: {value!r} is none of {', '.join(list(meaning)[:3])}, ...")
    return [meaning[value] for value in values]


def _boxes(file: Path, photos: int) -> list[list[float]]:
    """Left, top, right, bottom of each photo's bird, from lines ``<id> <left> <top> <width> <height>``."""
    numbers = _numbers(file, photos, columns=5)
    _check_ids(file, numbers[:, 0], np.arange(1, photos + 1))
    left, top, width, height = numbers[:, 1:].T
    if (flat := np.flatnonzero((width <= 0) | (height <= 0))).size:
        raise InputError(f"{file}, line {flat[0] + 1}: the box has no area")
    return np.stack([left, top, left + width, top + height], axis=1).tolist()


def _keypoints(file: Path, photos: int) -> list[list[list[float]]]:
    """x, y, visible of each photo's parts, from lines ``<id> <part> <x> <y> <visible>``."""
    numbers = _numbers(file, photos * PARTS, columns=5)
    _check_ids(file, numbers[:, 0], np.repeat(np.arange(1, photos + 1), PARTS))
    _check_ids(file, numbers[:, 1], np.tile(np.arange(1, PARTS + 1), photos))
    return numbers[:, 2:].reshape(photos, PARTS, 3).tolist()


def _numbers(file: Path, lines: int, columns: int) -> NDArray[np.float64]:
    """A list of nothing but finite numbers: ``[lines, columns]``."""
    try:
        numbers = np.loadtxt(file, ndmin=2)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    if numbers.shape != (lines, columns) or not np.isfinite(numbers).all():
        raise InputError(
            f"{file} has {len(numbers)} lines of {numbers.shape[1]} values; {lines} lines of {columns} numbers are due"
        )
    return numbers


def _check_ids(file: Path, found: NDArray[np.float64], due: NDArray[np.int64]) -> None:
    """Refuse lines in another order than that of the photos and parts."""
    if (wrong := np.flatnonzero(found != due)).size:
        line = int(wrong[0])
        raise InputError(f"{file}, line {line + 1}: expected the number {due[line]} and found {found[line]:g}")
