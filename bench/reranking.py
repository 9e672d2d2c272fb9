"""What re-ranking and the mirrored view are worth, and what they cost.

    python -m bench.reranking NAME.index [--mirrored NAME-mirrored.index] [--choose] [--timed 200]

NAME.index holds the photos that are measured, each of which searches among the others; NAME-mirrored.index holds the
same ones by the same network, exported with --views whole,mirror. One row for each way: the means, and how far MAP@R is
from that by similarity, with its 95 % interval over classes, paired by query. The vote is how often the first ten elect
the right label. The time is the median over some queries, one by one, from the photo's vector to its answer with ten
references; what the network takes before that is printed below. With --choose other parameters are tried, on an index
of held-out training classes.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import class_intervals
from eval.embeddings import EmbeddingSet
from eval.evaluation import Evaluation, evaluate
from eval.neighbours import Neighbours, nearest
from eval.rerank import METHODS, AlphaQE, KReciprocal, Rerank, reranked
from eval.vote import elected
from index import Index
from index.reranking import RerankedIndex

VOTERS = 10
WAYS: dict[str, Rerank | None] = {
    "by similarity": METHODS["none"],
    "alpha-qe": METHODS["alpha-qe"],
    "k-reciprocal": METHODS["k-reciprocal"],
}
CHOICES: dict[str, Rerank | None] = {
    "by similarity": None,
    **{f"alpha-qe, n {n}": AlphaQE(n=n) for n in (3, 5, 10, 20, 50)},
    **{f"k-reciprocal, {some} candidates": KReciprocal(candidates=some) for some in (50, 100, 200, 400)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index", type=Path)
    parser.add_argument("--mirrored", type=Path)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--timed", type=int, default=200)
    options = parser.parse_args()
    print("| way | recall@1 | R-precision | MAP@R | MAP@R, against by similarity | vote | ms a query |")
    print("|---|---|---|---|---|---|---|")
    photos = EmbeddingSet.load(options.index)
    plain = evaluate(photos)
    for way, by in (CHOICES if options.choose else WAYS).items():
        row(way, photos, by, plain, options.index, options.timed)
    if options.mirrored:
        mirrored = EmbeddingSet.load(options.mirrored)
        if mirrored.ids != photos.ids:
            parser.error(f"{options.mirrored} holds other photos than {options.index}")
        for way in ("by similarity", "k-reciprocal"):
            row(f"mirrored view, {way}", mirrored, WAYS[way], plain, options.mirrored, options.timed)
    for folder in filter(None, (options.index, options.mirrored)):
        print(f"\n{time_of_network(folder)}", flush=True)


def row(way: str, photos: EmbeddingSet, by: Rerank | None, plain: Evaluation, folder: Path, timed: int) -> None:
    """Measure one way and print it."""
    found = evaluate(photos, rerank=by)
    means = found.means()
    gains = found.per_query["map@r"] - plain.per_query["map@r"]
    gain = class_intervals({"map@r": gains}, plain.codes, bounds=(-1, 1))["map@r"]
    against = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]" if gains.any() else ""
    numbers = " | ".join(f"{means[name]:.4f}" for name in ("recall@1", "r_precision", "map@r"))
    milliseconds = time_a_query(folder, photos, by, timed)
    print(f"| {way} | {numbers} | {against} | {vote(photos, by):.4f} | {milliseconds:.1f} |", flush=True)


def vote(photos: EmbeddingSet, by: Rerank | None) -> float:
    """How often the first ten of the new order elect the right label."""
    vectors, codes = photos.vectors, photos.label_codes()[0]
    found = nearest(vectors, None, max(VOTERS, by.candidates if by else 0))
    if by:
        found = reranked(vectors, found, by, vectors.__getitem__, lambda moved: others(vectors, moved))
    first = Neighbours(found.rows[:, :VOTERS], found.similarities[:, :VOTERS])
    return float((elected(first.similarities, codes[first.rows])[0] == codes).mean())


def others(vectors: NDArray[np.float32], moved: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rows nearest to where each row has moved, without itself."""
    found = nearest(moved, vectors, VOTERS + 1).rows
    own = found == np.arange(len(vectors))[:, None]
    return np.take_along_axis(found, np.argsort(own, axis=1, kind="stable")[:, :-1], axis=1)


def time_a_query(folder: Path, photos: EmbeddingSet, by: Rerank | None, timed: int) -> float:
    """Milliseconds from a photo's vector to its answer."""
    index = RerankedIndex.open(folder, by) if by else Index.open(folder)
    rows, ids = np.random.default_rng(0).permutation(len(photos))[:timed], photos.ids
    return median(lambda place: index.judge(photos.vectors[rows[place]], own_ids={ids[rows[place]]}), len(rows))


def time_of_network(folder: Path) -> str:
    """What an index's embedder sees, and the milliseconds that its network takes."""
    embedder = Index.open(folder).embedder
    pixels = np.zeros((1, *embedder.preprocessing.shape), np.uint8)
    return f"{' and '.join(embedder.views)}: {median(lambda _: embedder.vectors(pixels), 50):.1f} ms a photo"


def median(call: Callable[[int], object], times: int) -> float:
    """Milliseconds of a call, which gets its number; the first one does not count."""
    call(0)
    found = []
    for place in range(times):
        start = time.perf_counter()
        call(place)
        found.append(1e3 * (time.perf_counter() - start))
    return float(np.median(found))


if __name__ == "__main__":
    main()
