"""How long people wait for the answer to one photo: from a cold start, and in a process that has the index open.

    python -m bench.answering RUN EMBEDDINGS PHOTOS [--references 10000] [--rounds 5]

RUN is an embedder; EMBEDDINGS an embeddings folder that it has made, of which the index is built (again and again with
a little noise, until there are enough references); PHOTOS a folder of photos, of which JPEGs of 500 x 375 pixels are
pieced together as in bench/embedding.py.

- cold: ``python -m index.query``, against ``python -c "import torch, torchvision, timm"`` alone, which is how long a
  program on that stack takes before it does anything.
- open: from the bytes of a photo to its answer, against the network alone with the pixels of one photo.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.embedding import SMALL, piece_together
from embedder import Embedder
from eval.embeddings import EmbeddingSet
from eval.images import open_image
from index import Index
from index.build import main as build

CALLS = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--references", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("bench/runs/answering"))
    options = parser.parse_args()
    piece_together(options.photos, options.work / "small", CALLS, SMALL)
    photos = sorted((options.work / "small").glob("*.jpg"))
    folder = many(options.run, options.embeddings, options.references, options.work)
    print(f"\n| {options.references} references | s | of the other |\n|---|---|---|")
    query = [sys.executable, "-m", "index.query", str(folder), str(photos[0])]
    torch = [sys.executable, "-c", "import torch, torchvision, timm"]
    cold, other = alternating([lambda: whole(query), lambda: whole(torch)], options.rounds + 1)
    print(f"| import torch, torchvision, timm | {other:.2f} | |")
    print(f"| cold: index.query, one photo | {cold:.2f} | {cold / other:.2f} |")
    index, embedder = Index.open(folder), Embedder.open(options.run)
    contents = [photo.read_bytes() for photo in photos]
    pixels = [embedder.prepare(open_image(content))[None] for content in contents]
    answer, network = alternating(
        [lambda: median_of(index.query, contents), lambda: median_of(embedder.vectors, pixels)], options.rounds + 1
    )
    print(f"| the network alone, one photo | {network:.4f} | |")
    print(f"| open: bytes to answer | {answer:.4f} | {answer / network:.2f} |")


def many(run: Path, embeddings: Path, count: int, work: Path) -> Path:
    """An index of as many references."""
    given = EmbeddingSet.load(embeddings)
    rows = np.arange(count) % len(given)
    noise = np.random.default_rng(0).normal(0, 0.5 / given.vectors.shape[1] ** 0.5, (count, given.vectors.shape[1]))
    vectors = given.vectors[rows] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"{row:032x}" for row in range(count)]
    table = pa.table({"id": names, "label": [given.labels[row] for row in rows], "path": names})
    made = EmbeddingSet(vectors.astype(np.float32), table, given.fingerprint)
    made.save(work / "many", made_from={}, images_root=None, left_out=[])
    return build(run, str(work / "many"), out=work / "many.index", overwrite=True)


def alternating(ways: list[Callable[[], float]], rounds: int) -> list[float]:
    """The median of each way, which take turns; the first round is not counted."""
    found = [[way() for way in ways] for _ in range(rounds)][1:]
    return [statistics.median(times) for times in zip(*found, strict=True)]


def whole(command: list[str]) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


def median_of(function: Callable, inputs: list) -> float:
    """Seconds that a call takes in the middle."""
    times = []
    for one in inputs:
        start = time.perf_counter()
        function(one)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
