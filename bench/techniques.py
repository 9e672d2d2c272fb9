"""Which techniques of fine-grained recognition help: each by itself against the same recipe, at equal work.

    python -m bench.techniques run CARS98 BIRDS100 [--seeds 0,1] [--only mixup parts-centres]
        [--sets cars98] [--epochs 6,3] [--options="--train.warmup 0.1"] [--test]
    python -m bench.techniques table [--results bench/measured/screen.jsonl]
    python -m bench.techniques options

Chosen on held-out training classes: trained on classes 1-44 of cars98 and 1-35 of birds100, and measured by classes
45-66 and 36-50, after the last epoch. A technique that makes a step dearer has the fewer epochs: first the work of its
steps is measured beside the base recipe's, step by step in turn, and each has about the work of the base recipe, in
whole epochs. What differs in how photos are seen alone is exported from one training. ``run`` adds a line a run to the
results and leaves out what has one; two may run beside each other, of other sets. --options are of embedder.train, for
all of them.
``table`` shows what there is, ``options`` what each technique sets. After all choices, and once, ``--test`` trains on
all training classes and measures by the test classes, 67-98 and 51-100, with ``--results`` of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench.ablations import LARGER, PLAIN, SETS, SIZES, TECHNIQUES, VIEWS, slug, trained_as
from bench.differences import (
    METRICS,
    Result,
    Results,
    add_results,
    differences,
    few_classes,
    mean,
    read_of_kind,
    read_results,
    scores,
)
from bench.photo_tables import write_tables
from bench.processes import run_module
from bench.recipes import check_names, digest, recipe
from bench.work import query_work
from eval.embeddings import EmbeddingSet
from eval.metrics import title


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run, table, _ = (commands.add_parser(name) for name in ("run", "table", "options"))
    run.add_argument("cars98")
    run.add_argument("birds100")
    run.add_argument("--seeds", default="0,1")
    run.add_argument("--only", nargs="*", default=[*map(slug, TECHNIQUES)], help="techniques, with - for blanks")
    run.add_argument("--sets", default=",".join(SETS), help="one of them alone, so that two may run beside each other")
    run.add_argument("--epochs", default="6,3", help="of the base recipe")
    run.add_argument("--options", default="", help="of embedder.train, for the base recipe and all others")
    run.add_argument("--test", action="store_true", help="measure by the test classes")
    for one in (run, table):
        one.add_argument("--results", type=Path, default=Path("bench/measured/screen.jsonl"))
    options = parser.parse_args()
    if options.command == "options":
        show_options()
    elif options.command == "table":
        show(read_results(options.results))
    else:
        measure_all(options)


def measure_all(options: argparse.Namespace) -> None:
    check_names("--only", options.only, [*map(slug, TECHNIQUES)])
    check_names("--sets", options.sets.split(","), [*SETS])
    work = Path("bench/runs") / options.results.stem
    epochs = dict(zip(SETS, map(int, options.epochs.split(",")), strict=True))
    sets = [name for name in SETS if name in options.sets.split(",")]
    by = {"measured by": "test" if options.test else "held out", "options": options.options}
    kinds = {name: {**by, "of base": epochs[name]} for name in SETS}
    read_of_kind(options.results, lambda one: kinds[one["photos"]])
    for name in sets:
        write_tables(name, getattr(options, name), work, options.test)
    for seed in map(int, options.seeds.split(",")):
        for technique in TECHNIQUES:
            for name in sets:
                wanted = technique == "base" or slug(technique) in options.only
                if wanted and not is_base(name, technique, options.options, work):
                    measure(name, technique, seed, kinds[name], work, options.results)


def measure(name: str, technique: str, seed: int, kind: Result, out: Path, results: Path) -> None:
    """Train, embed and evaluate what is not among the results yet; ``kind`` says by what and beside what."""
    before = runs(read_results(results), name, technique)
    if seed in before:
        return
    settings = digest(recipe(*training(name, technique, kind["options"], out)))
    if any(one.get("settings", settings) != settings for one in before.values()):
        raise ValueError(f"{results} holds {technique!r} by other settings; give another --results")
    folder, source = run_folder(name, technique, seed, out), trained_as(technique)
    if source == technique:
        cost = trained(name, technique, seed, kind, out, results)
    else:
        measure(name, source, seed, kind, out, results)
        cost = {"training of": source, **trained(name, source, seed, kind, out, results)}
        see_otherwise(name, technique, run_folder(name, source, seed, out) / "run", folder)
    embedder = next(folder.rglob("embedder.onnx"))
    found, one = scored(embedder, out / name / "held-out.csv", folder), next(iter(before.values()), None)
    query = one["query work"] if one else query_work(embedder, base_embedder(name, kind["options"], out))
    result = {"photos": name, "technique": technique, "seed": seed, "settings": settings, **kind, **cost}
    result |= {"query work": round(query, 3), **found}
    if technique not in {trained_as(one) for one in TECHNIQUES if one != technique}:
        shutil.rmtree(folder)
    add_results(results, [result])


def run_folder(name: str, technique: str, seed: int, out: Path) -> Path:
    return out / name / slug(technique) / str(seed)


def scored(embedder: Path, photos: Path, folder: Path) -> Result:
    """How well photos are found among each other; their vectors stay in the folder."""
    run_module(folder, ["embedder.embed", embedder, photos, "--out", folder / "vectors"])
    return scores(EmbeddingSet.load(folder / "vectors"))


def trained(name: str, technique: str, seed: int, kind: Result, out: Path, results: Path) -> Result:
    """What a training cost, which is made now unless it is at hand.

    Raises:
        ValueError: it has been made before, and is another one now, so views of it would be of another.
    """
    before = runs(read_results(results), name, technique)
    folder, done = run_folder(name, technique, seed, out), before.get(seed)
    known = done and {one: done[one] for one in ("epochs", "seconds", "work")}
    if known and (folder / "run" / "embedder.onnx").exists():
        return known
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unchecked = folder / "unchecked"
    one = next(iter(before.values()), None)
    work = one["work"] if one else step_work(name, technique, kind["options"], out, folder)
    epochs, began = max(1, round(kind["of base"] / work)), time.perf_counter()
    last = ["--seed", seed, "--train.epochs", epochs, "--run", unchecked]
    run_module(folder, ["embedder.train", *training(name, technique, kind["options"], out), *last])
    cost = {"epochs": epochs, "seconds": round(time.perf_counter() - began), "work": round(work, 3)}
    if done and scored(unchecked, out / name / "held-out.csv", folder)["classes"] != done["classes"]:
        shutil.rmtree(folder)
        raise ValueError(f"{folder} was not the training that {results} has of its seed; give another --results")
    unchecked.rename(folder / "run")
    return known or cost


def see_otherwise(name: str, technique: str, run: Path, folder: Path) -> None:
    """Export a run with a technique's views."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    views = ["whole", *(view for option, view in VIEWS.items() if option in TECHNIQUES[technique])]
    size = ["--size", SIZES[name]["larger"]] if LARGER in TECHNIQUES[technique] else []
    run_module(folder, ["embedder.export", run, "--views", ",".join(views), *size, "--out", folder / "embedder.onnx"])


