"""How an index of a million references searches, opens, grows and is built, against plain FAISS, hnswlib and usearch.

    python -m bench.million EMBEDDINGS... --out made
    python -m bench.scale made [--kind auto] [--peers hnswlib,usearch] [--work FOLDER] [--index FOLDER]

Everything is on one machine and one after the other; every search is of one query at a time on one thread. The peers
are not among the dependencies: ``pip install hnswlib usearch``, or give ``--peers ''``. They are built with 16 links a
vector and a queue of 100, as the index's graph is, and searched with the shortest queue that finds 99 % of the ten
nearest.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.process_memory import process_memory
from eval.embeddings import EmbeddingSet
from eval.files import sync
from index import Index
from index.add import add
from index.candidates import SearchFile, set_parameters
from index.commit import staging, writing
from index.journal import Change
from index.kinds import wanted_search
from index.manifest import Manifest
from index.segment import SegmentWriter
from index.source import Place, embeddings_source, photos_source
from index.structure import searchable

LINKS, QUEUE = 16, 100
TARGET = 0.99
RUNS = 5

Vectors = NDArray[np.float32]


def build(embeddings: Path, folder: Path, kind: str, count: int | None = None, target: float = TARGET) -> None:
    """Build an index from an embeddings folder, or its first rows, without a network, and without a calibration."""
    manifest = json.loads((embeddings / "manifest.json").read_text())
    source = embeddings_source(
        Place(manifest["fingerprint"], manifest["dimension"], Path()), embeddings, "error", "skip"
    )
    search = wanted_search(kind, target, None, manifest["dimension"])
    with (
        staging(folder) as new_files,
        SegmentWriter(new_files, manifest["fingerprint"], manifest["dimension"]) as references,
    ):
        (new_files / "embedder-0.onnx").write_bytes(b"a network")
        for batch in source.references(range(count or len(source.ids))):
            references.add(batch.embeddings, batch.extras)
        with writing(folder) as writer:
            after = Manifest(
                fingerprint=manifest["fingerprint"],
                dimension=manifest["dimension"],
                segments=[references.finish(writer.generation)],
                embedder="embedder-0.onnx",
                trained_on=None,
                search=search,
                images_root=".",
                made_from={},
            )
            after = searchable(after, folder, new_files, writer.generation)
            writer.commit(after, Change("build", {"added": references.count}), new_files)


def measured_build(embeddings: Path, folder: Path, kind: str, count: int | None = None) -> tuple[float, int]:
    """Build in a process of its own: the seconds and the most bytes of memory that it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "bench.scale", str(embeddings), "--build", str(folder), "--kind", kind]
    process = subprocess.Popen([*command, "--count", str(count or 0)])
    peak = 0
    while process.poll() is None:
        peak = max(peak, process_memory("RssAnon", process.pid))
        time.sleep(0.05)
    if process.returncode:
        sys.exit("the build failed")
    return time.perf_counter() - start, peak


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes of the vectors and of the search file."""
    manifest = Index.open(folder).manifest
    file = manifest.search.file
    return 4 * manifest.rows * manifest.dimension, manifest.files[file].size if file else 0


def report_build(seconds: float, peak: int, folder: Path) -> None:
    """Say what a build took."""
    vectors, file = sizes(folder)
    search = Index.open(folder).manifest.search
    print(f"build: {seconds:.0f} s; vectors {vectors / 1e6:.0f} MB, search file {file / 1e6:.0f} MB")
    print(f"  most memory {peak / 1e6:.0f} MB = {peak / (vectors + file):.2f} of the two, without mapped files' pages")
    told = ("factory", "parameters", "candidates", "recall", "far_recall")
    print(f"  {json.dumps({name: getattr(search, name) for name in told})}")


def timed(ask: Callable[[Vectors], NDArray[np.int64]], queries: Vectors) -> tuple[float, list[NDArray[np.int64]]]:
    """Milliseconds a query, asked one at a time, and the rows that were found."""
    for query in queries[:20]:
        ask(query[None])
    start = time.perf_counter()
    found = [ask(query[None]) for query in queries]
    return 1000 * (time.perf_counter() - start) / len(queries), found


def recall(found: list[NDArray[np.int64]], truth: NDArray[np.int64]) -> float:
    """The share of the ten nearest that was found."""
    return float(
        np.mean(
            [len({*rows.ravel().tolist()} & {*right.tolist()}) / 10 for rows, right in zip(found, truth, strict=True)]
        )
    )


def hnswlib_peer(vectors: Vectors) -> tuple[Callable[[int], None], Callable[[Vectors], NDArray[np.int64]]]:
    """hnswlib, its setting of effort and its search."""
    import hnswlib

    peer = hnswlib.Index("ip", vectors.shape[1])
    peer.init_index(len(vectors), ef_construction=QUEUE, M=LINKS, random_seed=0)
    peer.add_items(vectors)
    peer.set_num_threads(1)
    return peer.set_ef, lambda query: peer.knn_query(query, 10)[0]


def usearch_peer(vectors: Vectors) -> tuple[Callable[[int], None], Callable[[Vectors], NDArray[np.int64]]]:
    """usearch, likewise."""
    from usearch.index import Index as Usearch

    peer = Usearch(
        ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=QUEUE, expansion_search=16
    )
    peer.add(np.arange(len(vectors)), vectors)

    def set_effort(effort: int) -> None:
        peer.expansion_search = effort

    return set_effort, lambda query: peer.search(query[0], 10, threads=1).keys


def asking(index: Index, exact: bool = False) -> Callable[[Vectors], NDArray[np.int64]]:
    """An index's search for the ten nearest."""
    return lambda query: index.search(query, 10, exact=exact).rows


