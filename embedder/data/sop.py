"""Stanford Online Products: ``<kind>_final/<product>_<n>.JPG`` and three lists.

Oh Song, Xiang, Jegelka and Savarese, "Deep Metric Learning via Lifted Structured Feature Embedding" (2016).
"""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, label_column
from embedder.data.layout import Counts, apart, check_counts, check_layout, check_listed
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
    rows = []
    for split, name in SPLITS.items():
        found = [*_rows(root / name)]
        check_listed(root, [path for _, path in found], root / name)
        rows += [(*row, split) for row in found]
    labels, paths, splits = ([row[place] for row in rows] for place in range(3))
    protocol = apart(root / SPLITS["train"], labels, splits, HELD_OUT, "product")
    columns = {
        "path": pa.array(paths),
        "label": label_column(labels, [*protocol.training, *protocol.validation, *protocol.test]),
        "split": pa.array(splits),
        "kind": pa.array([path.partition("/")[0].removesuffix("_final") for path in paths]),
    }
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
