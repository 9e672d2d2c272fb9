"""The training loop: one run from its first step to its exported embedder.

Everything random is a function of the seed and of where the run stands, so a checkpoint holds weights and counters but
no generator state, and a resumed run ends with the same bits as one that was never stopped.
"""

import hashlib
import json
import math
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from embedder import checkpoint
from embedder.batches import report_left_out
from embedder.checkpoint import BEST, LAST
from embedder.collapse import batch_statistics, looks_collapsed
from embedder.config import Config, DataSettings, TrainSettings
from embedder.data.catalog import read_source
from embedder.data.loading import BESIDE_GPU, make_loader
from embedder.data.photos import EpochBatches, check_photos, load_training_photos
from embedder.data.sampler import ClassBalancedSampler
from embedder.data.splits import is_zero_shot, split
from embedder.export import export
from embedder.interrupt import interrupts
from embedder.log import Row, RunLog
from embedder.memory import keep_freed_memory
from embedder.model.backbone import pretraining
from embedder.model.network import Network, build_network, parameter_groups
from embedder.prefixes import build_prefix_loss
from embedder.preprocess import Interpolation, Preprocessing
from embedder.randomness import keyed_generator
from embedder.runtime import EMBEDDER
from embedder.validation import validate
from eval.errors import InputError, first_few
from eval.files import replacing
from eval.metrics import title
from eval.stages import awaited, stage

TRAINED_ON = "trained_on.npy"
SELECTION = "map@r"
"""What the best epoch is chosen by: less noisy than recall@1 (Musgrave et al. 2020, section 3.2)."""


