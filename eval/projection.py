"""The embedding space in the plane: a map on which what is near stays near."""

import sys
import warnings

import numpy as np
from numpy.typing import NDArray

from eval.neighbours import nearest

NEIGHBOURS = 15
"""Neighbours of each point that the map is made to keep near."""

FEW_EPOCHS_FROM = 20_000
"""From so many points on fewer rounds of the layout are enough, as umap itself has it from 10,000 on."""

Vectors = NDArray[np.float32]


def project(vectors: Vectors, seed: int = 0, progress: bool = False) -> NDArray[np.float32]:
    """Lay vectors out in the plane by UMAP (McInnes, Healy and Melville 2018), with the cosine as similarity.

    Distances on the map mean little, and neither do the gaps between groups; who is beside whom does. The neighbours
    are the exact ones, the layout begins with the two principal directions (Kobak and Linderman 2021) and is the same
    each time for the same vectors and seed.

    Args:
        vectors: ``[N, D]``, of unit length.
        seed: of the layout's random moves.
        progress: show a bar on standard error.

    Returns:
        ``[N, 2]``; where there are too few for a map, the principal directions themselves.
    """
    start = _principal(vectors)
    if len(vectors) < 4:
        return start
    if np.ptp(start, axis=0).min() == 0:  # umap divides by it
        start = start + np.random.default_rng(seed).normal(scale=1e-3, size=start.shape).astype(np.float32)
    k = min(NEIGHBOURS, len(vectors) - 1)
    found = nearest(vectors, None, k)
    rows = np.hstack([np.arange(len(vectors))[:, None], found.rows])
    distances = np.hstack([np.zeros((len(vectors), 1), np.float32), np.maximum(1 - found.similarities, 0)])
    return _laid_out(vectors, rows, distances.astype(np.float32), start, seed, progress)


def _laid_out(
    vectors: Vectors, rows: NDArray[np.int64], distances: Vectors, start: Vectors, seed: int, progress: bool
) -> NDArray[np.float32]:
    """UMAP's graph of neighbours, moved about until it lies well in the plane."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # umap tells of parts of itself that nobody here asks for
        from umap.umap_ import (  # noqa: PLC0415 - takes seconds, which no other command needs
            find_ab_params,
            fuzzy_simplicial_set,
            simplicial_set_embedding,
        )

        state = np.random.RandomState(seed)  # umap takes no other kind
        graph, *_ = fuzzy_simplicial_set(vectors, rows.shape[1], state, "cosine", knn_indices=rows, knn_dists=distances)
        a, b = find_ab_params(spread=1.0, min_dist=0.3)
        points, _ = simplicial_set_embedding(
            vectors,
            graph,
            n_components=2,
            initial_alpha=1.0,
            a=a,
            b=b,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=500 if len(vectors) < FEW_EPOCHS_FROM else 200,
            init=start,
            random_state=state,
            metric="cosine",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            tqdm_kwds={"disable": not progress, "desc": "laying out the map", "unit": "round", "file": sys.stderr},
        )
    return np.asarray(points, np.float32)


def _principal(vectors: Vectors) -> NDArray[np.float32]:
    """The two directions in which the vectors vary most, ``[N, 2]``, scaled to 10; with a fixed sign."""
    centred = vectors - vectors.mean(axis=0, keepdims=True)
    _, directions = np.linalg.eigh(centred.T.astype(np.float64) @ centred.astype(np.float64))
    plane = np.zeros((vectors.shape[1], 2))
    plane[:, : min(2, vectors.shape[1])] = directions[:, ::-1][:, :2]
    plane *= np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1, 1)
    points = centred @ plane.astype(np.float32)
    return np.asarray(10 * points / max(float(np.abs(points).max(initial=0)), 1e-12), np.float32)
