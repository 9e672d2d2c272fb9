"""Train and embed with another library as its authors show; run by bench/peers.py in that library's environment.

pml: the example "MetricLossOnly" of pytorch-metric-learning: triplets with a margin of 0.1, multi-similarity mining,
4 photos a class in batches of 32, a linear layer to 64 numbers, Adam with 1e-5 for the backbone and 1e-4 for the
layer, random crops of 16 % to all of the photo. The example's photos are squares of 64 pixels; these have 224, and are
squashed into the square when they are embedded, so that nothing is cut off. That layer begins at random, and takes
longer to learn than there is time: so there is "pml-pooled" too, the same without it, of the 1280 pooled features.

oml: the pipeline and settings of open-metric-learning's example for Stanford Cars: all triplets of 20 classes with 6
photos each, soft margin, Adam with 1e-5, 224 pixels. Other than there: 10 photos each do not fit into 24 GB with
vectors of 1280 numbers, and 8 not for long with the allocator setting; photos are changed by the library's own
"augs_torch", as the example's list of changes is no part of the library and wants an old release of albumentations; and
the cars have no boxes.

Both get EfficientNet-Lite0 and its own normalisation instead of the backbone of the example. So both are measured as
their examples stand, which is not the best that can be made of these libraries.
"""

import csv
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torchvision import transforms

SIZE = 224
MEAN = STD = (0.5, 0.5, 0.5)
CLASSES, PHOTOS_EACH = 20, 6
"""In a batch of open-metric-learning's."""

BATCH = {"pml": 32, "pml-pooled": 32, "oml": CLASSES * PHOTOS_EACH}

WORKERS = {"pml": 1, "oml": 0}
"""Processes that read photos. On two cores one makes pytorch-metric-learning fastest: none is as slow as two are. A
process branched off beside open-metric-learning's step would come to hold copies of its 15 GB."""

NORMAL = {"im_size": SIZE, "mean": list(MEAN), "std": list(STD)}


