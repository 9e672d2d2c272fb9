"""Writing the references of an index once more: as they are now, or with vectors of another embedder."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from embedder.batches import Embedded, embed_catalog
from embedder.data.catalog import RESERVED, Catalog, label_column
from embedder.runtime import Embedder
from eval.embeddings import EmbeddingSet
from eval.errors import InputError
from eval.images import OnBadImage, thumbnail
from eval.rows import taken
from index.search import Index
from index.segment import SegmentWriter

AT_ONCE = 4096
"""References that are copied at once."""

Rows = NDArray[np.int64]


def copied(index: Index, rows: Rows) -> Iterator[Embedded]:
    """References as they are, with the labels that they have by now."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        table = table_of(index, some)
        embeddings = EmbeddingSet(index.vectors(some), table, index.fingerprint)
        yield Embedded(embeddings, [index.thumbnail(int(row)) for row in some], [], some.tolist())


def embedded(index: Index, rows: Rows, *, model: Embedder, root: Path, on_bad_image: OnBadImage) -> Iterator[Embedded]:
    """References with vectors that another embedder makes of their photos.

    Args:
        index: where the references are.
        rows: which of them.
        model: the embedder.
        root: the folder that paths are relative to.
        on_bad_image: stop where a photo is gone, damaged or another one by now, or leave it out.

    Raises:
        InputError: a photo is not what it was, and ``on_bad_image`` is ``error``.
    """
    places = zip(*(taken(index.table[name], rows).to_pylist() for name in _subject(index.table)), strict=True)
    times: Counter[str] = Counter()
    turn = np.zeros(len(rows), np.int64)
    for row, place in enumerate(places):
        if place[0] is not None:
            turn[row] = times[str(place)]
            times[str(place)] += 1
    for once in range(turn.max(initial=-1) + 1):  # a place that several references name: once a catalog
        some = rows[turn == once]
        table = table_of(index, some)
        names = table["id"].to_pylist()
        _check_paths(table, on_bad_image)
        there = table["path"].is_valid().to_numpy()
        catalog = Catalog(table.filter(there).drop_columns([*RESERVED & {*table.column_names}]), root, "index")
        for batch in embed_catalog(model, catalog, on_bad_image, on_photo=thumbnail):
            yield _unchanged(batch, some[there], [names[place] for place in np.flatnonzero(there)], on_bad_image)


def _subject(table: pa.Table) -> list[str]:
    """The columns that say what a photo is of: its file, and its box where there are boxes."""
    return [name for name in ("path", "box") if name in table.column_names]


def written(batches: Iterator[Embedded], references: SegmentWriter) -> tuple[list[int], list[dict[str, str]]]:
    """Write references that come in batches; the rows that were written, and the photos that were left out."""
    rows: list[int] = []
    left_out: list[dict[str, str]] = []
    for batch in batches:
        references.add(batch.embeddings, batch.extras)
        rows += batch.rows
        left_out += batch.left_out
    return rows, left_out


def table_of(index: Index, rows: Rows) -> pa.Table:
    """What is known of some rows, with the labels that they have by now, but for where their thumbnails lie."""
    table = taken(index.table, rows).drop_columns(["thumbnail_offset", "thumbnail_size"])
    labels = label_column(index.labels[rows].tolist())
    return table.set_column(table.column_names.index("label"), "label", labels)


def _check_paths(table: pa.Table, on_bad_image: OnBadImage) -> None:
    """Refuse references whose photo is not known."""
    missing = table["path"].null_count
    if missing and on_bad_image == "error":
        first = table.filter(table["path"].is_null())["id"][0].as_py()
        raise InputError(
            f"{missing} references have no path, so that their photos cannot be embedded anew (the first is {first}); "
            "remove them, or leave them out with --on-bad-image skip"
        )


def _unchanged(batch: Embedded, rows: Rows, ids: list[str], on_bad_image: OnBadImage) -> Embedded:
    """A batch without the photos that are others by now; its rows become those of the index."""
    same = np.array([name == ids[row] for name, row in zip(batch.embeddings.ids, batch.rows, strict=True)], bool)
    paths = batch.embeddings.paths
    others = [str(paths[place]) for place in np.flatnonzero(~same)]
    if others and on_bad_image == "error":
        raise InputError(
            f"{others[0]} is another photo than the one that was indexed; remove it and add it again, or leave it out "
            "with --on-bad-image skip"
        )
    left_out = [*batch.left_out, *({"path": path, "reason": "is another photo by now"} for path in others)]
    kept = np.flatnonzero(same).tolist()
    table = taken(batch.embeddings.table, kept)
    embeddings = EmbeddingSet(batch.embeddings.vectors[kept], table, batch.embeddings.fingerprint)
    extras = [batch.extras[place] for place in kept]
    return Embedded(embeddings, extras, left_out, [int(rows[batch.rows[place]]) for place in kept])
