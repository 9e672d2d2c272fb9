"""Which photos of a data set are trained on, and which are measured by."""

import csv
import io
from pathlib import Path

from eval.files import replacing


def write_tables(name: str, root: str, out: Path, test: bool) -> None:
    """The photos that are trained on and those that are measured by, as two tables.

    Raises:
        ValueError: the folder holds results by other photos.
    """
    from embedder.data.catalog import read_catalog
    from embedder.data.splits import split

    (out / name).mkdir(parents=True, exist_ok=True)
    parts = split(read_catalog(f"{name}:{root}"), "zero-shot", "none" if test else "classes", 0)
    for part, photos in (("training", parts.training), ("held-out", parts.test if test else parts.validation)):
        rows = [
            (photos.file(row), label, box and " ".join(map(str, box)))
            for row, (label, box) in enumerate(zip(photos.labels, photos.boxes, strict=True))
        ]
        table = io.StringIO()
        csv.writer(table, lineterminator="\n").writerows([("path", "label", "box"), *rows])
        file = out / name / f"{part}.csv"
        if file.exists() and file.read_text(encoding="utf-8") != table.getvalue():
            raise ValueError(f"{file} names other photos; give results by other photos another --results")
        with replacing(file) as beside:  # a run beside this one may read it
            beside.write_text(table.getvalue(), encoding="utf-8")
