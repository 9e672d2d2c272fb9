"""Stanford Cars, all 196 models, in either of the two layouts in which it has been given out.

Krause, Stark, Deng and Fei-Fei, "3D Object Representations for Fine-Grained Categorization" (2013).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedder.data.catalog import TYPES, Catalog, ClassSplit, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import matlab
from eval.errors import InputError

PUBLISHED = Counts(photos=16_185, classes=196, training=8_144, test=8_041)
TOGETHER = ["car_ims", "cars_annos.mat"]
APART = ["cars_train", "cars_test", "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"]
TEST_LABELS = "cars_test_annos_withlabels.mat"
LAYOUT = (
    f"{' and '.join(TOGETHER)}, or {', '.join(APART)} and {TEST_LABELS} (in devkit or beside it); its authors no "
    "longer offer it, so search for car_ims.tgz, or for a copy that keeps these files"
)


def read(root: Path) -> Catalog:
    """Read the 196 models with the official split and the box of each car as ``subject_box``.

    Closed-set: the official 8,144 training and 8,041 test photos of all models. Zero-shot: models 1-68 for training,
    69-98 for validation, 99-196 for the test, whole photos (Oh Song et al. 2016, section 6).

    Raises:
        InputError: a list or a photo is missing or damaged, or the counts are not the published ones.
    """
    apart = (root / APART[0]).exists()
    check_layout(root, "cars196", APART if apart else TOGETHER, LAYOUT)
    models, rows, splits, listing = _apart(root) if apart else _together(root)
    paths = [str(row["path"]) for row in rows]
    numbers = [int(row["class"]) for row in rows]
    if not all(1 <= number <= len(models) for number in numbers):
        raise InputError(f"{listing} names a class beyond the {len(models)} that there are; unpack the data set anew")
    boxes = [[float(row[side]) for side in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")] for row in rows]
    columns = {
        "path": pa.array(paths),
        "label": label_column([models[number - 1] for number in numbers], models),
        "split": pa.array(splits),
        "subject_box": pa.array(boxes, TYPES["subject_box"]),
    }
    protocol = ClassSplit(tuple(models[:68]), tuple(models[68:98]), tuple(models[98:]))
    catalog = Catalog(pa.table(columns), root, "cars196", protocol)
    check_counts(catalog, PUBLISHED)
    return catalog


def _together(root: Path) -> tuple[list[str], list[dict[str, Any]], list[str], Path]:
    """The models, what is known of each photo, its split, and where that is from: all photos in one folder."""
    file = root / TOGETHER[1]
    annotations, models = matlab(file, "annotations", "class_names")
    rows = _records(root, file, annotations, "relative_im_path")
    return models.tolist(), rows, ["test" if row["test"] else "train" for row in rows], file


def _apart(root: Path) -> tuple[list[str], list[dict[str, Any]], list[str], Path]:
    """The same of a folder for each split."""
    places = [place / TEST_LABELS for place in (root, root / "devkit")]
    test = next((place for place in places if place.exists()), None)
    if test is None:
        raise InputError(f"{root} is not cars196: {TEST_LABELS} is missing; cars196 is laid out as {LAYOUT}")
    (models,) = matlab(root / APART[2], "class_names")
    rows: list[dict[str, Any]] = []
    splits: list[str] = []
    for split, file in (("train", root / APART[3]), ("test", test)):
        (annotations,) = matlab(file, "annotations")
        found = _records(root, file, annotations, "fname", f"cars_{split}/")
        rows += found
        splits += [split] * len(found)
    return models.tolist(), rows, splits, test


def _records(root: Path, file: Path, annotations: NDArray[Any], path: str, below: str = "") -> list[dict[str, Any]]:
    """The annotations by name, the path below ``root`` of the photo, which is there, as ``path``."""
    names = annotations.dtype.names or ()
    for name in (path, "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"):
        if name not in names:
            raise InputError(f"{file}: its annotations have no {name!r}; unpack the data set anew")
    paths = [f"{below}{row[path]}" for row in annotations]
    check_listed(root, paths, file)
    values = ({name: np.asarray(row[name]).item() for name in names} for row in annotations)
    return [{"path": place, **known} for place, known in zip(paths, values, strict=True)]
