"""CIFAR-10 from scratch on two cores: how long the training takes, and how often the nearest training photos are right.

    python -m bench.cifar ROOT [--out bench/runs] [--options "--train.epochs 14"]

Trains by configs/cifar10.yaml with the lane for a machine without a GPU, and searches for all 10,000 test photos among
the 50,000 that were trained on. knn@10 is the share of test photos of which the vote of the ten nearest is right.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--out", type=Path, default=Path("bench/runs"))
    parser.add_argument("--options", default="", help="further options of embedder.train")
    options = parser.parse_args()
    run, photos = options.out / "cifar10", f"cifar10:{options.root}"
    recipe = ["--config", "configs/cifar10.yaml", "--config", "configs/lanes/small-photos-cpu.yaml"]
    further = ["--data.root", str(options.root), "--run", str(run), "--overwrite", *shlex.split(options.options)]
    began = time.perf_counter()
    step("embedder.train", *recipe, *further)
    print(
        f"training, with everything before and after it: {(time.perf_counter() - began) / 60:.1f} minutes", flush=True
    )
    vectors = {part: options.out / f"cifar10-{part}-vectors" for part in ("test", "train")}
    for part, folder in vectors.items():
        step("embedder.embed", str(run), photos, "--split", part, "--out", str(folder), "--overwrite")
    step("eval.recall", *map(str, vectors.values()), "--k", "1,10")


def step(module: str, *arguments: str) -> None:
    """Run one command."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True)


if __name__ == "__main__":
    main()
