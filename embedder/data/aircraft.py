"""FGVC-Aircraft: ``data/images/<nnnnnnn>.jpg`` and lists of lines ``<photo> <value>``.

Maji, Rahtu, Kannala, Blaschko and Vedaldi, "Fine-Grained Visual Classification of Aircraft" (2013).
"""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import TYPES, Catalog, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import keyed, lines, meant_of
from eval.errors import InputError

PUBLISHED = Counts(photos=10_000, classes=100, training=6_667, test=3_333)
SPLITS = {"trainval": "train", "test": "test"}
LEVELS = ("family", "manufacturer")
NEEDED = [
    "images",
    "variants.txt",
    "images_box.txt",
    *(f"images_{level}_{split}.txt" for level in ("variant", *LEVELS) for split in SPLITS),
]
LAYOUT = (
    "the folder data of fgvc-aircraft-2013b.tar.gz, with images and the lists beside it, from "
    "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft, or as `python -m embedder.data.download aircraft FOLDER` "
    "fetches it"
)


def read(root: Path) -> Catalog:
    """Read the 100 variants with their families and manufacturers, and the box of each aircraft as ``subject_box``.

    The official training and validation photos are for training, the others for the test; there is no published
    zero-shot protocol. The strip at the foot of each photo names its owner: whoever cuts photos to their boxes is rid
    of it.

    Raises:
        InputError: a list or a photo is missing or damaged, the lists do not fit together, or the counts are not the
            published ones.
    """
    if not (root / NEEDED[0]).exists() and (root / "data" / NEEDED[0]).exists():
        root = root / "data"
    check_layout(root, "aircraft", NEEDED, LAYOUT)
    variants = lines(root / "variants.txt")
    known = {split: keyed(root / f"images_variant_{split}.txt") for split in SPLITS}
    for split, found in known.items():
        check_listed(root, [_file(photo) for photo in found], root / f"images_variant_{split}.txt")
    photos = [photo for found in known.values() for photo in found]
    label = {photo: variant for found in known.values() for photo, variant in found.items()}
    if len(label) < len(photos):
        raise InputError(f"{root}: a photo is listed both for training and for the test; unpack the data set anew")
    unknown = {*label.values()} - {*variants}
    if unknown:
        raise InputError(f"{root / 'variants.txt'} does not list {min(unknown)!r}; unpack the data set anew")
    columns = {
        "path": pa.array([*map(_file, photos)]),
        "label": label_column([label[photo] for photo in photos], variants),
        "split": pa.array([SPLITS[split] for split, found in known.items() for _ in found]),
        "subject_box": pa.array(_boxes(root / "images_box.txt", photos), TYPES["subject_box"]),
    }
    for level in LEVELS:
        files = [root / f"images_{level}_{split}.txt" for split in SPLITS]
        columns[level] = pa.array(meant_of(files, photos))
    catalog = Catalog(pa.table(columns), root, "aircraft")
    check_counts(catalog, PUBLISHED)
    return catalog


def _file(photo: str) -> str:
    """Where a photo of the lists lies."""
    return f"images/{photo}.jpg"


def _boxes(file: Path, photos: list[str]) -> list[list[float]]:
    """Left, top, right, bottom of each photo's aircraft; the file counts pixels from 1, both ends included."""
    boxes = []
    for photo, text in zip(photos, meant_of([file], photos), strict=True):
        numbers = text.split()
        if len(numbers) != 4 or not all(number.isdecimal() for number in numbers):
            raise InputError(f"{file}: the box of {photo} is {text!r}; it must be four whole numbers")
        left, top, right, bottom = map(int, numbers)
        if not (left <= right and top <= bottom):
            raise InputError(f"{file}: the box of {photo} has no area")
        boxes.append([left - 1.0, top - 1.0, float(right), float(bottom)])
    return boxes
