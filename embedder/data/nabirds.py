"""NABirds: ``images/<class>/<photo>.jpg``, lists of lines ``<photo> <value> ...``, and a hierarchy of classes.

Van Horn, Branson, Farrell, Haber, Barry, Ipeirotis, Perona and Belongie, "Building a Bird Recognition App and Large
Scale Dataset with Citizen Scientists" (2015).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from embedder.data.catalog import TYPES, Catalog, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import corners, keyed, lines, meant, meant_of, numbered
from eval.errors import InputError

PUBLISHED = Counts(photos=48_562, classes=555, training=23_929, test=24_633)
PARTS = 11
LISTS = [
    "classes.txt",
    "hierarchy.txt",
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "parts/part_locs.txt",
]
LEVELS = ("order", "family", "species")
"""What the names from the root of the hierarchy down are of, after that of all birds."""
LAYOUT = f"a folder images and {', '.join(LISTS)}, as in nabirds.tar from https://dl.allaboutbirds.org/nabirds"


def read(root: Path) -> Catalog:
    """Read the 555 kinds with the official split, the box of each bird as ``subject_box``, and its 11 keypoints.

    A kind is a species, or its males, females or young where they look different; ``species``, ``family`` and ``order``
    are those of the hierarchy, null where a kind hangs higher. There is no published zero-shot protocol.

    Raises:
        InputError: a list or a photo is missing or damaged, the lists do not fit together, a kind is not in the
            hierarchy, or the counts are not the published ones.
    """
    check_layout(root, "nabirds", ["images", *LISTS], LAYOUT)
    files = {name: root / name for name in LISTS}
    names, parents = keyed(files["classes.txt"]), keyed(files["hierarchy.txt"])
    images = keyed(files["images.txt"])
    photos = [*images]
    paths = [f"images/{path}" for path in images.values()]
    check_listed(root, paths, files["images.txt"])
    kinds = meant_of([files["image_class_labels.txt"]], photos)
    chains = {kind: _chain(files["hierarchy.txt"], kind, names, parents) for kind in {*kinds}}
    labels = {kind: f"{kind.zfill(4)}.{names[kind]}" for kind in chains}
    splits = meant_of([files["train_test_split.txt"]], photos)
    columns = {
        "path": pa.array(paths),
        "label": label_column([labels[kind] for kind in kinds]),
        "split": pa.array(meant(files["train_test_split.txt"], splits, {"1": "train", "0": "test"})),
        "subject_box": pa.array(_boxes(files["bounding_boxes.txt"], photos), TYPES["subject_box"]),
        "keypoints": pa.array(_keypoints(files["parts/part_locs.txt"], photos), TYPES["keypoints"]),
    }
    for depth, level in enumerate(LEVELS):
        columns[level] = pa.array([dict(enumerate(chains[kind])).get(depth) for kind in kinds], pa.string())
    parts = root / "parts/parts.txt"  # nothing but what augments by pose needs it
    catalog = Catalog(
        pa.table(columns), root, "nabirds", keypoint_names=tuple(numbered(parts, 0)) if parts.is_file() else ()
    )
    check_counts(catalog, PUBLISHED)
    return catalog


def _chain(file: Path, kind: str, names: dict[str, str], parents: dict[str, str]) -> list[str]:
    """The names above and of a kind, the highest first, without that of all birds."""
    chain = [kind]
    while chain[-1] in parents and len(chain) <= len(parents):
        chain.append(parents[chain[-1]])
    if len(chain) < 2 or len(chain) > len(parents) or any(one not in names for one in chain):
        raise InputError(f"{file}: kind {kind} does not hang below all birds in it; unpack the data set anew")
    return [names[one] for one in chain[-2::-1]]


def _boxes(file: Path, photos: list[str]) -> list[list[float]]:
    """Left, top, right, bottom of each photo's bird, from lines ``<photo> <left> <top> <width> <height>``."""
    return corners(file, np.array([_floats(file, one, 4) for one in meant_of([file], photos)]).reshape(-1, 4))


def _keypoints(file: Path, photos: list[str]) -> list[list[list[float]]]:
    """x, y, visible of each photo's parts, from lines ``<photo> <part> <x> <y> <visible>``, parts from 0."""
    found: dict[str, dict[int, list[float]]] = {photo: {} for photo in photos}
    for number, line in enumerate(lines(file), 1):
        photo, _, rest = line.strip().partition(" ")
        part, *place = _floats(file, rest, 4)
        if photo not in found or part not in range(PARTS) or int(part) in found[photo]:
            raise InputError(f"{file}, line {number}: {line!r} is of no photo or part that there is, or there twice")
        found[photo][int(part)] = place
    if short := next((photo for photo, parts in found.items() if len(parts) < PARTS), None):
        raise InputError(f"{file} has {len(found[short])} of the {PARTS} parts of {short}; unpack the data set anew")
    return [[parts[part] for part in range(PARTS)] for parts in found.values()]


def _floats(file: Path, text: str, count: int) -> list[float]:
    """So many finite numbers."""
    try:
        values = [float(value) for value in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"{file}: {text!r} is to be {count} numbers; unpack the data set anew")
    return values
