"""Many vectors from some real ones: what searches are measured on.

    python -m bench.million EMBEDDINGS... --out FOLDER [--count 1000000] [--dimension 512] [--queries 1000] [--seed 0]

Random vectors are of no use to a measurement of search: they are all equally far apart. Here every made vector is a
real one, moved within the cloud of its own neighbours: x + s * sum_j w_j (x_j - x) over its ``NEIGHBOURS`` nearest x_j,
with normal weights of variance 1 / NEIGHBOURS, and scaled to unit length. So clusters stay clusters, and the vectors
vary in the directions in which the real ones do. The queries are real vectors that nothing was made from.

Two figures are printed that say how like the real ones they are: the intrinsic dimension (maximum likelihood of the
distances to the 20 nearest: Levina and Bickel 2004, with the mean of inverses of MacKay and Ghahramani 2005), and how
similar the nearest neighbours of the queries are. FOLDER becomes an embeddings folder; FOLDER/queries.npy has the
queries.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.neighbours import nearest

NEIGHBOURS = 32
SPREAD = 0.7
"""How far a made vector is moved: 1 is as far as its neighbours are."""

AT_ONCE = 100_000
SAMPLE = 500

Vectors = NDArray[np.float32]


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Vectors scaled to unit length."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def reduced(vectors: Vectors, dimension: int) -> Vectors:
    """The principal components, if there are more."""
    if vectors.shape[1] <= dimension:
        return vectors
    centred = vectors - vectors.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :dimension]
    return unit(centred @ directions)


def made(real: Vectors, count: int, draw: np.random.Generator) -> tuple[Vectors, NDArray[np.int64]]:
    """Vectors made from real ones, and from which."""
    near = nearest(real, k=NEIGHBOURS).rows
    of = np.sort(np.arange(count) % len(real))
    vectors = np.empty((count, real.shape[1]), np.float32)
    for start in range(0, count, AT_ONCE):
        for one in np.unique(of[start : start + AT_ONCE]):
            places = start + np.flatnonzero(of[start : start + AT_ONCE] == one)
            weights = draw.normal(size=(len(places), NEIGHBOURS)).astype(np.float32) * SPREAD / NEIGHBOURS**0.5
            vectors[places] = unit(real[one] + weights @ (real[near[one]] - real[one]))
    return vectors, of


def intrinsic_dimension(queries: Vectors, references: Vectors, k: int = 20) -> float:
    """By the distances to the k nearest, the queries' own row left out where it is there."""
    similarities = nearest(queries, references, k=k + 1).similarities.astype(np.float64)
    distances = np.sqrt(np.maximum(2 - 2 * similarities, 0))
    distances = np.where(distances[:, :1] < 1e-3, distances[:, 1:], distances[:, :k])
    logs = np.log(distances[:, -1:] / np.maximum(distances[:, :-1], 1e-9))
    return float(1 / logs.mean(axis=1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sets = [EmbeddingSet.load(folder) for folder in options.embeddings]
    labels = [f"{place}/{label}" for place, one in enumerate(sets) for label in one.labels]
    everything = reduced(np.concatenate([one.vectors for one in sets]), options.dimension)
    draw = np.random.default_rng(options.seed)
    order = draw.permutation(len(everything))
    queries, rows = everything[order[: options.queries]], np.sort(order[options.queries :])
    real = everything[rows]
    vectors, of = made(real, options.count, draw)
    shuffled = draw.permutation(options.count)  # a data set does not come sorted by neighbourhoods
    vectors, of = vectors[shuffled], of[shuffled]
    table = pa.table(
        {
            "id": pa.array([f"{row:032x}" for row in range(options.count)]),
            "label": pa.array([labels[rows[one]] for one in of]).dictionary_encode(),
            "path": pa.array([f"made/{row}.jpg" for row in range(options.count)]),
        }
    )
    EmbeddingSet(vectors, table, sets[0].fingerprint).save(options.out, images_root=Path(), made_from={}, left_out=[])
    np.save(options.out / "queries.npy", queries)
    some = draw.permutation(options.count)[:SAMPLE]
    print(f"{len(real)} real vectors, {options.count} made, dimension {vectors.shape[1]}, {options.queries} queries")
    for name, references, sample in (("real", real, real[:SAMPLE]), ("made", vectors, vectors[some])):
        cosines = nearest(queries[:SAMPLE], references, k=10).similarities
        print(
            f"{name}: intrinsic dimension {intrinsic_dimension(sample, references):.1f}; a query's nearest has cosine "
            f"{np.median(cosines[:, 0]):.3f}, its tenth {np.median(cosines[:, -1]):.3f} (medians)"
        )


if __name__ == "__main__":
    main()
