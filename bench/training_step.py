"""Training steps a second: Fieldmark's loop against the plain PyTorch loop, in one run on one machine.

    python -m bench.training_step [--size 224] [--batch 32] [--steps 12] [--rounds 3]

Each way runs in a process of its own (the allocator setting is a process's), the ways take turns, and the first three
steps of each are not counted. Same backbone, same loss, same optimiser, photos already in memory; Fieldmark's step
is the trainer's own, with clipping, log and signs of collapse.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.processes import in_a_process
from embedder.data.drawing.field_guide import SPECIES
from embedder.data.drawn_birds import draw_photos

if TYPE_CHECKING:
    from torch import Tensor

WAYS = ("plain", "fieldmark, batch norm trained", "fieldmark")
WARM_UP = 3
CLASSES, PHOTOS_PER_CLASS = 48, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(images_per_second(options.way, options.size, options.batch, options.steps)))
        return
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(options.rounds):
        for way in WAYS:
            rates[way].append(in_a_process("bench.training_step", way))
        print(f"round {turn + 1}: " + ", ".join(f"{way} {values[-1]:.1f}" for way, values in rates.items()), flush=True)
    plain = statistics.median(rates["plain"])
    print(f"\nimages/s at {options.size} px, batch {options.batch}, median of {options.rounds}:")
    for way, values in rates.items():
        print(f"  {way:32s} {statistics.median(values):7.1f}   {statistics.median(values) / plain:5.2f} x plain")


def images_per_second(way: str, size: int, batch: int, steps: int) -> float:
    """Time ``steps`` training steps."""
    import torch

    torch.manual_seed(0)
    images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.arange(batch) // PHOTOS_PER_CLASS
    step = plain_step(images, labels) if way == "plain" else fieldmark_step(images, labels, way == "fieldmark")
    for _ in range(WARM_UP):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return batch * steps / (time.perf_counter() - started)


def plain_step(images: "Tensor", labels: "Tensor") -> Callable[[], None]:
    """The loop as the examples of metric-learning libraries write it."""
    import timm
    import torch
    from pytorch_metric_learning.losses import ProxyAnchorLoss

    network = timm.create_model("tf_efficientnet_lite0", num_classes=256).train()
    loss = ProxyAnchorLoss(CLASSES, 256)
    optimizer = torch.optim.AdamW([*network.parameters(), *loss.parameters()], lr=1e-4)
    pixels = images.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1

    def step() -> None:
        optimizer.zero_grad()
        loss(network(pixels), labels).backward()
        optimizer.step()

    return step


def fieldmark_step(images: "Tensor", labels: "Tensor", freeze_batch_norm: bool) -> Callable[[], None]:
    """The trainer's own step, with everything that it does in one."""
    from embedder.config import Config, DataSettings, ModelSettings, TrainSettings
    from embedder.log import RunLog
    from embedder.trainer import Trainer

    place = tempfile.TemporaryDirectory()
    folder = Path(place.name)
    draw_photos(folder / "photos", list(SPECIES)[:CLASSES], 1, 32)
    config = Config(
        data=DataSettings(root=str(folder / "photos"), size=images.shape[1], validation="none"),
        model=ModelSettings(freeze_batch_norm=freeze_batch_norm),
        train=TrainSettings(batch_size=len(labels), photos_per_class=PHOTOS_PER_CLASS),
    )
    trainer = Trainer(config, folder)
    trainer.log = RunLog(folder, [], 0)

    def step() -> None:
        assert place  # it is there as long as the step is
        trainer._step(images, labels, labels)  # as rows: any will do

    return step


if __name__ == "__main__":
    main()
