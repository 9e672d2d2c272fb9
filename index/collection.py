"""The collection that an index has in Milvus: made, filled, tuned, and dropped when nothing names it any more.

Whatever numbers the rows anew, or asks for another kind of search, makes a new collection; an addition goes into the
one that is there. Milvus is written to first and the manifest last, so a writer that dies has changed nothing that
anybody reads: its entities lie beyond the rows of every generation until the next addition takes their places, and its
collection is dropped by the next commit.
"""

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.errors import InputError, unknown
from eval.files import read_json
from index.candidates import NEIGHBOURS
from index.kinds import ERRORS, FAST_ENOUGH, centroids, report
from index.manifest import Collection, Manifest, Search, Segment
from index.milvus import LARGEST, rows_at_once
from index.milvus_client import connect, milvus_errors
from index.search import Index
from index.segment import MappedSegment
from index.store import Store, kept_name
from index.vectors import SPARE, Rows, moved_away

INDEXES = {"flat": "FLAT", "hnsw": "HNSW", "ivf": "IVF_SQ8"}
"""What Milvus calls the kinds of search that it is used with."""

EFFORTS = {"HNSW": ("ef", 32), "IVF_SQ8": ("nprobe", 1)}
"""The parameter that the effort of a search grows with, and the least of it.

Milvus refuses a queue (ef) that is shorter than the candidates that are asked for: 26 for ten neighbours.
"""

MOST_EFFORT = 4096
QUERIES = 200
"""References that the effort is tuned with."""

LONGEST_ID = 65_535


def milvus_index(search: Search, count: int, dimension: int) -> str:
    """What Milvus calls the way to search that was asked for.

    ``auto`` compares everything for as long as one core would do so fast enough, and links a graph from there on.

    Args:
        search: what was asked for.
        count: references.
        dimension: of their vectors.

    Raises:
        InputError: Milvus is not used with such a kind, or the memory was to be limited.
    """
    if search.max_memory is not None:
        raise InputError("--max-memory is about this machine, and in Milvus the search runs elsewhere; leave it away")
    kind = search.kind
    if kind == "auto":
        kind = "flat" if count * dimension <= FAST_ENOUGH else "hnsw"
    if kind not in INDEXES:
        raise unknown("kind of search in Milvus", kind, ["auto", *INDEXES])
    return INDEXES[kind]


def moved(collection: Collection, segment: Segment, folder: Path, first: int, dimension: int) -> Segment:
    """Move the vectors of a new segment from their file into a collection, after all rows that are there.

    Args:
        collection: where they go.
        segment: just written.
        folder: where its files are.
        first: the row of its first reference.
        dimension: length D of a vector.
    """
    written = MappedSegment(folder, segment, dimension, 0, np.array([], np.int64))
    client, end = connect(collection.address), first + segment.count
    with milvus_errors(collection):
        client.load_collection(collection.name)
        for entities in _entities(first, written.table["id"], lambda rows: written.vectors[rows], dimension):
            client.upsert(collection.name, entities)
        # What a writer that died has left beyond them; a copy of the folder that goes on with that finds it missing.
        client.delete(collection.name, filter=f"row >= {end}", consistency_level="Strong")
    (folder / segment.vectors).unlink()
    return replace(segment, vectors="")


def served(after: Manifest, place: Collection, folder: Path, new_files: Path, generation: int) -> Manifest:
    """The generation whose vectors are in Milvus, and can be searched there as was asked for.

    Args:
        after: the next generation; where its vectors are in files, its rows are numbered anew.
        place: the collection that it has so far, or at least the address.
        folder: the index folder.
        new_files: where those of its files are that have not been committed.
        generation: which names a new collection.

    Raises:
        InputError: Milvus does not answer or says what is wrong, or cannot be used as was asked for.
    """
    index = milvus_index(after.search, after.rows, after.dimension)
    if any(segment.vectors for segment in after.segments) or index != place.index:
        place = replace(place, name=f"{_alias(place)}_{generation:06}", index=index)
        _fill(place, Store.of(after, folder, new_files))
        for segment in after.segments:
            if segment.vectors:
                (new_files / segment.vectors).unlink()
        segments = [replace(segment, vectors="") for segment in after.segments]
        search = Search(kind=after.search.kind, target_recall=after.search.target_recall)
        after = replace(after, milvus=place, segments=segments, search=search)
    return after if index == "FLAT" else _tuned(after, index, folder, new_files)


def _alias(collection: Collection) -> str:
    """What the collections of an index are called after; its alias."""
    return collection.name.rpartition("_")[0] or f"fieldmark_{secrets.token_hex(4)}"


def _fill(collection: Collection, store: Store) -> None:
    """Make a collection and put all rows of a generation into it."""
    client, dimension = connect(collection.address), store.manifest.dimension
    print(f"filling the collection {collection.name}: {store.manifest.rows} vectors", file=sys.stderr)
    try:
        with milvus_errors(collection):
            _make(client, collection, dimension)
            ids = pa.chunked_array([chunk for one in store.segments for chunk in one.table["id"].chunks], pa.string())
            for entities in _entities(0, ids, store.vectors.at, dimension):
                client.insert(collection.name, entities)
            client.flush(collection.name)
            _index(client, collection, len(ids))
            client.load_collection(collection.name)
    except BaseException:
        with suppress(Exception):
            client.drop_collection(collection.name)
        raise


