"""Photos seen once by a frozen backbone: what is behind it is trained on their pooled features, in seconds.

A linear probe, in the words of Alain and Bengio, "Understanding intermediate layers using linear classifier probes"
(2016).
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from embedder import checkpoint
from embedder.config import Config
from embedder.data.catalog import Catalog
from embedder.data.loading import Batch, batches_ahead, make_loader
from embedder.data.photos import EpochBatches, Key, TrainingPhotos
from embedder.model.network import Network
from embedder.preprocess import Preprocessing
from embedder.ranks import Ranks, bounds
from embedder.runtime import BATCH
from embedder.training_data import TrainingData
from embedder.validation import prepared
from eval.errors import InputError
from eval.files import at_home

FORMAT = 1
"""Of the files in ``data.cache``, and of how photos become features: others are made anew."""


class PooledPhotos:
    """Pooled features of random views of the training photos, and of the photos held out as they are.

    Attributes:
        views: [V, N, C]; epoch e and view v of a photo have number e + v modulo V.
        codes: [N], the class of each photo.
        held_out: [n, C] for each view of evaluation, of this rank's share.
    """

    def __init__(self, views: Tensor, codes: Tensor, held_out: Sequence[Tensor]) -> None:
        self.views, self.codes, self.held_out = views, codes, held_out

    def loader(self, batches: EpochBatches) -> Iterator[Batch]:
        """Yield features [B, C], class codes [B] and rows [B], as ``make_loader`` yields views."""
        for keys in batches:
            numbers = torch.tensor([(epoch + view) % len(self.views) for epoch, _, view in keys])
            rows = torch.tensor([row for _, row, _ in keys])
            yield self.views[numbers, rows], self.codes[rows], rows

    @torch.no_grad()
    def embed(self, network: Network, *_: object) -> Tensor:
        """Vectors float32 [n, D] of the photos held out, as ``embedder.validation.embed`` makes them."""
        network.eval()
        return network.of_pooled([view.to(network.mean.device) for view in self.held_out]).float()


def pool_photos(
    network: Network, data: TrainingData, config: Config, preprocessing: Preprocessing, ranks: Ranks
) -> PooledPhotos:
    """Put all photos through a backbone; with ``data.cache``, once for all runs of the same photos, views and weights.

    Args:
        network: on its device.
        data: the photos.
        config: the run's settings.
        preprocessing: how photos are seen in evaluation.
        ranks: who share the work.
    """
    file = None
    if config.data.cache is not None:
        file = at_home(config.data.cache) / f"pooled-{_name(network, data, config, preprocessing)}.pt"
    pooled = _kept(file)
    (missing,) = ranks.any(pooled is None)
    if pooled is None or missing:
        pooled = _pool(network, data, config, preprocessing, ranks)
        if file and ranks.local == 0:
            checkpoint.save(file, {"pooled": pooled})
    views, *held_out = pooled
    shares = [view[slice(*bounds(len(view), ranks.rank, ranks.count))] for view in held_out]
    return PooledPhotos(views, torch.from_numpy(data.photos.codes), shares)


def _name(network: Network, data: TrainingData, config: Config, preprocessing: Preprocessing) -> str:
    """What pooled features depend on, as a digest."""
    of_views = [config.data.size, config.data.feature_views, config.seed, asdict(config.augment)]
    of_network = [
        config.model.backbone,
        config.model.pooling,
        network.views,
        preprocessing.to_json(),
        config.train.precision,
    ]
    known = [FORMAT, of_views, data.digests, of_network, network.mean.device.type]
    digest = hashlib.sha256(json.dumps(known).encode())
    for values in network.backbone.state_dict().values():
        digest.update(values.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]


def _kept(file: Path | None) -> list[Tensor] | None:
    """What ``_pool`` has made before; None where it has not, or the file is damaged."""
    if file is None or not file.is_file():
        return None
    try:
        kept: list[Tensor] = checkpoint.load(file)["pooled"]
    except InputError:
        return None
    return kept


def _pool(
    network: Network, data: TrainingData, config: Config, preprocessing: Preprocessing, ranks: Ranks
) -> list[Tensor]:
    """Random views of the training photos [V, N, C], and each view of the photos held out [n, C], of all ranks."""
    count, size, held = config.data.feature_views, len(data.photos), len(data.validation)
    keys: list[Key] = [(number, row, 0) for number in range(count) for row in range(size)]
    own = _pooled(network, data.views, ranks.share(keys), config.data.workers, ranks.first)
    views = ranks.gather(own, len(keys)).cpu().view(count, size, -1)
    held_out = _held_out(network, data.validation, ranks.share(range(held)), preprocessing)
    return [views, *(ranks.gather(view, held).cpu() for view in held_out)]


@torch.no_grad()
def _pooled(network: Network, views: TrainingPhotos, keys: Sequence[Key], workers: int, speaks: bool) -> Tensor:
    """The pooled features [K, C] of some views."""
    batches = [[*keys[start : start + BATCH]] for start in range(0, len(keys), BATCH)]
    device = network.mean.device
    found = []
    with tqdm(total=len(keys), desc="pooling views", unit="view", dynamic_ncols=True, disable=not speaks) as bar:
        for images, _, _ in make_loader(views, batches, workers, batches_ahead(device)):
            found.append(network.pooled(images.to(device, non_blocking=images.is_pinned())))
            bar.update(len(images))
    none = torch.empty(0, network.backbone.channels, device=device)
    return torch.cat([none, *found])


@torch.no_grad()
def _held_out(network: Network, photos: Catalog, rows: Sequence[int], preprocessing: Preprocessing) -> list[Tensor]:
    """The pooled features [n, C] of some photos, for each view that vectors are made from."""
    found: list[list[Tensor]] = [[] for _ in network.views]
    for batch in prepared(photos, rows, preprocessing):
        for kept, view in zip(found, network.pooled_views(batch.to(network.mean.device)), strict=True):
            kept.append(view)
    none = torch.empty(0, network.backbone.channels, device=network.mean.device)
    return [torch.cat([none, *kept]) for kept in found]
