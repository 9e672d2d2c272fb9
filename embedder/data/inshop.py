"""DeepFashion, In-shop Clothes Retrieval: ``img/WOMEN|MEN/<kind>/<item>/<photo>.jpg`` and one list.

Liu, Luo, Qiu, Wang and Tang, "DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations"
(2016).
"""

from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import ROLE, Catalog, label_column
from embedder.data.layout import Counts, apart, check_counts, check_layout, check_listed
from embedder.data.lists import lines
from eval.errors import InputError

PUBLISHED = Counts(photos=52_712, classes=7_982, training=25_882, test=26_830)
LISTING = "list_eval_partition.txt"
HEAD = ["image_name", "item_id", "evaluation_status"]
STATUSES = {"train": "train", "query": "test", "gallery": "test"}
HELD_OUT = 400
"""Training items, the last ones, that choices are made on: a tenth."""
LAYOUT = (
    f"a folder img and {LISTING} (beside it or in Eval), from the In-shop Clothes Retrieval Benchmark of "
    "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion.html"
)


def read(root: Path) -> Catalog:
    """Read the 7,982 items.

    Zero-shot only, as published: 3,997 items for training, of which the last tenth is the validation, and 3,985 others
    for the test, whose photos are 14,218 queries and a gallery of 12,612 (the column ``role``; ``--split query`` and
    ``--split gallery``).

    Raises:
        InputError: the list or a photo is missing or damaged, an item is on both sides, or the counts are not the
            published ones.
    """
    listing = next((root / name for name in (f"Eval/{LISTING}", LISTING) if (root / name).exists()), root / LISTING)
    photos = next((name for name in ("Img/img", "img") if (root / name).is_dir()), "img")
    check_layout(root, "inshop", [photos, str(listing.relative_to(root))], LAYOUT)
    rows = _rows(listing)
    paths = [f"{photos}/{path.removeprefix('img/')}" for path, _, _ in rows]
    check_listed(root, paths, listing)
    labels, splits = [item for _, item, _ in rows], [STATUSES[status] for _, _, status in rows]
    protocol = apart(listing, labels, splits, HELD_OUT, "item")
    columns = {
        "path": pa.array(paths),
        "label": label_column(labels, [*protocol.training, *protocol.validation, *protocol.test]),
        "split": pa.array(splits),
        ROLE: pa.array([None if status == "train" else status for _, _, status in rows], pa.string()),
    }
    catalog = Catalog(pa.table(columns), root, "inshop", protocol)
    check_counts(catalog, PUBLISHED)
    return catalog


def _rows(file: Path) -> list[tuple[str, str, str]]:
    """The path, the item and the status of each photo; the first line says how many there are."""
    count, head, *rest = [*lines(file), "", ""]
    if head.split() != HEAD or not count.strip().isdecimal():
        raise InputError(f"{file}: its first lines must be a number and {' '.join(HEAD)!r}; unpack the data set anew")
    rows = []
    for number, line in enumerate(rest[:-2], 3):
        values = line.split()
        if len(values) != len(HEAD) or values[2] not in STATUSES:
            raise InputError(f"{file}, line {number}: expected PHOTO ITEM {'|'.join(STATUSES)} and found {line!r}")
        rows.append((values[0], values[1], values[2]))
    if len(rows) != int(count):
        raise InputError(f"{file} says that it lists {count.strip()} photos and lists {len(rows)}; unpack it anew")
    return rows
