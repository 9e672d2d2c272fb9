"""100 species of Caltech-UCSD Birds-200-2011, cropped to the bird: ``images/<Species>/<nnnn>.jpg`` and four lists."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, ClassSplit, label_column
from embedder.data.layout import check_layout, check_listed
from eval.errors import InputError

LISTS = ["classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt"]
SPLIT = {"0": "train", "1": "test"}
"""The data set's README says both that 1 is training and that 2,999 photos are for training, and only one can be true:
2,999 photos have a 0, 30 of every species but one, which is how CUB-200-2011 chose its training photos."""
LAYOUT = f"a folder images with one folder a species, and {', '.join(LISTS)}"


def read(root: Path) -> Catalog:
    """Read the 100 species, in the order of ``classes.txt``, with the official split.

    Zero-shot: the first 35 species for training, the next 15 for validation, the last 50 for the test.

    Raises:
        InputError: a list or a photo is missing, or the lists do not fit together.
    """
    check_layout(root, "birds100", ["images", *LISTS], LAYOUT)
    species, photos, labels, splits = (_values(root / name) for name in LISTS)
    if len(species) != 100:
        raise InputError(f"{root / LISTS[0]} lists {len(species)} species; birds100 has 100")
    if not len(photos) == len(labels) == len(splits):
        raise InputError(f"{root}: {', '.join(LISTS[1:])} have {len(photos)}, {len(labels)} and {len(splits)} lines")
    paths = [f"images/{photo}" for photo in photos]
    check_listed(root, paths, root / LISTS[1])
    names = {str(number): name for number, name in enumerate(species)}
    columns = {
        "path": pa.array(paths),
        "label": label_column(_translated(root / LISTS[2], labels, names), species),
        "split": pa.array(_translated(root / LISTS[3], splits, SPLIT)),
    }
    protocol = ClassSplit(tuple(species[:35]), tuple(species[35:50]), tuple(species[50:]))
    return Catalog(pa.table(columns), root, "birds100", protocol, cut_out=True)


def _values(file: Path) -> list[str]:
    """The values of a list with one line ``index, value`` each, counting from 0."""
    values = []
    for index, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        number, _, value = (part.strip() for part in line.partition(","))
        if number != str(index) or not value:
            raise InputError(f"{file}, line {index + 1}: expected '{index}, VALUE' and found {line!r}")
        values.append(value)
    return values


def _translated(file: Path, values: list[str], meaning: Mapping[str, str]) -> list[str]:
    """What each value of a list stands for."""
    for index, value in enumerate(values):
        if value not in meaning:
            raise InputError(f"{file}, line {index + 1}: {value!r} is not one of {', '.join(meaning)}")
    return [meaning[value] for value in values]
