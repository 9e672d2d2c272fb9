"""What each of several processes of a training runs in the tests: ``torchrun rank_worker.py JOBS``.

A job is a dictionary of ``config`` (as ``dataclasses.asdict`` gives it), ``run`` (the folder), and what is to happen to
which rank: ``{"rank": 1, "step": 3, "what": "die"}``.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from embedder import checkpoint, trainer
from embedder.checkpoint import LAST
from embedder.config import (
    AugmentSettings,
    Config,
    DataSettings,
    LossSettings,
    MixSettings,
    ModelSettings,
    TrainSettings,
)
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches
from embedder.ranks import bounds
from embedder.train import fit
from embedder.trainer import Trainer, export_best
from eval.command import run as run_command
from eval.errors import InputError

HAPPENS = {
    "die": lambda: os._exit(7),
    "lose a photo": lambda: (_ for _ in ()).throw(InputError("gone.jpg: it is not there any more")),
    "be asked to stop": lambda: os.kill(os.getpid(), signal.SIGTERM),
}


def settings(plain: dict[str, Any]) -> Config:
    """The settings that ``dataclasses.asdict`` made plain."""
    kinds = {
        "data": DataSettings,
        "augment": AugmentSettings,
        "mix": MixSettings,
        "model": ModelSettings,
        "loss": LossSettings,
    }
    kinds["train"] = TrainSettings
    return Config(**{key: kinds[key](**value) if key in kinds else value for key, value in plain.items()})


def first_gradients(config: Config, folder: Path) -> dict[str, torch.Tensor]:
    """The gradients of a run's first step."""
    run = Trainer(config, folder)
    images, labels, _ = next(make_loader(run.data.views, EpochBatches(run.sampler, 0, 1, run.ranks)))
    run.network.train()
    first, _ = bounds(run.sampler.batch_size, run.ranks.rank, run.ranks.count)
    images, whole = run.attended(0, images, run.gradients.places, first)
    images, mixed = run.mixing(0, images, labels, run.gradients.places)
    run.gradients.add(0, images, labels, run.sampler.batch_size, mixed, run.mixing.between_weight(0), whole)
    return gradients_of(run)


def gradients_of(run: Trainer) -> dict[str, torch.Tensor]:
    """What a step has left in the parameters."""
    named = [*run.network.named_parameters(), *run.loss.named_parameters()]
    return {name: parameter.grad for name, parameter in named if parameter.grad is not None}


def do(job: dict[str, Any]) -> None:
    """Train, with whatever is to happen; nothing is exported."""
    if "roots" in job:  # as if each rank were on a machine of its own
        os.environ |= {"GROUP_RANK": os.environ["RANK"], "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
        job["config"]["data"]["root"] = job["roots"][os.environ["RANK"]]
    config, run, fate, step = settings(job["config"]), Path(job["run"]), job.get("fate"), Trainer._step

    def fated(self: Trainer, *batch: torch.Tensor) -> None:
        if fate and (self.ranks.rank, self.step) == (fate["rank"], fate["step"]):
            HAPPENS[fate["what"]]()
        step(self, *batch)

    def slow(path: Path, state: dict[str, Any]) -> None:
        time.sleep(bool(fate))
        save(path, state)

    Trainer._step = fated
    trainer.export_best = lambda *_: None  # it takes longer than the training
    save, checkpoint.save = checkpoint.save, slow
    try:
        if "gradients" in job:
            found = first_gradients(config, run)
            torch.save(found, f"{job['gradients']}-{os.environ['RANK']}.pt")
        else:
            fit(config, run)
    except KeyboardInterrupt:
        if not (fate and fate["what"] == "be asked to stop"):
            raise
        assert checkpoint.load(run / LAST)["step"] == fate["step"] + 1  # whoever goes first would end the others
    finally:
        Trainer._step, trainer.export_best, checkpoint.save = step, export_best, save


def main(jobs: Path) -> None:
    """Do every job of a file.

    Args:
        jobs: a JSON file.
    """
    for job in json.loads(jobs.read_text()):
        do(job)


if __name__ == "__main__":
    run_command(main, sys.argv[1:])
