"""Training steps from JPEGs, from a cache of decoded photos and from random tensors: is the loader the bottleneck?

    python -m bench.training_input PHOTOS [--size 224] [--batch 32] [--steps 20] [--rounds 3] [--frozen-stages 0]

PHOTOS is a folder of photos, of which JPEGs of 500 x 375 pixels are pieced together as in bench/embedding.py. The step
is the trainer's own, the loader too; random tensors are made once and used again and again. Each way
runs in a process of its own, the ways take turns, and the first steps of each are not counted.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.embedding import SMALL, piece_together
from bench.processes import in_a_process

WAYS = ("random tensors", "JPEGs", "cached")
WARM_UP = 6
CLASSES, PHOTOS_PER_CLASS = 48, 25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frozen-stages", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("bench/runs/training_input"))
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(images_per_second(options)))
        return
    arrange(options.photos, options.work)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(options.rounds):
        for way in WAYS:
            rates[way].append(in_a_process("bench.training_input", way))
        print(f"round {turn + 1}: " + ", ".join(f"{way} {values[-1]:.1f}" for way, values in rates.items()), flush=True)
    bare = rates["random tensors"]
    print(f"\n| from | images/s at {options.size} px, batch {options.batch} | of random tensors |\n|---|---|---|")
    for way, values in rates.items():
        share = statistics.median(one / other for one, other in zip(values, bare, strict=True))
        print(f"| {way} | {statistics.median(values):.1f} | {share:.3f} |")


def arrange(photos: Path, work: Path) -> None:
    """A folder of photos for each class."""
    piece_together(photos, work / "pieces", CLASSES * PHOTOS_PER_CLASS, SMALL)
    for number, path in enumerate(sorted((work / "pieces").glob("*.jpg"))):
        kind = work / "photos" / f"kind{number % CLASSES:02}"
        kind.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, kind / path.name)


def images_per_second(options: argparse.Namespace) -> float:
    """Time some training steps."""
    import torch

    from embedder.config import Config, DataSettings, ModelSettings, TrainSettings
    from embedder.data.loading import make_loader
    from embedder.data.photos import EpochBatches
    from embedder.log import RunLog
    from embedder.trainer import Trainer

    cache = str(options.work / "cache") if options.way == "cached" else None
    data = DataSettings(root=str(options.work / "photos"), validation="none", size=options.size, cache=cache)
    train = TrainSettings(epochs=1000, batch_size=options.batch, photos_per_class=4)
    model = ModelSettings(frozen_stages=options.frozen_stages)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Config(data=data, model=model, train=train), Path(folder))
        trainer.log = RunLog(Path(folder), [], 0)
        batches = EpochBatches(trainer.sampler, 0, WARM_UP + options.steps)

        def random_batches() -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
            size = (options.batch, options.size, options.size, 3)
            images = torch.randint(0, 256, size, dtype=torch.uint8)
            labels = torch.arange(options.batch) // 4
            while True:
                yield images, labels, labels  # as rows: any will do

        loaded = random_batches() if options.way == "random tensors" else make_loader(trainer.data.views, batches)
        start = 0.0
        for step, batch in enumerate(loaded):
            if step == WARM_UP:
                start = time.perf_counter()
            if step == WARM_UP + options.steps:
                break
            trainer._step(*batch)
        seconds = time.perf_counter() - start
    return options.batch * options.steps / seconds


if __name__ == "__main__":
    main()
