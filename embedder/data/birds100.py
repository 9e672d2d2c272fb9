"""100 species of Caltech-UCSD Birds-200-2011, cropped to the bird: ``images/<Species>/<nnnn>.jpg`` and four lists."""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, ClassSplit, label_column
from embedder.data.layout import check_layout, check_listed
from embedder.data.lists import meant, numbered
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
    species, photos, labels, splits = (numbered(root / name, first=0, separator=",") for name in LISTS)
    if len(species) != 100:
        raise InputError(f"{root / LISTS[0]} lists {len(species)} species; birds100 has 100: unpack the data set anew")
    if not len(photos) == len(labels) == len(splits):
        lines = f"{len(photos)}, {len(labels)} and {len(splits)} lines"
        raise InputError(f"{root}: {', '.join(LISTS[1:])} have {lines}; unpack the data set anew")
    paths = [f"images/{photo}" for photo in photos]
    check_listed(root, paths, root / LISTS[1])
    names = {str(number): name for number, name in enumerate(species)}
    columns = {
        "path": pa.array(paths),
        "label": label_column(meant(root / LISTS[2], labels, names), species),
        "split": pa.array(meant(root / LISTS[3], splits, SPLIT)),
    }
    protocol = ClassSplit(tuple(species[:35]), tuple(species[35:50]), tuple(species[50:]))
    return Catalog(pa.table(columns), root, "birds100", protocol, cut_out=True)
