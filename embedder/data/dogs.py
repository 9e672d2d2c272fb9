"""Stanford Dogs: ``Images/<nid>-<breed>/<name>.jpg``, an annotation of each, and two MATLAB files.

Khosla, Jayadevaprakash, Yao and Fei-Fei, "Novel Dataset for Fine-Grained Image Categorization" (2011).
"""

import re
from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import TYPES, Catalog, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import matlab, text
from eval.errors import InputError

PUBLISHED = Counts(photos=20_580, classes=120, training=12_000, test=8_580)
SPLITS = {"train": "train_list.mat", "test": "test_list.mat"}
NEEDED = ["Images", "Annotation"]
LAYOUT = (
    "the folders Images and Annotation, and train_list.mat and test_list.mat beside them or in lists, from "
    "http://vision.stanford.edu/aditya86/ImageNetDogs"
)
SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(root: Path) -> Catalog:
    """Read the 120 breeds with the official split, and the box of each photo's first dog as ``subject_box``.

    There is no published zero-shot protocol.

    Raises:
        InputError: a list, an annotation or a photo is missing or damaged, or the counts are not the published ones.
    """
    lists = root / "lists" if (root / "lists").is_dir() else root
    names = [*NEEDED, *(f"{lists.name}/{name}" if lists != root else name for name in SPLITS.values())]
    check_layout(root, "dogs", names, LAYOUT)
    photos = {split: matlab(lists / name, "file_list")[0].tolist() for split, name in SPLITS.items()}
    for split, found in photos.items():
        check_listed(root, [f"Images/{file}" for file in found], lists / SPLITS[split])
    files = [str(file) for found in photos.values() for file in found]
    columns = {
        "path": pa.array([f"Images/{file}" for file in files]),
        "label": label_column([file.partition("/")[0].partition("-")[2] for file in files]),
        "split": pa.array([split for split, found in photos.items() for _ in found]),
        "subject_box": pa.array(
            [_box(root / "Annotation" / Path(file).with_suffix("")) for file in files], TYPES["box"]
        ),
    }
    catalog = Catalog(pa.table(columns), root, "dogs")
    check_counts(catalog, PUBLISHED)
    return catalog


def _box(file: Path) -> list[float]:
    """Left, top, right, bottom of the first dog of an annotation."""
    if not file.is_file():
        raise InputError(
            f"{file} does not exist; every photo has an annotation of that name, so unpack Annotation anew"
        )
    content = text(file)
    found = [re.search(rf"<{side}>\s*(\d+)\s*</{side}>", content) for side in SIDES]
    left, top, right, bottom = (float(match[1]) if match else -1.0 for match in found)
    if None in found or not (left < right and top < bottom):
        raise InputError(f"{file} holds no box with an area; unpack Annotation anew")
    return [left, top, right, bottom]