def main() -> None:
    side, asked = sys.argv[1], json.loads(sys.argv[2])
    torch.manual_seed(asked["seed"])
    np.random.seed(asked["seed"])  # the global generator, which both libraries draw from
    ways: dict[str, Callable[[dict[str, Any]], tuple[Any, int, float]]] = {
        "pml": train_pml,
        "pml-pooled": partial(train_pml, layer=False),
        "oml": train_oml,
        "pretrained": pretrained,
    }
    network, seen, seconds = ways[side](asked)
    np.save(Path(asked["out"]) / "vectors.npy", embed(network.eval(), read(asked, "held-out")))
    told = {"seconds": round(seconds), "photos": seen, "steps": seen // BATCH.get(side, 1)}
    (Path(asked["out"]) / "told.json").write_text(json.dumps(told))


def read(asked: dict[str, Any], name: str) -> list[dict[str, str]]:
    with (Path(asked["tables"]) / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def backbone(asked: dict[str, Any]) -> Any:
    """EfficientNet-Lite0, pooled: [B, 3, H, W] to [B, 1280]."""
    body = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    body.load_state_dict(torch.load(Path(asked["tables"]) / "backbone.pt", weights_only=True))
    return body


def embed(network: Any, rows: list[dict[str, str]]) -> np.ndarray:
    """The vectors [N, D] of photos, each seen as the side itself evaluates."""
    found = []
    with torch.inference_mode():
        for first in range(0, len(rows), 64):
            photos = [Image.open(row["path"]).convert("RGB") for row in rows[first : first + 64]]
            found.append(network(torch.stack([network.seen(photo) for photo in photos])).numpy())
    return np.concatenate(found)


class Photos(torch.utils.data.Dataset):
    """Photos and the numbers of their classes."""

    def __init__(self, rows: list[dict[str, str]], seen: Any) -> None:
        self.paths, self.seen = [row["path"] for row in rows], seen
        self.labels = np.unique([row["label"] for row in rows], return_inverse=True)[1].tolist()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        return self.seen(Image.open(self.paths[row]).convert("RGB")), self.labels[row]


def seen_whole() -> Any:
    """How photos are seen for an evaluation."""
    squash = transforms.Resize((SIZE, SIZE))
    return transforms.Compose([squash, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def pretrained(asked: dict[str, Any]) -> tuple[nn.Module, int, float]:
    """The backbone as it is: what the others are better than by training."""
    network = backbone(asked)
    network.seen = seen_whole()
    return network, 0, 0.0


def train_pml(asked: dict[str, Any], layer: bool = True) -> tuple[nn.Module, int, float]:
    """The network, with a layer behind the backbone or without; photos that it has seen; and in how many seconds."""
    from pytorch_metric_learning import losses, miners, samplers

    as_numbers = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    crop = transforms.RandomResizedCrop(SIZE, scale=(0.16, 1), ratio=(0.75, 1.33))
    views = transforms.Compose([transforms.Resize(256), crop, transforms.RandomHorizontalFlip(0.5), *as_numbers])
    photos = Photos(read(asked, "training"), views)
    trunk, head = backbone(asked), nn.Linear(1280, 64) if layer else nn.Identity()
    optimizers = [torch.optim.Adam(trunk.parameters(), lr=1e-5, weight_decay=1e-4)]
    if layer:
        optimizers.append(torch.optim.Adam(head.parameters(), lr=1e-4, weight_decay=1e-4))
    loss, miner = losses.TripletMarginLoss(margin=0.1), miners.MultiSimilarityMiner(epsilon=0.1)
    sampler = samplers.MPerClassSampler(photos.labels, m=4, length_before_new_iter=len(photos))
    loader = torch.utils.data.DataLoader(
        photos, batch_size=BATCH["pml"], sampler=sampler, num_workers=WORKERS["pml"], drop_last=True
    )
    network = nn.Sequential(trunk, head).train()
    network.seen = seen_whole()
    seen, began = 0, time.perf_counter()
    while True:
        for images, labels in loader:
            if over(asked, seen, began):
                return network, seen, time.perf_counter() - began
            for optimizer in optimizers:
                optimizer.zero_grad()
            vectors = network(images)
            loss(vectors, labels, miner(vectors, labels)).backward()
            for optimizer in optimizers:
                optimizer.step()
            seen += len(images)


def over(asked: dict[str, Any], seen: int, began: float) -> bool:
    if asked["photos"]:
        return seen >= asked["photos"]
    return time.perf_counter() - began >= asked["seconds"]


def train_oml(asked: dict[str, Any]) -> tuple[nn.Module, int, float]:
    """The network, how many photos it has seen, and in how many seconds."""
    from oml.interfaces.models import IExtractor
    from oml.lightning.pipelines.train import extractor_training_pipeline
    from oml.registry.models import EXTRACTORS_REGISTRY
    from oml.registry.transforms import get_transforms

    made = []

    class Extractor(IExtractor):
        """EfficientNet-Lite0 as open-metric-learning wants it."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.photos = backbone(asked), 0
            made.append(self)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.photos += len(images)
            return self.body(images)

        def extract(self, images: torch.Tensor) -> torch.Tensor:
            return self(images)

        @property
        def feat_dim(self) -> int:
            return 1280

    EXTRACTORS_REGISTRY["efficientnet_lite0"] = Extractor
    write_frame(asked)
    began = time.perf_counter()
    extractor_training_pipeline(oml_settings(asked))
    seconds, network = time.perf_counter() - began, made[-1]
    network.seen = get_transforms("norm_resize_torch", **NORMAL)
    return network, network.photos, seconds


def oml_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """The example's configuration, with the photos, the limit and the machine of this comparison."""
    if asked["seconds"]:
        limit: dict[str, Any] = {"max_time": {"seconds": asked["seconds"]}}
    else:
        limit = {"max_steps": -(-asked["photos"] // BATCH["oml"])}
    return {
        "seed": asked["seed"],
        "precision": 32,
        "accelerator": "cpu",
        "devices": 1,
        "dataset_root": "/",
        "dataframe_name": str(Path(asked["out"]) / "frame.csv"),
        "transforms_train": {"name": "augs_torch", "args": NORMAL},
        "transforms_val": {"name": "norm_resize_torch", "args": NORMAL},
        "num_workers": WORKERS["oml"],
        "sampler": {"name": "balance", "args": {"n_labels": CLASSES, "n_instances": PHOTOS_EACH}},
        "bs_train": BATCH["oml"],
        "bs_val": 64,
        "max_epochs": 10_000,
        "valid_period": 100_000,
        "metric_for_checkpointing": "OVERALL/cmc/1",
        "extractor": {"name": "efficientnet_lite0", "args": {}},
        "criterion": {
            "name": "triplet_with_miner",
            "args": {
                "need_logs": True,
                "margin": None,
                "reduction": "mean",
                "miner": {"name": "all_triplets", "args": {}},
            },
        },
        "optimizer": {"name": "adam", "args": {"lr": 1e-5}},
        "scheduling": None,
        "logger": None,
        "lightning_trainer_extra_args": limit,
    }


def write_frame(asked: dict[str, Any]) -> None:
    """Photos as open-metric-learning wants them; no validation takes place, but it must have photos."""
    head = ("label", "path", "split", "is_query", "is_gallery")
    training = read(asked, "training")
    names = sorted({row["label"] for row in training})
    rows: list[tuple[Any, ...]] = [(names.index(row["label"]), row["path"], "train", "", "") for row in training]
    rows += [(names.index(row["label"]), row["path"], "validation", True, True) for row in training[:20]]
    with (Path(asked["out"]) / "frame.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *rows])


if __name__ == "__main__":
    main()