def base_embedder(name: str, options: str, out: Path) -> Path:
    """An embedder of the base recipe: one that was measured, or, where none is left, one of a single epoch."""
    for trained in (out / name).glob("base*/**/embedder.onnx"):
        return trained
    folder = out / name / f"base-{os.getpid()}"
    folder.mkdir()
    last = ["--train.epochs", 1, "--run", folder / "run"]
    run_module(folder, ["embedder.train", *training(name, "base", options, out), *last])
    return folder / "run" / "embedder.onnx"


def training(name: str, technique: str, options: str, out: Path) -> list[str]:
    """The options of embedder.train, those that all have included."""
    table = out / name / "training.csv"
    fixed = ["--config", f"configs/{name}.yaml", "--data.name", "null", "--data.root", str(table)]
    own = f"{PLAIN} {options} {TECHNIQUES[technique]}".format(**SIZES[name])
    return [*fixed, "--data.validation", "none", *own.split()]


def step_work(name: str, technique: str, options: str, out: Path, folder: Path) -> float:
    """How much dearer a step is than the base recipe's, in seconds of the processor."""
    if technique == "base":
        return 1.0
    sides = [[*training(name, one, options, out), "--data.workers", "0"] for one in ("base", technique)]
    code = "import json, sys; from bench.work import compare_steps; print(compare_steps(*json.loads(sys.argv[1])))"
    command = [sys.executable, "-c", code, json.dumps(sides)]
    with (folder / "said.txt").open("a") as said:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=said, text=True)
    return float(done.stdout.split()[-1])


def show_options() -> None:
    """What each technique sets, of cars98's sizes."""
    print("| technique | options |\n|---|---|")
    for technique, options in TECHNIQUES.items():
        if options:
            print(f"| {technique} | `{options.format(**SIZES['cars98'])}` |")


def show(results: list[Result]) -> None:
    """The table of what there is."""
    print("| photos | technique | seeds | epochs | work of a step | of a query | recall@1 | MAP@R ", end="")
    print("| recall@1 minus base | MAP@R minus base |\n|" + "---|" * 10)
    for name in SETS:
        for technique in [one for one in TECHNIQUES if runs(results, name, "base") and runs(results, name, one)]:
            rows = [*runs(results, name, technique).values()]
            epochs, *works = (np.mean([one[key] for one in rows]) for key in ("epochs", "work", "query work"))
            cells = [name, technique, len(rows), f"{epochs:g}", *(f"{one:.2f}" for one in works)]
            cells += [mean(rows, metric) for metric in METRICS]
            more = ["", ""] if technique == "base" else against_base(results, name, technique).values()
            print("|", " | ".join(map(str, [*cells, *more])), "|")
    for name in SETS:
        base = runs(results, name, "base")
        for technique in TECHNIQUES:
            other = trained_as(technique)
            found = {
                seed: one for seed, one in runs(results, name, technique).items() if one.get("training of") == other
            }
            if found and other not in ("base", technique) and runs(results, name, other):
                less = differences({other: runs(results, name, other), technique: found}, other, technique)
                told = "; ".join(f"{title(metric)} {value}" for metric, value in less.items())
                print(f"\n{name}: {technique}, against {other}, the same trainings: {told}")
        if remark := base and few_classes(next(iter(base.values()))):
            print(f"\n{name}: {remark}")


def against_base(results: list[Result], name: str, technique: str) -> dict[str, str]:
    """How much better a technique is than the base, by all trainings; by the base's alone where it is one of these."""
    source = trained_as(technique)
    beside = ["base"] if source == "base" else [one for one in TECHNIQUES if trained_as(one) == one != source]
    return differences({one: runs(results, name, one) for one in (*beside, technique)}, "base", technique)


def runs(results: list[Result], name: str, technique: str) -> Results:
    """The runs of a technique by their seeds."""
    return {one["seed"]: one for one in results if (one["photos"], one["technique"]) == (name, technique)}


def is_base(name: str, technique: str, options: str, out: Path) -> bool:
    """Whether a technique with another name is nothing else than the base recipe."""
    if technique == "base":
        return False
    return recipe(*training(name, technique, options, out)) == recipe(*training(name, "base", options, out))


if __name__ == "__main__":
    main()
