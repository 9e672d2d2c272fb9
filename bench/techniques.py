"""Which techniques of fine-grained recognition help: each by itself against the same recipe, at equal work.

    python bench/techniques.py run CARS98 BIRDS100 [--seeds 0,1] [--only mixup,parts] [--out bench/runs/techniques]
    python bench/techniques.py table [--out bench/runs/techniques]

Chosen on held-out training classes: trained on classes 1-44 of cars98 and 1-35 of birds100, and measured by classes
45-66 and 36-50, after the last epoch. A technique that makes a step dearer has the fewer epochs: first the work of a
step is measured, in seconds of all cores together, and each has about the work of the base recipe. ``run`` goes on
where it was; ``table`` shows what there is: paired differences of each query, the mean over seeds, with intervals over
other classes.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.bootstrap import class_intervals
from eval.embeddings import EmbeddingSet
from eval.evaluation import evaluate

EPOCHS = {"cars98": 6, "birds100": 3}
"""Of the base recipe: half of what it has in configs/, as this is a screen."""

TECHNIQUES = {
    "base": "",
    "squeeze-excitation": "--model.attention se",
    "CBAM": "--model.attention cbam",
    "ECA": "--model.attention eca",
    "attention pooling": "--model.pooling attention",
    "GeM pooling": "--model.pooling gem",
    "parts": "--model.parts 8",
    "parts, centres": "--model.parts 8 --loss.part_centre 1",
    "parts, centres, second look": "--model.parts 8 --loss.part_centre 1 --model.look second",
    "parts, centres, attended crop and drop": "--model.parts 8 --loss.part_centre 1 --augment.attended_crop 0.3 "
    "--augment.attended_drop 0.3",
    "attended crop": "--augment.attended_crop 0.3",
    "attended drop": "--augment.attended_drop 0.3",
    "first look": "--model.look first",
    "mixup": "--mix.photos mixup",
    "CutMix": "--mix.photos cutmix",
    "SnapMix": "--mix.photos snapmix",
    "mixed vectors": "--mix.vectors",
    "erasing": "--augment.erase 0.25",
    "turned views": "--augment.rotate 15",
    "slanted views": "--augment.shear 10 --augment.perspective 0.2",
    "all stages, layer-wise rates": "--model.frozen_stages 0 --train.layer_decay 0.7",
    "all stages, gradual unfreezing": "--model.frozen_stages 0 --train.unfreeze 0.5",
    "averaged weights": "--train.ema 0.98",
    "mirror view": "--model.mirror",
}
"""Options of embedder.train beside the recipe's."""

STEPS = 10
"""Of which the work is measured, and before which as many warm up."""

METRICS = ("recall@1", "map@r")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run, table = commands.add_parser("run"), commands.add_parser("table")
    run.add_argument("cars98")
    run.add_argument("birds100")
    run.add_argument("--seeds", default="0,1")
    run.add_argument("--only", default="", help="techniques, separated by commas")
    for one in (run, table):
        one.add_argument("--out", type=Path, default=Path("bench/runs/techniques"))
    options = parser.parse_args()
    if options.command == "table":
        show(options.out)
        return
    roots = {"cars98": options.cars98, "birds100": options.birds100}
    chosen = ["base", *options.only.split(",")] if options.only else [*TECHNIQUES]
    for name, root in roots.items():
        write_tables(name, root, options.out)
    for seed in options.seeds.split(","):
        for technique in chosen:
            for name in roots:
                measure(name, technique, int(seed), options.out)


