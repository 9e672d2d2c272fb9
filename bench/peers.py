"""Fieldmark beside pytorch-metric-learning and open-metric-learning: one backbone, the same photos, the same machine.

    python -m venv VENV
    VENV/bin/pip install 'open-metric-learning[pipelines]~=4.0' 'pytorch-metric-learning~=2.9' timm 'setuptools<81'
    python -m bench.peers run CARS98 --environment VENV --minutes 15 [--seeds 0,1,2]
        [--only fieldmark pml oml]
    python -m bench.peers run CARS98 --environment VENV --photos 13500
    python -m bench.peers table

Trained on classes 1-66 of cars98 and measured by 67-98, all by this project's evaluation. Fieldmark takes its recipe
for these photos, the others what their authors show (bench/peer_side.py); "pretrained" is the backbone that all begin
with, its features averaged over the photo. Fieldmark is measured twice: by its recipe, which sees photos larger than in
training and at two scales, and with one view, as the others have it. At equal time each side trains on all cores for so
many minutes, of Fieldmark its start included; open-metric-learning and pytorch-metric-learning keep one learning rate,
so they stop when the time is over, and Fieldmark, whose rate falls to zero, has as many epochs as fit. The others get
the allocator setting that Fieldmark has. --options are further ones of embedder.train, for Fieldmark; what is trained
by them stands in rows of its own, and rows of another recipe are not added to. ``run`` adds a line a run to the results
and leaves out what has one; it wants the machine for itself, and open-metric-learning's batches 16 GB.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench.ablations import SIZES
from bench.differences import METRICS, Result, add_results, mean, read_results, scores, unpaired_differences
from bench.photo_tables import write_tables
from bench.processes import run_module
from bench.recipes import digest, recipe
from eval.embeddings import EmbeddingSet

SIDES = ("fieldmark", "pml", "pml-pooled", "oml", "pretrained")

ONE_VIEW = "fieldmark, one view"
"""The same training with photos seen once and no larger than they are chosen for, as the others see them."""

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(64 * 2**20)}
"""What embedder/memory.py sets, as glibc reads it from the environment."""

RECIPE = ("--config", "configs/cars98.yaml", "--data.validation", "none")
"""Fieldmark's, for embedder.train."""

SPENT = 0.95
"""Of the minutes that Fieldmark's epochs are chosen to fill, as a machine is not always as fast as in a trial."""


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
    run.add_argument("--options", default="")
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
            measure(options, budget, side, seed, out / "cars98")


def measure(options: argparse.Namespace, budget: str, side: str, seed: int, out: Path) -> None:
    """Train and evaluate one side with one seed, if it is not among the results yet.

    Raises:
        ValueError: Fieldmark's results are by another recipe.
    """
    own = side == "fieldmark"
    suffix = f", {options.options}" if options.options and own else ""
    more = ["--seed", str(seed), *options.options.split()]
    of_this = {"budget": budget, "seed": seed, **({"settings": digest(recipe(*RECIPE, *more))} if own else {})}
    results = [one for one in read_results(options.results) if one["budget"] == budget]
    before = [one for one in results if one["side"] == side + suffix]
    if any(one.get("settings") != of_this.get("settings") for one in before):
        raise ValueError(f"{options.results} holds {side!r} by another recipe; give another --results")
    if seed in {one["seed"] for one in before}:
        return
    folder = out / f"{side}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if own:
        found = fieldmark(folder, options.cars98, more, options.minutes, options.photos)
    else:
        python = options.environment / "bin" / "python"
        found = {side: other(side, folder, python, seed, options.minutes, options.photos)}
    add_results(options.results, [{**of_this, "side": name + suffix, **one} for name, one in found.items()])


def write_backbone(file: Path) -> None:
    """The pretrained backbone, as timm names its tensors."""
    import timm
    import torch

    from embedder.model.weights import load_package

    body = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    load_package(body)
    torch.save(body.state_dict(), file)


