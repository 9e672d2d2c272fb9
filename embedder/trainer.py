"""The training loop: one run from its first step to its exported embedder.

Everything random is a function of the seed and of where the run stands, so a checkpoint holds weights and counters but
no generator state, and a resumed run ends with the same bits as one that was never stopped.
"""

import math
import sys
import time
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from embedder import checkpoint
from embedder.augment.attended import AttendedViews, FirstLook
from embedder.augment.mixing import PhotoMixing
from embedder.batch_norm import check_batch_norm, is_left_as_made, settle_batch_norm
from embedder.checkpoint import BEST, LAST
from embedder.collapse import batch_statistics, looks_collapsed
from embedder.config import Config, DataSettings
from embedder.conflicts import comparing_places
from embedder.data.loading import batches_ahead, make_loader
from embedder.data.photos import EpochBatches
from embedder.data.sampler import ClassBalancedSampler
from embedder.gradients import Gradients
from embedder.graph import check_weights
from embedder.interrupt import interrupts
from embedder.log import Means, Row, RunLog, SilentLog
from embedder.model.network import Network, build_network, freeze_unused
from embedder.optimizer import Optimizer, check_trainable
from embedder.outcome import SELECTION, export_best
from embedder.part_centres import PartCentres
from embedder.pooled import PooledPhotos, pool_photos
from embedder.prefixes import build_prefix_loss, check_loss
from embedder.preprocess import Interpolation, Preprocessing
from embedder.ranks import Ranks, bounds, join
from embedder.schedule import learning_rate_share
from embedder.training_data import load_training_data, read_split
from embedder.unfreezing import Unfreezing
from embedder.validation import embed, has_pairs, validate
from eval.errors import InputError
from eval.stages import awaited, stage


