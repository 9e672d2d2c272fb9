"""Is the embedding space in good health? What the vectors say of themselves, whatever is asked of them."""

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.neighbours import nearest

NEIGHBOURS = 10
"""k of the k-occurrences that hubness is measured by."""

DEAD = 0.01
"""A dimension is dead if it varies by less than this share of what it would if all varied alike."""

SAMPLE = 10_000
"""Rows at most, drawn evenly, for what looks at all pairs."""

Vectors = NDArray[np.float32]


def health(embeddings: EmbeddingSet) -> dict[str, float]:
    """All signs of health; those that need labels only where classes of two or more are labelled.

    Returns:
        What the functions of this room give, by their names.
    """
    codes, _ = embeddings.label_codes()
    some = embeddings.vectors[np.linspace(0, len(embeddings) - 1, min(len(embeddings), SAMPLE)).astype(int)]
    signs = {
        "uniformity": uniformity(some),
        "effective_rank": effective_rank(embeddings.vectors),
        "hubness": hubness(some),
        "dead_dimensions": dead_dimensions(embeddings.vectors),
    }
    if np.bincount(codes[codes >= 0], minlength=1).max() < 2:
        return signs
    return {"alignment": alignment(embeddings.vectors, codes), **signs}


def alignment(vectors: Vectors, codes: NDArray[np.int64]) -> float:
    """The mean squared distance of two photos of one class, over all such pairs; in [0, 4], small is good.

    Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity", 2020, with
    alpha = 2. Codes below 0 take no part.
    """
    kept = codes >= 0
    sizes = np.bincount(codes[kept])
    sums = np.zeros((len(sizes), vectors.shape[1]))
    np.add.at(sums, codes[kept], vectors[kept])
    squares = np.bincount(codes[kept], np.einsum("nd,nd->n", vectors[kept], vectors[kept], dtype=np.float64))
    products = np.einsum("cd,cd->c", sums, sums) - squares  # of all ordered pairs of one class
    pairs = sizes * (sizes - 1)
    return float((2 * ((sizes - 1) * squares).sum() - 2 * products.sum()) / pairs.sum())


def uniformity(vectors: Vectors) -> float:
    """The logarithm of the mean of exp(-2 * squared distance) over all pairs; in [-8, 0], low is evenly spread.

    Wang and Isola 2020, with t = 2. 0 is all vectors alike; evenly on a sphere of many dimensions it nears -4.
    """
    total, count = 0.0, len(vectors)
    for start in range(0, count, 1024):
        products = vectors[start : start + 1024] @ vectors.T
        total += float(np.exp(4 * (products.astype(np.float64) - 1)).sum())
    return float(np.log((total - count) / (count * (count - 1)))) if count > 1 else 0.0


def effective_rank(vectors: Vectors) -> float:
    """How many dimensions the vectors use: exp of the entropy of the singular values' shares; in [1, D].

    Roy and Vetterli, "The effective rank", 2007; for embeddings: Garrido et al., "RankMe", 2023.
    """
    squares = np.linalg.eigvalsh(vectors.T.astype(np.float64) @ vectors.astype(np.float64))
    values = np.sqrt(np.maximum(squares, 0))
    shares = values[values > 1e-7 * values.max()] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def hubness(vectors: Vectors) -> float:
    """The skewness of how often a vector is among the others' nearest; 0 is even, above 1 there are hubs.

    Radovanović, Nanopoulos and Ivanović, "Hubs in Space", 2010, section 2, with k = ``NEIGHBOURS``.
    """
    found = nearest(vectors, None, NEIGHBOURS).rows
    occurrences = np.bincount(found[found >= 0], minlength=len(vectors)).astype(np.float64)
    spread = occurrences.std()
    return float(((occurrences - occurrences.mean()) ** 3).mean() / spread**3) if spread > 0 else 0.0


def dead_dimensions(vectors: Vectors) -> float:
    """The share of dimensions that hardly vary; in [0, 1]."""
    deviations = vectors.std(axis=0, dtype=np.float64)
    alike = np.sqrt((deviations**2).mean())
    return float((deviations <= DEAD * alike).mean())
