"""Recall of trained embedders on classes that were never trained on, beside the frozen network's.

    python bench/accuracy.py cars98 ../shared/data/cars98 [--losses proxy-anchor,arcface,triplet] [--seeds 0,1,2]
                             [--choose] [--out bench/runs] [--options "--train.epochs 20"]

Trains by configs/NAME.yaml on all training classes and looks at the test classes; with --choose it trains without the
held-out training classes and looks at those instead, which is how choices are made. One row a run, then mean and spread
over the seeds. Everything is kept in --out, so that an interrupted measurement goes on.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

COLUMNS = ("recall@1", "recall@2", "recall@4", "recall@8", "r_precision", "map@r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="a data set with a file in configs/")
    parser.add_argument("root", help="where its photos are")
    parser.add_argument("--losses", default="proxy-anchor")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--frozen-sizes", default="", help="more sizes for the frozen network, in pixels")
    parser.add_argument("--out", type=Path, default=Path("bench/runs"))
    parser.add_argument("--options", default="", help="further options of embedder.train")
    options = parser.parse_args()
    print("| run | " + " | ".join(COLUMNS) + " | training |")
    print("|" + "---|" * (len(COLUMNS) + 2))
    measure(options, "frozen", "--train.epochs 0")
    for size in filter(None, options.frozen_sizes.split(",")):
        measure(options, f"frozen-{size}px", f"--train.epochs 0 --data.size {size} --data.test_size {size}")
    for loss in options.losses.split(","):
        rows = [
            measure(options, f"{loss}-seed{seed}", f"--loss.name {loss} --seed {seed} {options.options}")
            for seed in options.seeds.split(",")
        ]
        if len(rows) > 1:
            cells = [f"{statistics.mean(v):.3f} ± {statistics.stdev(v):.3f}" for v in zip(*rows, strict=True)]
            print(f"| {loss}, mean ± standard deviation of {len(rows)} seeds | {' | '.join(cells)} | |", flush=True)


def measure(options: argparse.Namespace, run: str, settings: str) -> list[float]:
    """Train, embed and evaluate one run; print its row."""
    folder = options.out / f"{options.name}{'-choose' if options.choose else ''}" / run
    looked_at, trained_without = ("validation", "classes") if options.choose else ("test", "none")
    seconds = timed(
        f"embedder.train --config configs/{options.name}.yaml --run {folder} --data.root {options.root} "
        f"--data.validation {trained_without} {settings}",
        folder,
    )
    source = f"{options.name}:{options.root}"
    vectors = folder.with_name(f"{run}-vectors")
    module(f"embedder.embed {folder} {source} --split {looked_at} --protocol zero-shot --out {vectors}")
    scores = json.loads(module(f"eval.recall {vectors} --json"))
    values = [scores[column] for column in COLUMNS]
    print(f"| {run} | " + " | ".join(f"{value:.4f}" for value in values) + f" | {seconds / 60:.1f} min |", flush=True)
    return values


def timed(command: str, folder: Path) -> float:
    """Run a training, or recall how long it took when it was run before."""
    note = folder.with_name(f"{folder.name}-seconds.json")
    if not note.exists():
        started = time.perf_counter()
        module(command)
        note.write_text(json.dumps(time.perf_counter() - started))
    return json.loads(note.read_text())


def module(command: str) -> str:
    """Run one of Fieldmark's commands; its progress goes to standard error."""
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