class Trainer:
    """A run's parts, where it stands, and what it has seen in the epoch so far."""

    def __init__(self, config: Config, folder: Path, joined: tuple[Fabric, Ranks] | None = None) -> None:
        """Build every part; nothing is written yet.

        Args:
            config: the settings.
            folder: of the run, which the first rank alone reads and writes.
            joined: this process among the ranks, where it has joined them.

        Raises:
            InputError: settings and photos cannot be used together.
        """
        self.config, self.folder = config, folder
        self.fabric, self.ranks = joined or join(config.train)
        with stage("read the catalog"):
            read = read_split(config, self.ranks)
        with stage("build the network"):  # what it does not take is told before photos are decoded, perhaps for hours
            self._build_network()
        with stage("check the photos"):
            self.data = load_training_data(config, self.ranks, *read)
        with stage("build the loss"):
            self._build()
        self.step = 0
        self.means = Means()
        self.best, self.best_epoch = -math.inf, 0

    def _build_network(self) -> None:
        """Make the network, and see whether it takes such photos; the same seed makes the same weights."""
        data = self.config.data
        torch.manual_seed(self.config.seed)
        self.network: Network = build_network(self.config.model).to(memory_format=torch.channels_last)
        check_weights(sum(tensor.numel() for tensor in self.network.state_dict().values()))
        if self.config.train.epochs:
            check_trainable(self.network, self.config.train)
            check_batch_norm(self.network, self.ranks, self.config.train.chunk_size)
            if is_left_as_made(self.network, self.config.model):
                self._say("frozen batch norm of random weights does not normalise; give --no-model.freeze_batch_norm")
        check_loss(self.config.loss, self.network.dimension, self.config.mix)
        self.preprocessing = make_preprocessing(data, self.network)
        test_size = self.preprocessing.seen
        self.network.check_size(test_size)
        self.network.check_size(data.size, comparing_places(self.config), in_training=True)
        if self.config.train.epochs and not data.size <= test_size <= 2 * data.size:
            self._say(
                f"data.test_size is {test_size}, and photos of {data.size} pixels are trained on (data.size); networks "
                "tell most apart in photos of the same size or somewhat larger"
            )

    def _build(self) -> None:
        """Make sampler, loss, optimiser and what changes photos, around the network."""
        config, train, photos = self.config, self.config.train, self.data.photos
        self.sampler = ClassBalancedSampler(photos.codes, train.batch_size, train.photos_per_class, config.seed)
        self.steps = train.epochs * self.sampler.steps
        self._check_settings()
        self.loss = build_prefix_loss(config.loss, len(photos.classes), self.network.dimension, self.ranks, config.mix)
        self.loss.to(self.fabric.device)
        self.centres = self._part_centres()
        if train.epochs:
            freeze_unused(self.network, config.data.size)
            settle_batch_norm(self.network, self.ranks)
        self.network.to(self.fabric.device)
        if train.precision == "64":  # not by Fabric, which makes single-precision vectors of the network's
            self.network.double()
            self.loss.double()
            if self.centres:
                self.centres.double()
        if train.epochs:
            rate = self.loss.rate if train.loss_rate is None else train.loss_rate
            self.optimizer = Optimizer(self.network, self.loss, rate, train, self.fabric)
            self.ranks.align(self.optimizer.replicated)
            alone = self.ranks.count == 1
            self.unfreezing = Unfreezing(self.network.backbone, train.unfreeze, self.steps, alone)
            together = self.fabric, self.ranks, self.optimizer
            self.gradients = Gradients(*together, self.loss, config.seed, train.chunk_size, self.centres)
            run = self.steps, config.seed
            looking = self.network
            first = FirstLook(looking.detail, looking.widest, looking.region) if looking.look == "first" else None
            self.attended = AttendedViews(config.augment, first, self.network.mean, *run)
            self.mixing = PhotoMixing(config.mix, *run, self.ranks.rank)
        self.pooled: PooledPhotos | None = None
        if config.data.feature_views and train.epochs:
            with stage("pool the photos"):
                self.pooled = pool_photos(self.network, self.data, config, self.preprocessing, self.ranks)
        average = get_ema_multi_avg_fn(train.ema)  # type: ignore[no-untyped-call]
        self.average = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True) if train.ema else None

    def _part_centres(self) -> PartCentres | None:
        """What pulls what is seen of a part to what its class shows on the whole; None where nothing does."""
        weight, parts = self.config.loss.part_centre, self.config.model.parts
        if not weight or not self.config.train.epochs or self.network.parts is None:
            return None
        classes, channels = len(self.data.photos.classes), self.network.parts.channels
        return PartCentres(classes, parts, channels, weight).to(self.fabric.device)

    def _check_settings(self) -> None:
        """Refuse settings that could do nothing in this run."""
        loss, steps, wanted = self.config.loss, self.steps, self.config.train.batch_size
        if steps and self.sampler.batch_size <= wanted / 2:
            self._say(
                f"a batch holds {self.sampler.batch_size} photos, not {wanted}: of {len(self.data.photos.classes)} "
                f"classes it takes {self.sampler.photos_per_class} photos each (train.photos_per_class)"
            )
        if loss.memory and steps and loss.memory_start >= steps:
            raise InputError(
                f"loss.memory_start is {loss.memory_start}, but the run has {steps} steps, so the memory would never "
                "be used; lower it"
            )
        if 0 < loss.memory < self.sampler.batch_size:
            raise InputError(
                f"loss.memory is {loss.memory}, less than a batch of {self.sampler.batch_size} photos; raise it, or "
                "lower train.batch_size"
            )
        if self.config.train.patience and not has_pairs(self.data.validation):
            raise InputError(
                f"train.patience is {self.config.train.patience}, but no two photos of a class are held out to look "
                "at; set it to 0, or data.validation to classes or photos"
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
        rows = self._resume()
        self.log = RunLog(self.folder, rows, self.step) if self.ranks.first else SilentLog(rows)
        try:
            if not rows:
                self._finish_epoch()
            if self.step < self.steps and not self._is_stale():
                self._run_steps()
        except (InputError, RuntimeError) as error:
            self.ranks.explain(error)
        finally:
            self.log.close()
        if self.ranks.first:
            with stage("export"):
                export_best(self.folder, self.network, self.preprocessing, self.config, self.data, self.log.rows)

    def _run_steps(self) -> None:
        """Take every step that is left, unless the validation stops getting better or a signal comes."""
        train = self.config.train
        batches = EpochBatches(self.sampler, self.step, self.steps, self.ranks)
        if self.pooled:
            loader = self.pooled.loader(batches)
        else:
            loader = make_loader(self.data.views, batches, self.config.data.workers, batches_ahead(self.fabric.device))
        saved = clock = time.perf_counter()
        bar = tqdm(total=self.steps, initial=self.step, unit="step", dynamic_ncols=True, disable=not self.ranks.first)
        with interrupts() as stop, bar:
            for batch in awaited("wait for photos", loader):
                self._step(*batch)
                self.means.add({"seconds": time.perf_counter() - clock})
                bar.update()
                finished = self.step % self.sampler.steps == 0
                if finished:
                    bar.set_postfix_str(self._finish_epoch())
                late = time.perf_counter() - saved > 60 * train.checkpoint_minutes
                stopped, late = self.ranks.any(stop.is_set(), late)
                if finished or stopped or late:
                    with stage("save"):
                        self._save()
                    saved = time.perf_counter()
                if stopped:
                    bar.close()
                    self._say(f"stopped at step {self.step} of {self.steps}; the same command goes on from there")
                    raise KeyboardInterrupt
                if finished and self._is_stale():
                    self._say(f"stopped early: no better validation for {train.patience} epochs")
                    break
                clock = time.perf_counter()

    def _step(self, images: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor) -> None:
        """Take one step of the optimiser."""
        waiting = self.unfreezing.waiting(self.step)
        self.network.train()
        boxed = torch.from_numpy(self.data.views.boxed)[rows]
        images, labels, boxed = self.fabric.to_device((images, labels, boxed))
        batch_size, places = self.sampler.batch_size, self.gradients.places
        first, _ = bounds(batch_size, self.ranks.rank, self.ranks.count)
        images, unchanged = self.attended(self.step, images, places, first, boxed)
        images, mixed = self.mixing(self.step, images, labels, places)
        between = self.mixing.between_weight(self.step)
        done = self.gradients.add(self.step, images, labels, batch_size, mixed, between, unchanged)
        with stage("optimiser"):
            share = learning_rate_share(self.step, self.steps, self.config.train.warmup)
            self.optimizer.step(share, waiting)
            if self.average:
                self.average.update_parameters(self.network)
        self.step += 1
        values: dict[str, Any] = {"loss": done.loss.value.detach(), **done.loss.parts}
        if mixed is None:  # what is of two classes has no distance from its own
            values |= batch_statistics(done.vectors, done.labels, self.loss.margin)
        self.means.add(values)
        self.log.step(self.step, {"loss": values["loss"], "learning_rate_share": share})

    def _finish_epoch(self) -> str:
        """Log the epoch's means and the validation, keep the weights if they are the best; say it in a few words."""
        epoch = self.step // self.sampler.steps
        row: Row = {"epoch": epoch, "step": self.step, **self.means.row()}
        if "seconds" in row:
            row["images_per_second"] = self.sampler.batch_size / row["seconds"]
            row["seconds"] *= self.sampler.steps
        self.means = Means()
        if not math.isfinite(row.get("loss", 0.0)):
            raise InputError(
                f"the training has diverged in epoch {epoch} (loss {row['loss']}); lower train.learning_rate or "
                "train.loss_rate and start anew with --overwrite"
            )
        with stage("validate"):
            embedded = self.pooled.embed if self.pooled else embed
            row |= validate(self.evaluated, self.data.validation, self.preprocessing, self.ranks, embedded)
        if (epoch > 0 or self.steps == 0) and row.get(SELECTION, math.inf) > self.best:
            self.best, self.best_epoch = (row.get(SELECTION, -math.inf), epoch)
            if self.ranks.first:
                state = {"network": self.evaluated.state_dict(), "epoch": epoch, "row": row}
                checkpoint.save(self.folder / BEST, state)
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
        return bool(
            patience and len(self.data.validation) and self.step // self.sampler.steps - self.best_epoch >= patience
        )

    def _save(self) -> None:
        """Write everything that is needed to go on exactly here."""
        state = {
            **self.data.digests,
            "step": self.step,
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            **self.optimizer.state(),
            "average": self.average.state_dict() if self.average else None,
            "centres": self.centres.state_dict() if self.centres else None,
            "seen": self.means.state(),
            "best": self.best,
            "best_epoch": self.best_epoch,
            "rows": self.log.rows,
        }
        self.log.flush()
        if self.ranks.first:
            checkpoint.save(self.folder / LAST, state)
        self.ranks.wait()  # nobody goes on, or ends, before it is written

    def _resume(self) -> list[Row]:
        """Take up the last checkpoint, if there is one; return the rows logged so far."""
        state = self.ranks.from_first(self._last_state)
        if state is None:
            return []
        self.step, self.means = state["step"], Means(state["seen"])
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.network.load_state_dict(state["network"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.take_up(state)
        if self.average:
            self.average.load_state_dict(state["average"])
        if self.centres:
            self.centres.load_state_dict(state["centres"])
        self._say(f"going on from step {self.step} of {self.steps}")
        return list(state["rows"])

    def _last_state(self) -> dict[str, Any] | None:
        """What the folder's last checkpoint holds, none where there is no such; what was half written goes away."""
        for leftover in self.folder.glob(".*.part"):
            leftover.unlink()
        if not (self.folder / LAST).exists():
            return None
        state = checkpoint.load(self.folder / LAST)
        if any(state.get(name, digest) != digest for name, digest in self.data.digests.items()):
            raise InputError(
                f"the photos have changed since {self.folder} was started, or keypoints by which they are posed; put "
                "them back, give another --run, or --overwrite to start anew"
            )
        return state

    def _say(self, text: str) -> None:
        """Tell the user, beside the progress bar."""
        if self.ranks.first:
            tqdm.write(text, file=sys.stderr)


def make_preprocessing(data: DataSettings, network: Network) -> Preprocessing:
    """How photos are seen in validation and by the exported embedder; resized as the backbone was trained to."""
    interpolation = cast(Interpolation, network.backbone.interpolation)
    size = network.detail * (data.test_size or data.size)
    return Preprocessing(size, data.fit, data.crop_share, interpolation, network.detail, marked=network.look == "first")
