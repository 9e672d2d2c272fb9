"""The command ``python -m embedder.data.check IMAGES``: what is wrong with photos, told before days of training."""

import sys
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from embedder.data.catalog import Catalog, read_catalog
from embedder.data.check_report import PAGE, check_folder, write_report
from embedder.data.checked import Checked, look_over
from embedder.data.class_findings import Count
from embedder.data.splits import Protocol
from eval.command import run
from eval.errors import InputError, counted
from eval.folders import read_manifest

MOST_CLASSES = 500
"""Classes that a report shows photos of."""


def main(
    images: str,
    *,
    embeddings: Path | None = None,
    protocol: Protocol = "auto",
    tiny: int = 32,
    samples: int = 6,
    show: int = 5,
    json: bool = False,
    report: Path | None = None,
) -> Checked:
    """Look photos over before days of training: every one is opened, nothing is changed.

    Photos that cannot be read or are tiny; exact and near duplicates, and whether their labels differ or they are on
    both sides of the split; classes on the wrong side, of nearly one name, or of a single photo; groups on both sides;
    boxes and keypoints out of place; with --embeddings, labels that the nearest other photos contradict.

    The exit status is 0 when the photos have been looked over, whatever was found.

    Args:
        images: a folder of photos, a .csv or .parquet table, or NAME:ROOT.
        embeddings: vectors of these photos, an embeddings folder (made by embedder.embed) or an index folder.
        protocol: what parts the two sides; auto takes what the source declares.
        tiny: photos, or boxes, of fewer pixels on their shorter side are tiny.
        samples: photos of each class in the picture of the report.
        show: how many findings of each kind to print.
        json: print one JSON object with all findings.
        report: a folder for a page with what was found and photos of each class, index.html.

    Returns:
        What was seen.
    """
    for name, value in {"tiny": tiny, "samples": samples, "show": show}.items():
        if value < 0:
            raise InputError(f"{name} is {value}; it must be at least 0")
    if embeddings is not None:
        read_manifest(embeddings, "embeddings", "index")
    catalog = read_catalog(images)
    if report is not None:
        check_folder(report)
    shown = shown_rows(catalog, samples) if report is not None else {}
    checked = look_over(images, catalog, protocol, tiny, embeddings, {row for rows in shown.values() for row in rows})
    print(dumps(to_json(checked)) if json else "\n".join(_text(checked, show, report)), flush=True)
    if report is not None:
        write_report(report, checked, shown)
        print(f"\nwritten: {report / PAGE}", file=sys.stderr if json else sys.stdout)
    return checked


def shown_rows(catalog: Catalog, samples: int) -> dict[str, list[int]]:
    """For each of the first classes some rows, evenly spread over its photos."""
    shown = {}
    for name, rows in zip(catalog.classes[:MOST_CLASSES], catalog.rows_by_class, strict=False):
        shown[name] = rows[np.unique(np.linspace(0, len(rows) - 1, samples).astype(int))].tolist() if len(rows) else []
    return shown


def to_json(checked: Checked) -> dict[str, Any]:
    """All that was seen, in JSON values."""
    catalog = checked.looked.catalog
    return {
        "source": checked.source,
        "root": str(catalog.root),
        "reader": catalog.name,
        "protocol": checked.protocol,
        "photos": len(catalog),
        "classes": len(catalog.classes),
        "unlabelled": int((catalog.codes < 0).sum()),
        "counts": {one.side: {"photos": one.photos, "classes": one.classes} for one in checked.counts},
        "findings": {
            one.kind: {"title": one.title, "note": one.note, "found": [entry.facts for entry in one.entries]}
            for one in checked.findings
        },
        "not_looked_for": checked.left,
    }


def _text(checked: Checked, show: int, report: Path | None) -> Iterator[str]:
    """The first findings of each kind for people, line by line."""
    catalog = checked.looked.catalog
    unlabelled = int((catalog.codes < 0).sum())
    photos, classes = counted(len(catalog), "photo", "photos"), counted(len(catalog.classes), "class", "classes")
    yield f"{checked.source}: {photos} of {classes}; {checked.protocol}"
    if unlabelled:
        yield f"{unlabelled} photos have no label"
    yield from map(_count, checked.counts)
    more = f"{report / PAGE}" if report else "--report FOLDER or --json"
    for one in checked.findings:
        if one.entries:
            yield f"\n{one.headline}"
            yield from (f"  {entry.text}" for entry in one.entries[:show])
            if len(one.entries) > show:
                yield f"  {len(one.entries) - show} more: {more}"
    clean = [one.title[0].lower() + one.title[1:] for one in checked.findings if not one.entries]
    if clean:
        yield f"\nNothing found: {', '.join(clean)}"
    if checked.left:
        yield f"\nNot looked for: {', '.join(f'{title} ({why})' for title, why in checked.left.items())}"


def _count(one: Count) -> str:
    """One side's photos for people."""
    side = f"  {one.side:<6}{counted(one.photos, 'photo', 'photos')}"
    if not one.classes:
        return side
    sizes = [*one.classes.values()]
    smallest = next(iter(one.classes))
    classes = counted(len(sizes), "class", "classes")
    return f"{side} of {classes}, from {sizes[0]} ({smallest}) to {sizes[-1]} a class, median {np.median(sizes):.4g}"


if __name__ == "__main__":
    run(main)
