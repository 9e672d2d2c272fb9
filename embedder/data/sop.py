"""Stanford Online Products: ``<kind>_final/<product>_<n>.JPG`` and three lists.

Oh Song, Xiang, Jegelka and Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding" (2016).
"""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, ClassSplit, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import lines
from eval.errors import InputError

PUBLISHED = Counts(photos=120_053, classes=22_634, training=59_551, test=60_502)
SPLITS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
COLUMNS = ["image_id", "class_id", "super_class_id", "path"]
HELD_OUT = 1_132
"""Training products, the last ones, that choices are made on: a tenth."""
LAYOUT = (
    "Ebay_train.txt, Ebay_test.txt and twelve folders such as bicycle_final, as in Stanford_Online_Products.zip from "
    "https://cvgl.stanford.edu/projects/lifted_struct"
)


def read(root: Path) -> Catalog:
    """Read the 22,634 products, with the kind of each as a column ``kind``.

    Zero-shot only, as published: 11,318 products for training, of which the last tenth is the validation, and 11,316
    others for the test.

    Raises:
        InputError: a list or a photo is missing or damaged, a product is on both sides, or the counts are not the
            published ones.
    """
    check_layout(root, "sop", [*SPLITS.values()], LAYOUT)
    rows = {split: _rows(root / name) for split, name in SPLITS.items()}
    products = {split: [*dict.fromkeys(product for product, _ in found)] for split, found in rows.items()}
    if both := {*products["train"]} & {*products["test"]}:
        raise InputError(f"{root}: product {min(both)} is both in training and in the test; unpack the data set anew")
    both_sides = [row for found in rows.values() for row in found]
    paths = [path for _, path in both_sides]
    check_listed(root, paths, root / SPLITS["train"])
    classes = [*products["train"], *products["test"]]
    columns = {
        "path": pa.array(paths),
        "label": label_column([product for product, _ in both_sides], classes),
        "split": pa.array([split for split, found in rows.items() for _ in found]),
        "kind": pa.array([path.partition("/")[0].removesuffix("_final") for path in paths]),
    }
    training = products["train"]
    protocol = ClassSplit(tuple(training[:-HELD_OUT]), tuple(training[-HELD_OUT:]), tuple(products["test"]))
    catalog = Catalog(pa.table(columns), root, "sop", protocol)
    check_counts(catalog, PUBLISHED)
    return catalog


def _rows(file: Path) -> list[tuple[str, str]]:
    """The product and the path of each photo."""
    head, *rest = lines(file) or [""]
    if head.split() != COLUMNS:
        raise InputError(f"{file}: its first line is {head!r}; it must be {' '.join(COLUMNS)!r}")
    rows = []
    for number, line in enumerate(rest, 2):
        values = line.split()
        if len(values) != len(COLUMNS):
            raise InputError(f"{file}, line {number}: expected {len(COLUMNS)} values and found {line!r}")
        rows.append((values[1], values[3]))
    return rows
