"""Forty photos that tests add, remove and relabel."""

import shutil

import numpy as np
import pyarrow as pa

from eval.embeddings import EmbeddingSet
from index import Index
from index.add import add
from index.journal import Change
from index.source import photos_source
from tests.index.conftest import unit

NAMES = [f"{number:032x}" for number in range(40)]
LABELS = ["a", "b", "c"]
VECTORS = unit(np.random.default_rng(0).normal(size=(len(NAMES), 8)))


def embeddings(folder, rows, labels, fingerprint="tiny"):
    """An embeddings folder with some of the forty photos."""
    table = pa.table(
        {
            "id": [NAMES[row] for row in rows],
            "label": pa.array(labels, pa.string()),
            "path": [f"{row}.jpg" for row in rows],
        }
    )
    one = EmbeddingSet(VECTORS[rows], table, fingerprint)
    shutil.rmtree(folder, ignore_errors=True)
    one.save(folder, made_from={}, images_root=folder.parent, left_out=[])
    return folder


def put(folder, rows, labels, **options):
    """Add some of the forty photos."""
    opened = Index.open(folder)
    source = photos_source(
        opened, str(embeddings(folder.parent / "vectors", rows, labels)), "all", "auto", "first", "skip"
    )
    given = {"on_conflict": "first", "relabel": False, "dry_run": False, **options}
    return add(opened, source, Change("add"), **given)


def held(folder):
    """What an index holds: labels by id."""
    index = Index.open(folder)
    ids = index.table["id"].to_pylist()
    return {(ids[row], index.label(row)) for row in np.flatnonzero(index.kept).tolist()}
