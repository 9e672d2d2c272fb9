"""recall@{1,2,4,8}, R-precision and MAP@R of a set the size of Stanford Online Products, beside the bare product.

    python -m bench.evaluation [--rows 60000] [--dimension 512] [--classes 11000] [--rounds 5]
                               [--oml-python PYTHON_OF_AN_ENVIRONMENT_WITH_IT]

The ways take turns, each in a process of its own: the full matrix product X @ X.T and nothing else, in blocks of two
sizes, by NumPy and by torch; Fieldmark; pytorch-metric-learning's AccuracyCalculator with k="max_bin_count"; and
open-metric-learning, if an environment that has it is named. Prints seconds, and the memory that was taken beyond the
vectors. Fieldmark compiles its code before the clock starts, and prints how long that took.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.process_memory import process_memory
from bench.processes import in_a_process

PRODUCTS = [f"{library} product, {block} rows at once" for library in ("NumPy", "torch") for block in (1024, 4096)]
OURS, PML, OML = "Fieldmark", "pytorch-metric-learning", "open-metric-learning"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--classes", type=int, default=11_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--oml-python", type=Path)
    parser.add_argument("--way", choices=[*PRODUCTS, OURS, PML, OML])
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options)))
        return
    ways = [*PRODUCTS, OURS, PML, *([OML] if options.oml_python else [])]
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(options.rounds):
        for way in ways:
            python = str(options.oml_python) if way == OML else sys.executable
            found[way].append(in_a_process("bench.evaluation", way, python=python))
            print(f"{way}: {found[way][-1]}", file=sys.stderr, flush=True)
    report(found)


def report(found: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians, and what they are in times the fastest product."""
    seconds = {way: statistics.median(run["seconds"] for run in runs) for way, runs in found.items()}
    product = min(seconds[way] for way in PRODUCTS)
    print("| way | seconds | times the product | MB beyond the vectors | recall@1 | MAP@R |\n|---|---|---|---|---|---|")
    for way, runs in found.items():
        scores = " | ".join(f"{runs[0][name]:.6f}" if name in runs[0] else "" for name in ("recall@1", "map@r"))
        memory = max(run["memory"] for run in runs)
        print(f"| {way} | {seconds[way]:.1f} | {seconds[way] / product:.2f} | {memory:.0f} | {scores} |")
    first, last = (found[OURS][run]["compilation"] for run in (0, -1))
    print(f"\nFieldmark's compilation: {first:.1f} s in the first run, {last:.1f} s to load what was kept in the last.")
    print(f"Fieldmark takes {seconds[OURS] / seconds[PML]:.2f} times as long as {PML}.")


def measured(options: argparse.Namespace) -> dict[str, float]:
    """One way's seconds, memory and scores; the vectors are such that about 0.8 of the nearest are right."""
    generator = np.random.default_rng(0)
    labels = np.sort(generator.integers(0, options.classes, options.rows))
    centres = generator.standard_normal((options.classes, options.dimension), dtype=np.float32)
    vectors = centres[labels] + 2.2 * generator.standard_normal((options.rows, options.dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = generator.permutation(options.rows)
    vectors, labels = vectors[order], labels[order]
    del centres
    work, extra = prepared(options.way, vectors, labels)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, that of making the vectors, is forgotten
    before = process_memory("VmRSS")
    started = time.perf_counter()
    scores = work()
    seconds = time.perf_counter() - started
    memory = (process_memory("VmHWM") - before) / 2**20
    return {"seconds": seconds, "memory": memory, **extra, **scores}


def prepared(
    way: str, vectors: np.ndarray, labels: np.ndarray
) -> tuple[Callable[[], dict[str, float]], dict[str, float]]:
    """A way's work with all its imports done, and what else it has to say."""
    if way == OURS:
        return fieldmark(vectors, labels)
    if way == PML:
        return metric_learning(vectors, labels), {}
    if way == OML:
        return open_metric_learning(vectors, labels), {}
    library, _, block, *_ = way.replace(",", "").split()
    return (numpy_product if library == "NumPy" else torch_product)(vectors, int(block)), {}


def numpy_product(vectors: np.ndarray, block: int) -> Callable[[], dict[str, float]]:
    """X @ X.T, one block of rows after the other."""
    out = np.empty((block, len(vectors)), np.float32)

    def work() -> dict[str, float]:
        for start in range(0, len(vectors), block):
            few = vectors[start : start + block]
            np.matmul(few, vectors.T, out=out[: len(few)])
        return {}

    return work


def torch_product(vectors: np.ndarray, block: int) -> Callable[[], dict[str, float]]:
    """The same by torch."""
    import torch

    tensor = torch.from_numpy(vectors)
    out = torch.empty(block, len(vectors))

    def work() -> dict[str, float]:
        for start in range(0, len(vectors), block):
            few = tensor[start : start + block]
            torch.matmul(few, tensor.T, out=out[: len(few)])
        return {}

    return work


def fieldmark(vectors: np.ndarray, labels: np.ndarray) -> tuple[Callable[[], dict[str, float]], dict[str, float]]:
    """Everything that ``eval.recall`` measures."""
    import pyarrow as pa

    from eval.embeddings import EmbeddingSet
    from eval.evaluation import evaluate

    started = time.perf_counter()
    from eval.tiles import nearest_in_tiles

    nearest_in_tiles(vectors[:100], None, np.full(100, 3))
    compilation = time.perf_counter() - started
    table = pa.table({"id": [str(row) for row in range(len(labels))], "label": [f"class {code}" for code in labels]})
    queries = EmbeddingSet(vectors, table, "bench")
    return lambda: evaluate(queries).means(), {"compilation": compilation}


def metric_learning(vectors: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """pytorch-metric-learning's calculator, with the same three metrics."""
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = {
        "precision_at_1": "recall@1",
        "r_precision": "r_precision",
        "mean_average_precision_at_r": "map@r",
    }
    calculator = AccuracyCalculator(include=tuple(names), k="max_bin_count", device=torch.device("cpu"))

    def work() -> dict[str, float]:
        scores = calculator.get_accuracy(torch.from_numpy(vectors), torch.from_numpy(labels))
        return {ours: float(scores[theirs]) for theirs, ours in names.items()}

    return work


def open_metric_learning(vectors: np.ndarray, labels: np.ndarray) -> Callable[[], dict[str, float]]:
    """open-metric-learning's blockwise search and its metrics; it has no MAP@R, and its recall counts lone classes."""
    import torch
    from oml.functional.knn import batched_knn
    from oml.metrics import calc_retrieval_metrics_rr
    from oml.retrieval import RetrievalResults

    rows, codes = torch.arange(len(labels)), torch.from_numpy(labels)
    largest = int(np.bincount(labels).max())

    def work() -> dict[str, float]:
        found = batched_knn(
            embeddings=torch.from_numpy(vectors),
            ids_query=rows,
            ids_gallery=rows,
            labels_gt=codes,
            sequence_ids=None,
            top_n=largest,
            verbose=False,
        )
        results = RetrievalResults(distances=found[0], retrieved_ids=found[1], gt_ids=found[2])
        scores = calc_retrieval_metrics_rr(results, cmc_top_k=(1, 2, 4, 8), map_top_k=(8,), precision_top_k=(1,))
        return {"recall@1": float(scores["cmc"][1])}

    return work


if __name__ == "__main__":
    main()
