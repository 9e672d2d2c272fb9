"""Recall of trained embedders on classes that were never trained on, beside the frozen network's.

    python -m bench.accuracy cars98 CARS98 [--losses proxy-anchor,arcface,triplet] [--seeds 0,1,2]
                             [--frozen-sizes 128,192,224] [--choose] [--out bench/runs] [--options "--train.epochs 20"]

Trains by configs/NAME.yaml on all training classes, exports the last epoch and looks at the test classes. With --choose
it trains without the held-out training classes and looks at those instead, also after the last epoch, which is how
choices are made. One row a run, then mean and spread over the seeds, each with how far 1 - recall@1 has fallen against
the frozen network at the same resolution (with the better of average and of the file's pooling). Runs are kept in
--out, so that an interrupted measurement goes on; a run of other settings there is refused.
"""

import argparse
import csv
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

COLUMNS = ("recall@1", "recall@2", "recall@4", "recall@8", "r_precision", "map@r")
Scores = dict[str, float]


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
    print("| run | " + " | ".join(COLUMNS) + " | 1 - recall@1 | training |")
    print("|" + "---|" * (len(COLUMNS) + 3))
    frozen = best_frozen(options)
    for size in filter(None, options.frozen_sizes.split(",")):
        best_frozen(options, size)
    for loss in options.losses.split(","):
        rows = [
            measure(options, f"{loss}-seed{seed}", f"--loss.name {loss} --seed {seed} {options.options}", frozen)
            for seed in options.seeds.split(",")
        ]
        if len(rows) > 1:
            cells = [f"{statistics.mean(v):.3f} ± {statistics.stdev(v):.3f}" for v in columns(rows)]
            fall = falls(statistics.mean(row["recall@1"] for row in rows), frozen)
            name = f"{loss}, mean ± standard deviation of {len(rows)} seeds"
            print(f"| {name} | {' | '.join(cells)} | {fall} | |", flush=True)


def best_frozen(options: argparse.Namespace, size: str = "") -> float:
    """The better recall@1 of the frozen network's two poolings, at the file's resolution or at another one."""
    at = f"{options.options} --train.epochs 0" + (f" --data.size {size} --data.test_size {size}" if size else "")
    suffix = f"-{size}px" if size else ""
    return max(
        measure(options, f"frozen{suffix}", at)["recall@1"],
        measure(options, f"frozen-avg{suffix}", f"{at} --model.pooling avg")["recall@1"],
    )


def measure(options: argparse.Namespace, run: str, settings: str, frozen: float | None = None) -> Scores:
    """Train, embed and evaluate one run; print its row."""
    folder = options.out / f"{options.name}{'-choose' if options.choose else ''}" / run
    held_out = "classes" if options.choose else "none"
    recipe = ["--config", f"configs/{options.name}.yaml", "--data.root", options.root, "--data.validation", held_out]
    module("embedder.train", *recipe, "--run", str(folder), *shlex.split(settings))
    log = list(csv.DictReader((folder / "log.csv").open(encoding="utf-8")))
    if options.choose:
        scores = {column: float(log[-1][column]) for column in COLUMNS}
    else:
        vectors = folder.with_name(f"{run}-vectors")
        photos = [f"{options.name}:{options.root}", "--split", "test", "--protocol", "zero-shot"]
        module("embedder.embed", str(folder), *photos, "--out", str(vectors))
        scores = json.loads(module("eval.recall", str(vectors), "--json"))
    minutes = sum(float(row.get("seconds") or 0) for row in log) / 60
    cells = " | ".join(f"{scores[column]:.4f}" for column in COLUMNS)
    fall = falls(scores["recall@1"], frozen) if frozen else ""
    print(f"| {run} | {cells} | {fall} | {f'{minutes:.1f} min' if minutes else ''} |", flush=True)
    return scores


def falls(recall: float, frozen: float) -> str:
    """How far the share of queries without a right nearest neighbour has fallen."""
    return f"{(1 - recall) / (1 - frozen) - 1:+.0%}"


def columns(rows: list[Scores]) -> list[tuple[float, ...]]:
    """The values of each column over the rows."""
    return [tuple(row[column] for row in rows) for column in COLUMNS]


def module(*words: str) -> str:
    """Run one of Fieldmark's commands; its progress goes to standard error."""
    return subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
