"""Gradient caching: what a step with a batch of 1,024 takes in chunks of 64, beside one of 64 and one of 1,024 at once.

    python -m bench.caching [--size 64]

Each in a process of its own. Memory is what the steps add to the process at its peak, beside the photos themselves;
time is the median of the steps.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import median

from bench.process_memory import process_memory
from bench.processes import in_a_process

WAYS = {"64": (64, 0), "1,024 in chunks of 64": (1024, 64), "1,024 at once": (1024, 0)}
CLASSES, PER_CLASS = 256, 4


def main() -> None:
    """Run every way and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--backbone", default="efficientnet-lite0")
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(*WAYS[options.way], options.size, options.steps, options.backbone)))
        return
    found = {}
    for way in WAYS:
        added, seconds, photos = in_a_process("bench.caching", way)
        found[way] = added, seconds
        print(
            f"{way:22} {added / 1e6:6.0f} MB beside {photos / 1e6:.1f} MB of photos, {seconds:.2f} s a step", flush=True
        )
    small, chunked, whole = found.values()
    print(f"memory: {chunked[0] / small[0]:.2f} times that of 64 (at once: {whole[0] / small[0]:.1f} times)")
    print(
        f"time: {chunked[1] / whole[1]:.2f} times that of 1,024 at once, {chunked[1] / small[1] / 16:.2f} of 16 of 64"
    )


def measure(batch: int, chunk_size: int, size: int, steps: int, backbone: str) -> tuple[int, float, int]:
    """Bytes that a step adds to the process, seconds that it takes, and bytes of its photos."""
    import torch

    from embedder.config import LossSettings, ModelSettings, TrainSettings
    from embedder.gradients import Gradients
    from embedder.losses import build_loss
    from embedder.model.network import build_network
    from embedder.optimizer import Optimizer
    from embedder.ranks import join

    fabric, ranks = join(TrainSettings(accelerator="cpu"))
    network = build_network(ModelSettings(backbone, weights="random")).to(memory_format=torch.channels_last)
    loss = build_loss(LossSettings("proxy-anchor"), CLASSES, network.dimension)
    optimizer = Optimizer(network, loss, 100.0, TrainSettings(), fabric)
    gradients = Gradients(fabric, ranks, optimizer, loss, 0, chunk_size)
    images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8)
    labels = torch.arange(batch) // PER_CLASS
    network.train()
    before = process_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    seconds = []
    for step in range(steps):
        started = time.perf_counter()
        gradients.add(step, images, labels, batch)
        optimizer.step(1.0)
        seconds.append(time.perf_counter() - started)
    return process_memory("VmHWM") - before, median(seconds), images.numel()


if __name__ == "__main__":
    main()