def write_tables(name: str, root: str, out: Path) -> None:
    """The photos of the training classes and of those held out, as two tables."""
    from embedder.data.catalog import read_catalog
    from embedder.data.splits import split

    (out / name).mkdir(parents=True, exist_ok=True)
    parts = split(read_catalog(f"{name}:{root}"), "zero-shot", "classes", 0)
    for part, photos in (("training", parts.training), ("held-out", parts.validation)):
        with (out / name / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [
                (photos.file(row), label, box and " ".join(map(str, box)))
                for row, (label, box) in enumerate(zip(photos.labels, photos.boxes, strict=True))
            ]
            csv.writer(file).writerows([("path", "label", "box"), *rows])


def slug(technique: str) -> str:
    """What a technique's files are called."""
    return technique.replace(" ", "-").replace(",", "")


def measure(name: str, technique: str, seed: int, out: Path) -> None:
    """Train and embed what is not there yet."""
    folder = out / name / slug(technique) / str(seed)
    if (folder / "result.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    settings = f"{TECHNIQUES[technique]} --seed {seed}"
    work, base = (step_work(name, one, out) for one in (technique, "base"))
    epochs = max(1, round(EPOCHS[name] * base / work))
    began = time.perf_counter()
    module(
        f"embedder.train --config configs/{name}.yaml --data.name null --data.root {out / name / 'training.csv'} "
        f"--data.validation none --run {folder / 'run'} --train.epochs {epochs} {settings}"
    )
    seconds = time.perf_counter() - began
    module(f"embedder.embed {folder / 'run'} {out / name / 'held-out.csv'} --out {folder / 'vectors'}")
    vectors = EmbeddingSet.load(folder / "vectors")
    scores = evaluate(vectors, None, [1]).means()
    shutil.rmtree(folder / "run")
    result = {"epochs": epochs, "seconds": seconds, "work": work / base, **{one: scores[one] for one in METRICS}}
    (folder / "result.json").write_text(json.dumps(result))
    print(name, technique, seed, result, flush=True)


def step_work(name: str, technique: str, out: Path) -> float:
    """Seconds of all cores together that a step takes, measured once."""
    file = out / name / f"work-{slug(technique)}.json"
    if not file.exists():
        table = str(out / name / "training.csv")
        code = "from bench.techniques import count_work; import sys; print(count_work(*sys.argv[1:]))"
        done = subprocess.run(
            [sys.executable, "-c", code, name, technique, table], check=True, capture_output=True, text=True
        )
        file.write_text(done.stdout.split()[-1])
    return float(file.read_text())


def count_work(name: str, technique: str, table: str) -> float:
    """Take some steps of a run, and count."""
    from embedder.config import Config
    from embedder.data.loading import make_loader
    from embedder.data.photos import EpochBatches
    from embedder.train import main as train
    from embedder.trainer import Trainer
    from eval.command import parse

    arguments = f"--config configs/{name}.yaml --data.name null --data.root {table} --data.validation none"
    _, given = parse(train, [*arguments.split(), *TECHNIQUES[technique].split()])
    groups = {key: value for key, value in given.items() if key in Config.__dataclass_fields__}
    run = Trainer(replace(Config(**groups), train=replace(given["train"], epochs=20)), Path("nowhere"))
    run.log = argparse.Namespace(step=lambda *_: None)
    loader = make_loader(run.data.views, EpochBatches(run.sampler, 0, 2 * STEPS))
    began = 0.0
    for number, (images, labels, _) in enumerate(loader):
        if number == STEPS:
            began = time.process_time()
        run._step(images, labels)
    return time.process_time() - began


def show(out: Path) -> None:
    """The table of what there is."""
    print("| photos | technique | seeds | epochs | work | recall@1 | MAP@R | recall@1 less base | MAP@R less base |")
    print("|" + "---|" * 9)
    for name in EPOCHS:
        for technique in TECHNIQUES:
            folders = {one: out / name / slug(one) for one in ("base", technique)}
            seeds = [path.parent.name for path in sorted(folders[technique].glob("*/result.json"))]
            seeds = [seed for seed in seeds if (folders["base"] / seed / "result.json").exists()]
            if not seeds:
                continue
            results = [json.loads((folders[technique] / seed / "result.json").read_text()) for seed in seeds]
            cells = [f"{np.mean([one[metric] for one in results]):.3f}" for metric in METRICS]
            apart = differences(
                [folders["base"] / seed for seed in seeds], [folders[technique] / seed for seed in seeds]
            )
            first = results[0]
            row = [name, technique, len(seeds), first["epochs"], f"{first['work']:.2f}", *cells]
            print("|", " | ".join(map(str, [*row, *(apart if technique != "base" else ["", ""])])), "|")


def differences(first: list[Path], second: list[Path]) -> list[str]:
    """How much better each query is by the second, the mean over seeds, with an interval over other classes."""
    sides = []
    for folders in (first, second):
        evaluations = [evaluate(EmbeddingSet.load(folder / "vectors"), None, [1]) for folder in folders]
        sides.append({one: np.mean([found.per_query[one] for found in evaluations], axis=0) for one in METRICS})
    apart = class_intervals(
        {one: sides[1][one] - sides[0][one] for one in METRICS}, evaluations[0].codes, bounds=(-1.0, 1.0)
    )
    return [
        f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]{'' if one.low > 0 or one.high < 0 else ' no effect seen'}"
        for one in (apart[metric] for metric in METRICS)
    ]


def module(arguments: str) -> None:
    """Run one command."""
    subprocess.run([sys.executable, "-m", *arguments.split()], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
