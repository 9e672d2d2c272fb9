"""Is what an index says it finds what new photos find? Real photos are kept apart and searched for.

    python -m bench.tuning EMBEDDINGS... [--queries 1000] [--kinds hnsw,ivf,ivfpq] [--targets 0.9,0.95,0.99]

The index keeps back some of its own references to measure itself with, as they are and moved away from the others; it
never sees the photos that are kept apart here.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.scale import asking, build, recall, timed
from eval.embeddings import EmbeddingSet
from index import Index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", nargs="+", type=Path)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--kinds", default="hnsw,ivf,ivfpq")
    parser.add_argument("--targets", default="0.9,0.95,0.99")
    options = parser.parse_args()
    sets = [EmbeddingSet.load(folder) for folder in options.embeddings]
    vectors = np.concatenate([one.vectors for one in sets])
    order = np.random.default_rng(0).permutation(len(vectors))
    queries, rest = vectors[order[: options.queries]], vectors[np.sort(order[options.queries :])]
    names = [f"{row:032x}" for row in range(len(rest))]
    table = pa.table({"id": names, "label": ["any"] * len(rest), "path": names})
    print("| kind | target | parameters | as they are | moved away | new photos |\n|---|---|---|---|---|---|")
    for kind in options.kinds.split(","):
        for target in map(float, options.targets.split(",")):
            with tempfile.TemporaryDirectory() as work:
                given = EmbeddingSet(rest, table, sets[0].fingerprint)
                given.save(Path(work) / "rest", made_from={}, images_root=None, left_out=[])
                build(Path(work) / "rest", Path(work) / "a.index", kind, target=target)
                index = Index.open(Path(work) / "a.index")
                truth = index.search(queries, 10, exact=True).rows
                _, found = timed(asking(index), queries)
                search = index.manifest.search
                print(
                    f"| {kind} | {target} | {search.parameters}, {search.candidates} | {search.recall:.4f} | "
                    f"{search.far_recall:.4f} | {recall(found, truth):.4f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
