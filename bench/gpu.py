"""Training, bf16, resumption and embedding on a GPU, in one call of at most ten minutes.

    python -m bench.gpu [--device cuda] [--epochs 3] [--out bench/runs/gpu] [--backbone efficientnet-lite0]

Draws birds, trains in 32 bits and in bf16, stops one training in its middle and goes on with it, and embeds with torch
in bf16 and with ONNX Runtime, from pixels and from files. Prints images/s, recall@1 on unseen species, the least cosine
between the engines' vectors, and whether the resumed weights are the same bits. `--device cpu` tries the script itself
out.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from embedder import Embedder, checkpoint, gpu
from embedder.batches import embed_whole
from embedder.config import Config, DataSettings, ModelSettings, TrainSettings
from embedder.data.catalog import read_catalog
from embedder.data.splits import part
from embedder.train import fit
from embedder.trainer import Trainer
from embedder.validation import validate
from eval.images import open_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--backbone", default="efficientnet-lite0")
    parser.add_argument("--weights", default="pretrained")
    parser.add_argument("--out", type=Path, default=Path("bench/runs/gpu"))
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    if options.device == "cuda":
        print(torch.cuda.get_device_name(), torch.__version__)
    config = Config(
        data=DataSettings(name="drawn_birds", size=options.size, validation="none", workers=options.workers),
        model=ModelSettings(backbone=options.backbone, weights=options.weights),
        train=TrainSettings(epochs=options.epochs, accelerator=options.device, precision="32", deterministic=True),
    )
    train(config, options.out / "float32")
    train(with_train(config, precision="bf16", deterministic=False), options.out / "bf16")
    resume(config, options.out)
    embed(config, options.out / "float32", options.device)


def with_train(config: Config, **changes: Any) -> Config:
    """The settings with other values for the loop."""
    return replace(config, train=replace(config.train, **changes))


def train(config: Config, run: Path) -> None:
    """Train and look at the unseen species."""
    started = time.perf_counter()
    fit(config, run)
    seconds = time.perf_counter() - started
    rows = checkpoint.load(run / "last.ckpt")["rows"]
    trainer = Trainer(config, run)
    trainer.network.load_state_dict(checkpoint.load(run / "best.ckpt")["network"])
    test = part(read_catalog("drawn_birds"), "test")
    scores = validate(trainer.network, test, trainer.preprocessing)
    print(
        f"{run.name}: {rows[-1]['images_per_second']:.0f} images/s in the last epoch, {seconds:.0f} s in all, "
        f"recall@1 of unseen species {scores['recall@1']:.4f}",
        flush=True,
    )


def resume(config: Config, out: Path) -> None:
    """Stop a training in its middle, go on, and compare the bits with those of one that was not stopped."""
    stop_at = Trainer(config, out / "looked-at").steps // 2
    step = Trainer._step

    def dying(self: Trainer, *batch: torch.Tensor) -> None:
        if self.step == stop_at:
            raise InterruptedError
        step(self, *batch)

    Trainer._step = dying  # type: ignore[assignment, method-assign]
    try:
        fit(with_train(config, checkpoint_minutes=0.05), out / "stopped")
    except InterruptedError:
        pass
    finally:
        Trainer._step = step  # type: ignore[method-assign]
    fit(config, out / "stopped")
    one, other = (checkpoint.load(out / name / "last.ckpt")["network"] for name in ("float32", "stopped"))
    same = all(torch.equal(value, other[name]) for name, value in one.items())
    print(f"stopped at step {stop_at} and resumed: {'the same bits' if same else 'other bits'}", flush=True)


def embed(config: Config, run: Path, device: str) -> None:
    """Embed the unseen species with torch in bf16 and with ONNX Runtime."""
    embedder = Embedder.open(run)
    test = part(read_catalog("drawn_birds"), "test")
    pixels = np.stack([embedder.preprocessing(open_image(test.file(row))) for row in range(len(test))])
    trainer = Trainer(config, run)
    trainer.network.load_state_dict(checkpoint.load(run / "best.ckpt")["network"])
    network = trainer.network.eval()

    @torch.no_grad()
    def in_torch(batch: np.ndarray) -> np.ndarray:
        with torch.autocast(device, torch.bfloat16):
            return network(torch.from_numpy(batch).to(device)).vector.float().cpu().numpy()

    exported = timed("ONNX Runtime on the CPU", embedder.vectors, pixels, 32)
    vectors = timed(f"torch in bf16 on {device}", in_torch, pixels, 256)
    print(f"least cosine between the two: {(vectors * exported).sum(axis=1).min():.5f}")
    gpu.WORTH_IT = 1
    used = gpu.on_gpu(embedder, test)
    started = time.perf_counter()
    embed_whole(embedder, test)
    rate = len(test) / (time.perf_counter() - started)
    print(f"from files with ONNX Runtime on the {'GPU' if used else 'CPU'}, starting it included: {rate:.0f} images/s")


def timed(name: str, vectors: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, size: int) -> np.ndarray:
    """All vectors, in batches of ``size``; prints the rate after one batch that is not counted."""
    vectors(pixels[:size])
    started = time.perf_counter()
    parts = [vectors(pixels[first : first + size]) for first in range(0, len(pixels), size)]
    print(f"{name}: {len(pixels) / (time.perf_counter() - started):.0f} images/s", flush=True)
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