def fieldmark(
    folder: Path, root: Path, options: list[Any], minutes: float | None, photos: int | None
) -> dict[str, Result]:
    """Train by the recipe, with as many epochs as there are minutes or photos for; embed by it, and by one view."""

    def train(epochs: int, name: str) -> tuple[float, list[dict[str, str]]]:
        began, of_run = time.perf_counter(), ["--run", folder / name]
        run_module(
            folder, ["embedder.train", *RECIPE, "--data.root", root, *options, "--train.epochs", epochs, *of_run]
        )
        seconds = time.perf_counter() - began
        with (folder / name / "log.csv").open(encoding="utf-8", newline="") as file:
            return seconds, [*csv.DictReader(file)]

    size = sum(1 for _ in (folder.parent / "training.csv").open(encoding="utf-8")) - 1
    if minutes:
        seconds, rows = train(3, "trial")
        of_epochs = [float(row["seconds"]) for row in rows if row["seconds"]]
        epochs = int((SPENT * 60 * minutes - (seconds - sum(of_epochs))) / of_epochs[-1])
    else:
        assert photos
        epochs = photos // size
    if epochs < 1:
        raise ValueError(f"{folder}: not one epoch of {size} photos fits; give more --minutes or --photos")
    seconds, rows = train(epochs, "run")
    steps = int(rows[-1]["step"])
    one_view = folder / "one-view.onnx"
    plain = ["--views", "whole", "--size", SIZES["cars98"]["plain"]]
    run_module(folder, ["embedder.export", folder / "run", *plain, "--out", one_view])
    results = {}
    for side, embedder in (("fieldmark", folder / "run"), (ONE_VIEW, one_view)):
        vectors = folder / f"{side}-vectors"
        run_module(folder, ["embedder.embed", embedder, folder.parent / "held-out.csv", "--out", vectors])
        done = {"seconds": round(seconds), "photos": epochs * size, "steps": steps}
        results[side] = {**done, **scores(EmbeddingSet.load(vectors))}
    return results


def other(side: str, folder: Path, python: Path, seed: int, minutes: float | None, photos: int | None) -> Result:
    """Train as its authors show, in its own environment, and embed the test photos."""
    asked: dict[str, Any] = {"seed": seed, "seconds": minutes and 60 * minutes, "photos": photos}
    asked |= {"tables": str(folder.parent.resolve()), "out": str(folder.resolve())}
    script = Path(__file__).with_name("peer_side.py").resolve()
    with (folder / "said.txt").open("w") as said:
        command = [str(python.absolute()), str(script), side, json.dumps(asked)]
        subprocess.run(command, check=True, stdout=said, stderr=said, cwd=folder, env={**os.environ, **ALLOCATOR})
    told: dict[str, Any] = json.loads((folder / "told.json").read_text())
    vectors = np.load(folder / "vectors.npy")
    with (folder.parent / "held-out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pa.table({"id": [row["path"] for row in rows], "label": [row["label"] for row in rows]})
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return {**told, **scores(EmbeddingSet(unit.astype(np.float32), table, side))}


def show(results: list[Result]) -> None:
    """A table a budget of what there is."""
    for budget in dict.fromkeys(one["budget"] for one in results):
        print("\n| budget | side | seeds | minutes | photos seen | steps | recall@1 | MAP@R ", end="")
        print("| recall@1 that Fieldmark is ahead by | and with one view |\n|" + "---|" * 10)
        equal = [one for one in results if one["budget"] == budget]
        names = dict.fromkeys(("fieldmark", ONE_VIEW, *(one["side"] for one in equal)))
        sides = {side: {one["seed"]: one for one in equal if one["side"] == side} for side in names}
        for side, found in sides.items():
            if not found:
                continue
            runs = [*found.values()]
            minutes = f"{np.mean([one['seconds'] for one in runs]) / 60:.1f}"
            seen, steps = (f"{np.mean([one[key] for one in runs]):,.0f}" for key in ("photos", "steps"))
            cells = [budget, side, str(len(runs)), minutes, seen, steps, *(mean(runs, metric) for metric in METRICS)]
            ahead = [
                unpaired_differences(found, sides[own])["recall@1"] if side in SIDES[1:] and sides[own] else ""
                for own in ("fieldmark", ONE_VIEW)
            ]
            print("|", " | ".join([*cells, *ahead]), "|")


if __name__ == "__main__":
    main()