def search(index: Index, queries: Vectors, peers: list[str], vectors: Vectors) -> None:
    """Queries a second and recall of the index, of exact search and of the peers."""
    truth = index.search(queries, 10, exact=True).rows
    flat, _ = timed(asking(index, exact=True), queries[:50])
    ours, found = timed(asking(index), queries)
    kind = index.manifest.search.factory or "flat"
    print(f"exact: {flat:.2f} ms a query")
    print(f"{kind}: recall@10 {recall(found, truth):.4f}, {ours:.3f} ms a query, {flat / ours:.0f} times as fast")
    for name in peers:
        start = time.perf_counter()
        set_effort, ask = {"hnswlib": hnswlib_peer, "usearch": usearch_peer}[name](vectors)
        seconds = time.perf_counter() - start
        for effort in (*range(16, 129, 8), *range(144, 1025, 16)):
            set_effort(effort)
            milliseconds, found = timed(ask, queries)
            if recall(found, truth) >= TARGET:
                break
        theirs = f"{name}: recall@10 {recall(found, truth):.4f} with a queue of {effort}, {milliseconds:.3f} ms a query"
        print(f"{theirs}; built in {seconds:.0f} s")
        ours, found = with_least_effort(index, queries, truth)  # next to it, for the machine may be busier at times
        print(
            f"  the index at such a recall ({recall(found, truth):.4f}): {milliseconds / ours:.2f} times its queries/s"
        )
        del ask, set_effort


def with_least_effort(
    index: Index, queries: Vectors, truth: NDArray[np.int64]
) -> tuple[float, list[NDArray[np.int64]]]:
    """An approximate index at the least effort that finds what the peers are asked to find; its own it set unseen."""
    (own,) = index.manifest.search.parameters.items()
    proposals = index._searcher._proposals
    assert isinstance(proposals, SearchFile)
    structure = proposals._structure
    for effort in range(8, 1025, 8):
        set_parameters(structure, {own[0]: effort})
        milliseconds, found = timed(asking(index), queries)
        if recall(found, truth) >= TARGET:
            break
    set_parameters(structure, dict([own]))
    return milliseconds, found


def opening(folder: Path, query: Vectors) -> None:
    """Opening and the first answer, against plain FAISS with the same file."""
    manifest = Index.open(folder).manifest
    file = folder / (manifest.search.file or manifest.segments[0].vectors)
    effort = manifest.search.parameters

    def plain() -> None:
        structure = faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
        for name, value in effort.items():
            faiss.ParameterSpace().set_index_parameter(structure, name, value)
        structure.search(query, 10)

    taken: dict[str, list[float]] = {"plain FAISS": [], "the index": []}
    for _ in range(RUNS):
        for name, run in (("plain FAISS", plain), ("the index", lambda: Index.open(folder).search(query, 10))):
            start = time.perf_counter()
            run()
            taken[name].append(time.perf_counter() - start)
    middle = {name: float(np.median(values)) for name, values in taken.items()}
    ratio = middle["the index"] / middle["plain FAISS"]
    print(
        f"opening and the first answer: {1000 * middle['the index']:.1f} ms, plain FAISS with the same file "
        f"{1000 * middle['plain FAISS']:.1f} ms: {ratio:.2f} times"
    )


def additions(folder: Path, vectors: Vectors, work: Path) -> None:
    """Adding one reference and a tenth of what is there, against writing their vectors."""
    fingerprint = Index.open(folder).fingerprint
    start_row = Index.open(folder).manifest.rows
    for count in (1, 1, 1, len(vectors) // 10):
        new = work / "new"
        draw = np.random.default_rng(start_row)
        moved = vectors[draw.permutation(len(vectors))[:count]] + draw.normal(size=(count, vectors.shape[1])) * 1e-3
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        rows = range(start_row, start_row + count)
        table = pa.table(
            {"id": [f"{row:032x}" for row in rows], "label": ["new"] * count, "path": [f"{row}.jpg" for row in rows]}
        )
        start_row += count
        shutil.rmtree(new, ignore_errors=True)
        EmbeddingSet(moved.astype(np.float32), table, fingerprint).save(
            new, images_root=Path(), made_from={}, left_out=[]
        )
        start = time.perf_counter()
        with (work / "bare").open("wb") as file:
            file.write(moved.astype(np.float32).data)
        sync(work / "bare")
        bare = time.perf_counter() - start
        before = {path.name: path.stat().st_ino for path in folder.iterdir()}
        start = time.perf_counter()
        opened = Index.open(folder)
        add(
            opened,
            photos_source(opened, str(new), "all", "auto", "error", "skip"),
            Change("add"),
            on_conflict="error",
            relabel=False,
            dry_run=False,
        )
        seconds = time.perf_counter() - start
        written = sum(p.stat().st_size for p in folder.iterdir() if before.get(p.name) != p.stat().st_ino)
        print(
            f"adding {count}: {seconds:.3f} s, {written / 1e6:.1f} MB written; the bare vectors "
            f"({4 * moved.size / 1e6:.1f} MB, flushed) {bare:.3f} s: {seconds / bare:.1f} times"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--peers", default="hnswlib,usearch")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--index", type=Path, help="one that was built before; it grows")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.embeddings, options.build, options.kind, options.count or None)
        return
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = options.index or Path(work) / "made.index"
        if not options.index:
            report_build(*measured_build(options.embeddings, folder, options.kind), folder)
        faiss.omp_set_num_threads(1)
        queries = np.load(options.embeddings / "queries.npy")
        vectors = np.load(options.embeddings / "vectors.npy", mmap_mode="r")
        index = Index.open(folder)
        search(index, queries, [name for name in options.peers.split(",") if name], np.asarray(vectors))
        opening(folder, queries[:1])
        additions(folder, np.asarray(vectors), Path(work))


if __name__ == "__main__":
    main()
