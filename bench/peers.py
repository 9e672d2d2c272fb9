"""Fieldmark beside pytorch-metric-learning and open-metric-learning: one backbone, the same photos, the same machine.

    python -m venv VENV
    VENV/bin/pip install 'open-metric-learning[pipelines]' pytorch-metric-learning timm 'setuptools<81'
    python bench/peers.py run CARS98 --environment VENV --minutes 15 [--seeds 0,1,2] [--only fieldmark pml oml]
    python bench/peers.py run CARS98 --environment VENV --photos 37800
    python bench/peers.py table

Trained on classes 1-66 of cars98 and measured by 67-98, all by this project's evaluation. Fieldmark takes its recipe
for these photos, the others what their authors show (bench/peer_side.py). At equal time each side trains on all cores
for so many minutes, of Fieldmark its start included; open-metric-learning and pytorch-metric-learning keep one learning
rate, so they stop when the time is over, and Fieldmark, whose rate falls to zero, has as many epochs as fit. At an
equal number of photos the others get the allocator setting that Fieldmark has. ``run`` adds a line a run to the results
and leaves out what has one; it wants the machine for itself, and open-metric-learning's batches 18 GB.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.techniques import METRICS, Result, differences, read_results, run_module, scores, write_tables
from eval.embeddings import EmbeddingSet

SIDES = ("fieldmark", "pml", "oml")

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(64 * 2**20)}
"""What embedder/memory.py sets, as glibc reads it from the environment."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run, table = commands.add_parser("run"), commands.add_parser("table")
    run.add_argument("cars98", type=Path)
    run.add_argument("--environment", type=Path, required=True, help="where the others are installed")
    equal = run.add_mutually_exclusive_group(required=True)
    equal.add_argument("--minutes", type=float)
    equal.add_argument("--photos", type=int)
    run.add_argument("--seeds", default="0,1,2")
    run.add_argument("--only", nargs="*", default=SIDES, choices=SIDES)
    for one in (run, table):
        one.add_argument("--results", type=Path, default=Path("bench/measured/peers.jsonl"))
    options = parser.parse_args()
    if options.command == "table":
        show(read_results(options.results))
        return
    out = Path("bench/runs/peers")
    write_tables("cars98", str(options.cars98.resolve()), out, test=True)
    write_backbone(out / "cars98" / "backbone.pt")
    budget = f"{options.minutes:g} minutes" if options.minutes else f"{options.photos} photos"
    for seed in map(int, options.seeds.split(",")):
        for side in options.only:
            done = {(one["budget"], one["side"], one["seed"]) for one in read_results(options.results)}
            if (budget, side, seed) in done:
                continue
            folder = out / "cars98" / f"{side}-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            if side == "fieldmark":
                result = fieldmark(folder, options.cars98, seed, options.minutes, options.photos)
            else:
                python = options.environment / "bin" / "python"
                result = other(side, folder, python, seed, options.minutes, options.photos)
            result = {"budget": budget, "side": side, "seed": seed, **result}
            options.results.parent.mkdir(parents=True, exist_ok=True)
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            print({key: value for key, value in result.items() if key != "classes"}, flush=True)


def write_backbone(file: Path) -> None:
    """The pretrained backbone, as timm names its tensors."""
    import timm
    import torch

    from embedder.model.weights import load_package

    body = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    load_package(body)
    torch.save(body.state_dict(), file)


def fieldmark(folder: Path, root: Path, seed: int, minutes: float | None, photos: int | None) -> Result:
    """Train by the recipe, with as many epochs as there are minutes or photos for."""
    fixed = ["embedder.train", "--config", "configs/cars98.yaml", "--data.root", root, "--data.validation", "none"]

    def train(epochs: int, name: str) -> float:
        began = time.perf_counter()
        run_module(folder, [*fixed, "--seed", seed, "--train.epochs", epochs, "--run", folder / name])
        return time.perf_counter() - began

    size = sum(1 for _ in (folder.parent / "training.csv").open(encoding="utf-8")) - 1
    if minutes:
        one, three = train(1, "one"), train(3, "three")
        an_epoch = (three - one) / 2
        epochs = int((60 * minutes - (one - an_epoch)) / an_epoch)
    else:
        assert photos
        epochs = photos // size
    seconds = train(epochs, "run")
    table = folder.parent / "held-out.csv"
    run_module(folder, ["embedder.embed", folder / "run", table, "--out", folder / "vectors"])
    return {"seconds": round(seconds), "photos": epochs * size, **scores(EmbeddingSet.load(folder / "vectors"))}


def other(side: str, folder: Path, python: Path, seed: int, minutes: float | None, photos: int | None) -> Result:
    """Train as its authors show, in its own environment, and embed the test photos."""
    asked = {"seed": seed, "seconds": minutes and 60 * minutes, "photos": photos}
    asked |= {"tables": str(folder.parent.resolve()), "out": str(folder.resolve())}
    script = Path(__file__).with_name("peer_side.py").resolve()
    setting = ALLOCATOR if photos else {}
    with (folder / "said.txt").open("w") as said:
        command = [str(python.absolute()), str(script), side, json.dumps(asked)]
        subprocess.run(command, check=True, stdout=said, stderr=said, cwd=folder, env={**os.environ, **setting})
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    vectors = np.load(folder / "vectors.npy")
    with (folder.parent / "held-out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pa.table({"id": [row["path"] for row in rows], "label": [row["label"] for row in rows]})
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return {**told, **scores(EmbeddingSet(unit.astype(np.float32), table, side))}


def show(results: list[Result]) -> None:
    """The table of what there is; how far Fieldmark is ahead is the mean over seeds, with an interval over classes."""
    print("| budget | side | seeds | minutes | photos seen | recall@1 | MAP@R | Fieldmark ahead by |\n|" + "---|" * 8)
    for budget in dict.fromkeys(one["budget"] for one in results):
        equal = [one for one in results if one["budget"] == budget]
        sides = {side: {one["seed"]: one for one in equal if one["side"] == side} for side in SIDES}
        own = sides["fieldmark"]
        for side, found in sides.items():
            if not found:
                continue
            runs = list(found.values())
            means = [f"{np.mean([one[metric] for one in runs]):.3f}" for metric in METRICS]
            minutes = f"{np.mean([one['seconds'] for one in runs]) / 60:.1f}"
            seen = f"{np.mean([one['photos'] for one in runs]):,.0f}"
            pairs = [(found[seed], own[seed]) for seed in sorted(found.keys() & own.keys())]
            ahead = differences(pairs)[0] if side != "fieldmark" and pairs else ""
            print("|", " | ".join([budget, side, str(len(runs)), minutes, seen, *means, ahead]), "|")


if __name__ == "__main__":
    sys.exit(main())
