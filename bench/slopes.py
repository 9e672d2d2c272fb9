"""What each kind of search costs as an index grows: the figures that docs/scale.md goes on from.

    python -m bench.million EMBEDDINGS... --out made
    python -m bench.slopes made [--counts 125000,250000,500000] [--kinds hnsw,ivf,ivfpq] [--work FOLDER]

Each index is built in a process of its own from the first rows of ``made``; its queries are real vectors that nothing
was made from, asked one at a time on one thread.
"""

import argparse
import tempfile
from pathlib import Path

import faiss
import numpy as np

from bench.scale import asking, measured_build, recall, sizes, timed
from index import Index

EXACT_QUERIES = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--counts", default="125000,250000,500000")
    parser.add_argument("--kinds", default="hnsw,ivf,ivfpq")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    queries = np.load(options.embeddings / "queries.npy")
    faiss.omp_set_num_threads(1)
    print("| references | kind | structure | build, s | memory, MB | bytes each | ms a query | exact, ms | recall@10 |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in map(int, options.counts.split(",")):
        for kind in options.kinds.split(","):
            with tempfile.TemporaryDirectory(dir=options.work) as work:
                folder = Path(work) / "made.index"
                seconds, peak = measured_build(options.embeddings, folder, kind, count)
                index = Index.open(folder)
                truth = index.search(queries, 10, exact=True).rows
                few = queries[:EXACT_QUERIES]
                exact, _ = timed(asking(index, exact=True), few)
                ours, found = timed(asking(index), queries)
                search = index.manifest.search
                structure = f"{search.factory}, {search.parameters}, {search.candidates}"
                print(
                    f"| {count} | {kind} | {structure} | {seconds:.0f} | "
                    f"{peak / 1e6:.0f} | {sizes(folder)[1] / count:.0f} | {ours:.2f} | {exact:.1f} | "
                    f"{recall(found, truth):.4f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
