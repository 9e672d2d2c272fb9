"""Do the vectors fall into their classes without being told them? k-means, held against the labels."""

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.errors import InputError, counted

ITERATIONS = 20
"""Rounds of k-means, as in the papers on metric learning."""

Codes = NDArray[np.int64]


def cluster_scores(embeddings: EmbeddingSet, seed: int = 0) -> dict[str, float]:
    """Group the labelled vectors by k-means into as many clusters as there are classes, and compare with the classes.

    Returns:
        ``nmi``: normalised mutual information, by the arithmetic mean of both entropies, in [0, 1]; it rises with the
        number of clusters alone. ``ami``: the same less what chance would give (Vinh, Epps and Bailey 2010), at most 1
        and about 0 for chance. ``purity``: as ``purity`` gives it.

    Raises:
        InputError: there are fewer than two classes.
    """
    from sklearn.metrics import adjusted_mutual_info_score, normalized_mutual_info_score  # noqa: PLC0415 - takes 1 s

    codes, names = embeddings.label_codes()
    labelled = codes >= 0
    if len(names) < 2:
        raise InputError(f"{counted(len(names), 'class', 'classes')}; clusters are compared with two at least")
    codes = codes[labelled]
    clusters = k_means(embeddings.vectors[labelled], len(names), seed)
    return {
        "nmi": float(normalized_mutual_info_score(codes, clusters)),
        "ami": float(adjusted_mutual_info_score(codes, clusters)),
        "purity": purity(codes, clusters),
    }


def k_means(vectors: NDArray[np.float32], count: int, seed: int = 0) -> Codes:
    """Group vectors ``[N, D]`` into ``count`` clusters by FAISS's k-means (Euclidean); ``[N]`` numbers of clusters."""
    import faiss  # noqa: PLC0415 - not for those who measure without clusters

    groups = faiss.Kmeans(
        vectors.shape[1],
        count,
        niter=ITERATIONS,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    groups.train(np.ascontiguousarray(vectors))
    found: Codes = groups.index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
    return found


def purity(codes: Codes, clusters: Codes) -> float:
    """The share of items that are of the commonest class of their cluster, in (0, 1]; it rises with more clusters."""
    pairs, counts = np.unique(np.stack([clusters, codes]), axis=1, return_counts=True)
    most = np.zeros(pairs[0].max() + 1, np.int64)
    np.maximum.at(most, pairs[0], counts)
    return float(most.sum() / len(codes))
