"""Does index.review find wrong labels? Some are planted, and looked for among the first that it lists.

    python -m bench.review FOLDER [--wrong 20] [--draws 10] [--seed 0]

FOLDER holds vectors (an embeddings or an index folder) and stays as it is: labels are changed in memory. In each draw
some photos are given another label, that of any other class or that of the class most like theirs, by the mean vectors.
Printed is the mean share of them among the first 20, 40 and 100 doubtful labels, in the order of index.review and in
that of the margin of the vote alone. Labels that were wrong before stand among the first too, and count for nothing.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.embeddings import EmbeddingSet
from eval.findings import Doubt, find
from eval.references import References

FIRST = (20, 40, 100)

ORDERS: dict[str, Callable[[Doubt], float]] = {
    "index.review": lambda one: one.score,
    "margin alone": lambda one: one.share - one.own_share,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wrong", type=int, default=20)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = EmbeddingSet.load(options.folder).labelled()
    labels = [label for label in photos.labels if label is not None]
    right = References.made(np.arange(len(photos)), photos.vectors, labels, photos.table)
    print("| wrong label | order | " + " | ".join(f"among the first {first}" for first in FIRST) + " |")
    print("|" + "---|" * (len(FIRST) + 2))
    for kind, others in (("of any other class", None), ("of the class most alike", most_alike(right))):
        draws = [one_draw(right, options.wrong, options.seed + draw, others) for draw in range(options.draws)]
        for order in ORDERS:
            shares = np.mean([found[order] for found in draws], axis=0)
            print(f"| {kind} | {order} | " + " | ".join(f"{share:.0%}" for share in shares) + " |", flush=True)


def most_alike(references: References) -> NDArray[np.int64]:
    """For each class the one whose mean vector is most like its own."""
    means = np.stack(
        [references.vectors[references.codes == code].mean(axis=0) for code in range(len(references.names))]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    likeness = means @ means.T
    np.fill_diagonal(likeness, -np.inf)
    return likeness.argmax(axis=1)


def one_draw(right: References, count: int, seed: int, others: NDArray[np.int64] | None) -> dict[str, list[float]]:
    """The shares of planted errors among the first, for each order."""
    draw = np.random.default_rng(seed)
    wrong = draw.permutation(len(right))[:count]
    codes = right.codes.copy()
    steps = draw.integers(1, len(right.names), count)
    codes[wrong] = (codes[wrong] + steps) % len(right.names) if others is None else others[codes[wrong]]
    doubts = find(replace(right, codes=codes), sample=0).doubts
    found = {}
    for order, score in ORDERS.items():
        rows = [one.row for one in sorted(doubts, key=lambda one: (-score(one), one.row))]
        found[order] = [float(np.isin(wrong, rows[:first]).mean()) for first in FIRST]
    return found


if __name__ == "__main__":
    main()