class Trainer:
    """A run's parts, where it stands, and what it has seen in the epoch so far."""

    def __init__(self, config: Config, folder: Path) -> None:
        """Build every part; nothing is written yet.

        Raises:
            InputError: settings and photos cannot be used together.
        """
        self.config, self.folder = config, folder
        self.fabric = make_fabric(config.train)
        with stage("check the photos"):
            self._load_photos()
        with stage("build the network"):
            self._build()
        self.step = 0
        self.seen: dict[str, Any] = {}
        self.best, self.best_epoch = -math.inf, 0

    def _load_photos(self) -> None:
        """Read the catalog and split it; leave out what cannot be decoded."""
        data = self.config.data
        catalog = read_source(data.name, data.root)
        self.protocol = "zero-shot" if is_zero_shot(catalog, data.protocol) else "closed-set"
        parts = split(catalog, data.protocol, data.validation, self.config.seed)
        self.photos, self.ids, left_out, self.dataset = load_training_photos(parts.training, self.config)
        self.validation, held_out_ids, also_left_out = check_photos(parts.validation, data.on_bad_image)
        report_left_out([*left_out, *also_left_out])
        if not len(self.validation) and data.validation == "auto" and self.config.train.epochs:
            self._say("no class has photos to spare for validation, so the last epoch is exported, not the best")
        alone = [label for label, count in Counter(self.photos.labels).items() if count == 1]
        if alone and self.config.train.epochs:
            named = first_few(list(map(str, alone)))
            self._say(f"classes with a single photo to train on, of which views must do: {len(alone)} ({named})")
        self.catalog_digest = catalog.digest()
        seen = [self.ids, self.photos.labels, held_out_ids, self.validation.labels]
        self.photos_digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest()

    def _build(self) -> None:
        """Make sampler, network, loss and optimiser; the same seed makes the same weights."""
        config, train = self.config, self.config.train
        self.sampler = ClassBalancedSampler(self.photos.codes, train.batch_size, train.photos_per_class, config.seed)
        self.steps = train.epochs * self.sampler.steps
        self._check_settings()
        torch.manual_seed(config.seed)
        self.network: Network = build_network(config.model).to(memory_format=torch.channels_last)
        for size in {config.data.size, config.data.test_size or config.data.size}:
            self.network.check_size(size)
        self.preprocessing = make_preprocessing(config.data, self.network)
        self.loss = build_prefix_loss(config.loss, len(self.photos.classes), self.network.dimension)
        self.loss.to(self.fabric.device)
        groups = parameter_groups(self.network, train.learning_rate, train.head_rate, train.weight_decay)
        rate = train.learning_rate * (self.loss.rate if train.loss_rate is None else train.loss_rate)
        groups.append({"params": list(self.loss.parameters()), "lr": rate, "weight_decay": 0.0})
        groups = [{**group, "peak": group["lr"]} for group in groups if group["params"]]
        self.network.to(self.fabric.device)
        if train.epochs:
            if not groups:
                raise InputError("nothing can be trained: the backbone is frozen, and head and loss have no weights")
            self.forward, self.optimizer = self.fabric.setup(self.network, torch.optim.AdamW(groups))
        average = get_ema_multi_avg_fn(train.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True) if train.ema else None

    def _check_settings(self) -> None:
        """Refuse settings that could do nothing in this run."""
        loss, steps = self.config.loss, self.steps
        if loss.memory and steps and loss.memory_start >= steps:
            raise InputError(
                f"loss.memory_start is {loss.memory_start}, but the run has {steps} steps, so the memory would never "
                "be used; lower it"
            )
        if 0 < loss.memory < self.sampler.batch_size:
            raise InputError(f"loss.memory is {loss.memory}, less than a batch of {self.sampler.batch_size} photos")
        if self.config.train.patience and not len(self.validation):
            raise InputError(
                f"train.patience is {self.config.train.patience}, but nothing is held out to look at; set it to 0, or "
                "data.validation to classes or photos"
            )

    @property
    def evaluated(self) -> Network:
        """The network that is validated and exported: the averaged one where weights are averaged."""
        return cast(Network, self.average.module) if self.average else self.network

    def train(self) -> None:
        """Take up the last checkpoint where there is one, run every step that is left, export the best weights.

        Raises:
            InputError: the checkpoint is of other photos, or the training has diverged.
            KeyboardInterrupt: Ctrl-C or SIGTERM came; the state was saved first.
        """
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink()
        rows = self._resume() if (self.folder / LAST).exists() else []
        self.log = RunLog(self.folder, rows, self.step)
        if not rows:
            self._finish_epoch()
        if self.step < self.steps and not self._is_stale():
            self._run_steps()
        self.log.close()
        with stage("export"):
            self._export()

    def _run_steps(self) -> None:
        """Take every step that is left, unless the validation stops getting better or a signal comes."""
        train = self.config.train
        batches = EpochBatches(self.sampler, self.step, self.steps)
        ahead = 0 if self.fabric.device.type == "cpu" else BESIDE_GPU
        loader = make_loader(self.dataset, batches, self.config.data.workers, ahead)
        saved = clock = time.perf_counter()
        with interrupts() as stop, tqdm(total=self.steps, initial=self.step, unit="step", dynamic_ncols=True) as bar:
            for images, labels, _ in awaited("wait for photos", loader):
                self._step(images, labels)
                self.seen["seconds"] = self.seen.get("seconds", 0.0) + time.perf_counter() - clock
                bar.update()
                finished = self.step % self.sampler.steps == 0
                if finished:
                    bar.set_postfix_str(self._finish_epoch())
                if finished or stop.is_set() or time.perf_counter() - saved > 60 * train.checkpoint_minutes:
                    with stage("save"):
                        self._save()
                    saved = time.perf_counter()
                if stop.is_set():
                    bar.close()
                    self._say(f"stopped at step {self.step} of {self.steps}; the same command goes on from there")
                    raise KeyboardInterrupt
                if finished and self._is_stale():
                    self._say(f"stopped early: no better validation for {train.patience} epochs")
                    break
                clock = time.perf_counter()

    def _step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Take one step of the optimiser."""
        torch.manual_seed(int(keyed_generator("step", self.config.seed, self.step).integers(2**63)))
        share = learning_rate_share(self.step, self.steps, self.config.train.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = share * group["peak"]
        self.network.train()
        with stage("forward"):
            images, labels = self.fabric.to_device((images, labels))
            vectors = self.forward(images).vector
            result = self.loss(vectors, labels)
        with stage("backward"):
            self.fabric.backward(result.value)
        with stage("optimiser"):
            if self.config.train.clip:
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.train.clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.average:
                self.average.update_parameters(self.network)
        self.step += 1
        values = {"loss": result.value.detach(), **result.parts}
        values |= batch_statistics(vectors.detach(), labels, self.loss.margin)
        for name, value in values.items():
            self.seen[name] = self.seen.get(name, 0.0) + value
        self.log.step(self.step, {"loss": values["loss"], "learning_rate_share": share})

    def _finish_epoch(self) -> str:
        """Log the epoch's means and the validation, keep the weights if they are the best; say it in a few words."""
        epoch = self.step // self.sampler.steps
        row: Row = {"epoch": epoch, "step": self.step}
        row |= {name: float(total) / self.sampler.steps for name, total in self.seen.items() if name != "seconds"}
        if seconds := float(self.seen.get("seconds", 0.0)):
            row["seconds"] = seconds
            row["images_per_second"] = self.sampler.steps * self.sampler.batch_size / seconds
        self.seen = {}
        if not math.isfinite(row.get("loss", 0.0)):
            raise InputError(
                f"the training has diverged in epoch {epoch} (loss {row['loss']}); lower train.learning_rate or "
                "train.loss_rate and start anew with --overwrite"
            )
        with stage("validate"):
            row |= validate(self.evaluated, self.validation, self.preprocessing)
        if (epoch > 0 or self.steps == 0) and row.get(SELECTION, math.inf) > self.best:
            self.best, self.best_epoch = (row.get(SELECTION, -math.inf), epoch)
            checkpoint.save(self.folder / BEST, {"network": self.evaluated.state_dict(), "epoch": epoch, "row": row})
        if looks_collapsed(row):
            self._say(
                f"epoch {epoch}: the vectors have collapsed, all photos lie in one place (mean distance of different "
                f"classes {row['negative_distance']:.3f}); lower train.learning_rate or take another loss or miner"
            )
        self.log.epoch(row)
        return ", ".join(f"{name} {row[name]:.3f}" for name in ("loss", "recall@1", SELECTION) if name in row)

    def _is_stale(self) -> bool:
        """Whether the validation has not been better for as long as patience lasts."""
        patience = self.config.train.patience
        return bool(patience and len(self.validation) and self.step // self.sampler.steps - self.best_epoch >= patience)

    def _save(self) -> None:
        """Write everything that is needed to go on exactly here."""
        state = {
            "photos": self.photos_digest,
            "step": self.step,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "seen": {name: float(total) for name, total in self.seen.items()},
            "best": self.best,
            "best_epoch": self.best_epoch,
            "rows": self.log.rows,
        }
        self.log.flush()
        checkpoint.save(self.folder / LAST, state)

    def _resume(self) -> list[Row]:
        """Take up the last checkpoint; return the rows logged so far."""
        state = checkpoint.load(self.folder / LAST)
        if state["photos"] != self.photos_digest:
            raise InputError(
                f"the photos have changed since {self.folder} was started; put them back, give another --run, or "
                "--overwrite to start anew"
            )
        self.step, self.seen = state["step"], state["seen"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self._say(f"going on from step {self.step} of {self.steps}")
        return list(state["rows"])

    def _export(self) -> None:
        """Write ``trained_on.npy`` and, last of all, ``embedder.onnx`` with the best weights."""
        best = checkpoint.load(self.folder / BEST)
        if self.step and best["row"].get(SELECTION, 1.0) < self.log.rows[0].get(SELECTION, 0.0):
            before, after = self.log.rows[0][SELECTION], best["row"][SELECTION]
            self._say(
                f"training made it no better: {SELECTION} was {before:.3f} before and is {after:.3f} after epoch "
                f"{best['epoch']}, which is exported, on {self.log.rows[0]['queries']:.0f} held-out photos; for the "
                "network as it was, train with --train.epochs 0 into another --run"
            )
        self.network.load_state_dict(best["network"])
        with replacing(self.folder / TRAINED_ON) as beside, beside.open("wb") as file:
            np.save(file, np.array(self.ids if self.step else [], dtype="U32"), allow_pickle=False)
        model = self.config.model
        summary = {
            "backbone": model.backbone,
            "pretraining": pretraining(model.backbone, model.weights),
            "pooling": model.pooling,
            **({"loss": self.config.loss.name, "prefixes": self.config.loss.prefixes} if self.step else {"loss": None}),
            "data": self.photos.name,
            "catalog": self.catalog_digest,
            "protocol": self.protocol,
            "photos": len(self.ids) if self.step else 0,
            "classes": len(self.photos.classes) if self.step else 0,
            "classes_trained_on": list(self.photos.classes) if self.step else [],
            "epochs": self.step // self.sampler.steps,
            "best_epoch": best["epoch"],
            "seed": self.config.seed,
            "validation": {name: value for name, value in best["row"].items() if "@" in name or name == "r_precision"},
        }
        export(self.network.cpu().eval(), self.preprocessing, self.folder / EMBEDDER, summary)
        if self.step and SELECTION in best["row"]:
            first, row = self.log.rows[0], best["row"]
            names = ("recall@1", SELECTION)
            scores = ", ".join(f"{title(name)} {first[name]:.3f} -> {row[name]:.3f}" for name in names)
            self._say(f"epoch {best['epoch']} is exported: {scores}, on {row['queries']:.0f} held-out photos")

    def _say(self, text: str) -> None:
        """Tell the user, beside the progress bar."""
        tqdm.write(text, file=sys.stderr)


def make_preprocessing(data: DataSettings, network: Network) -> Preprocessing:
    """How photos are seen in validation and by the exported embedder; resized as the backbone was trained to."""
    interpolation = cast(Interpolation, network.backbone.interpolation)
    return Preprocessing(data.test_size or data.size, data.fit, data.crop_share, interpolation)


def make_fabric(train: TrainSettings) -> Fabric:
    """Device and precision; on a CPU also the allocator setting that makes a step several times faster."""
    try:
        fabric = Fabric(accelerator=train.accelerator, devices=1, precision="32-true")
    except (RuntimeError, ValueError) as error:
        raise InputError(f"train.accelerator {train.accelerator} cannot be used here: {error}") from None
    on_cuda = fabric.device.type == "cuda"
    if fabric.device.type == "cpu":
        keep_freed_memory()
    torch.use_deterministic_algorithms(train.deterministic)
    if train.precision == "bf16" or (train.precision == "auto" and on_cuda and torch.cuda.is_bf16_supported()):
        fabric = Fabric(accelerator=train.accelerator, devices=1, precision="bf16-mixed")
    return fabric


def learning_rate_share(step: int, steps: int, warmup: float) -> float:
    """The learning rate at ``step`` as a share of its peak: a linear rise over ``warmup`` of the steps, then a cosine.

    Loshchilov and Hutter (2017), SGDR, equation 5, without restarts.
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