def _make(client: Any, collection: Collection, dimension: int) -> None:
    """Make an empty collection, in the place of what a writer of the same name has left, dead."""
    from pymilvus import DataType  # noqa: PLC0415 - an extra

    if client.has_collection(collection.name):
        client.drop_collection(collection.name)
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("id", DataType.VARCHAR, max_length=LONGEST_ID)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    client.create_collection(collection.name, schema=schema, consistency_level="Strong")


def _index(client: Any, collection: Collection, count: int) -> None:
    """Let Milvus index the vectors, as unit vectors by their inner product, and wait for it."""
    details = {"HNSW": {"M": 16, "efConstruction": 100}, "IVF_SQ8": {"nlist": min(centroids(count), LARGEST["nprobe"])}}
    params = client.prepare_index_params()
    params.add_index("vector", index_type=collection.index, metric_type="IP", params=details.get(collection.index, {}))
    client.create_index(collection.name, params)


def _entities(
    first: int, ids: pa.ChunkedArray, vectors: Callable[[Rows], NDArray[np.float32]], dimension: int
) -> Iterator[list[dict[str, Any]]]:
    """Rows from one on as Milvus takes them, as many as fit into a message."""
    at_once = rows_at_once(dimension)
    for start in range(0, len(ids), at_once):
        names = ids.slice(start, at_once).to_pylist()
        rows = np.arange(start, start + len(names))
        yield [
            {"row": first + int(row), "id": name, "vector": vector}
            for row, name, vector in zip(rows, names, vectors(rows), strict=True)
        ]


def _tuned(after: Manifest, factory: str, folder: Path, new_files: Path) -> Manifest:
    """The generation with the least effort that finds as many of the ten nearest as were asked for.

    Like ``index.structure``, but with references that the collection holds: they are moved away from their nearest, so
    that they are queries that it has not seen. That is done once, and again when the rows have more than doubled.
    """
    search = replace(after.search, factory=factory, rows=after.rows, count=after.rows - len(after.deleted))
    if after.rows <= 2 * search.begun or search.count < 2:
        return replace(after, search=search)
    exact = Index(Store.of(after, folder, new_files))
    rows = np.sort(np.random.default_rng(0).permutation(np.flatnonzero(exact.kept))[:QUERIES])
    queries = exact.vectors(rows)
    near = exact.search(queries, NEIGHBOURS + 1, exact=True)  # themselves, as a rule, and the ten nearest others
    far = moved_away(queries, exact.vectors(near.rows[:, 1]))
    enough = exact.search(far, NEIGHBOURS, exact=True).similarities[:, -1:]
    name, effort = EFFORTS[factory]
    search = replace(search, candidates=NEIGHBOURS + SPARE, queries=len(rows), begun=after.rows)
    while True:
        search = replace(search, parameters={name: effort})
        index = Index(Store.of(replace(after, search=search), folder, new_files))
        shares = (index.search(far, NEIGHBOURS).similarities >= enough).mean(axis=1)
        sure = shares.mean() - ERRORS * shares.std() / len(shares) ** 0.5
        if sure >= search.target_recall or effort >= min(MOST_EFFORT, 2 * search.count):
            break
        effort *= 2
    found = index.search(queries, NEIGHBOURS + 1).similarities >= near.similarities[:, -1:]
    search = replace(search, recall=float(found[:, 1:].mean()), far_recall=float(shares.mean()))
    report(search)
    return replace(after, search=search)


def settle(folder: Path, after: Manifest, before: Manifest | None) -> None:
    """Finish in Milvus what has been committed: point the alias at the collection, and drop those that are left.

    Where that cannot be done, it is left to the next commit.

    Args:
        folder: the index folder.
        after: the generation that is current now.
        before: the one before it, which is kept.
    """
    kept = [one.milvus for one in (after, before) if one and one.milvus]
    try:
        for place in dict.fromkeys([*kept, *_left(folder, before)]):
            with milvus_errors(place):
                _settle(place, after.milvus, {one.name for one in kept})
    except InputError as error:
        print(f"left to the next change of {folder}: {error}", file=sys.stderr)


def discard(collection: Collection) -> None:
    """Drop a collection that no generation has come to name."""
    with milvus_errors(collection):
        connect(collection.address).drop_collection(collection.name)


def _left(folder: Path, before: Manifest | None) -> list[Collection]:
    """The collection of the generation that is no longer kept, where it had one."""
    path = folder / kept_name(before.generation - 1) if before else folder
    contents = read_json(path).get("milvus") if path.is_file() else None
    return [Collection(**contents)] if contents else []


def _settle(place: Collection, current: Collection | None, kept: set[str]) -> None:
    """The same at one address."""
    client, alias = connect(place.address), _alias(place)
    if current == place:
        there = client.list_aliases()["aliases"]
        (client.alter_alias if alias in there else client.create_alias)(current.name, alias)
    for name in client.list_collections():
        if name.startswith(f"{alias}_") and name not in kept:
            for left in client.list_aliases(name)["aliases"]:  # where the vectors have gone elsewhere
                client.drop_alias(left)
            client.drop_collection(name)
