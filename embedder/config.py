"""One run's settings: typed, every key overridable on the command line, saved as ``config.yaml`` in the run folder.

Nothing heavy is imported here: the torch-free commands read settings too.
"""

from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

from embedder.preprocess import GREATEST_SIZE
from eval.errors import InputError
from eval.images import OnBadImage

CONFIG = "config.yaml"

Look = Literal["none", "first", "second"]
"""Whether what is attended to is seen closer."""


@dataclass
class DataSettings:
    """Which photos, at which size, under which protocol.

    Attributes:
        name: a reader's name, such as drawn_birds or cub200; none for a plain folder or a table.
        root: the folder, .csv or .parquet file; none with no name means drawn birds in the cache folder.
        protocol: zero-shot tests on classes never trained on, closed-set on the official test photos of the same
            classes; auto takes what the source declares.
        validation: hold out training classes or photos for choices (the best epoch, early stopping), or none to train
            on all of them; auto holds out classes under the zero-shot protocol and photos under the other.
        size: side of the square that training sees, in pixels.
        test_size: side of the square for validation and in the exported embedder; none for the same as size.
        fit: crop cuts the centre square after the shorter side is resized; squash resizes the whole photo to a square.
        crop_share: share of the resized shorter side that the centre crop keeps.
        on_bad_image: leave unreadable photos out with a count, or stop.
        workers: threads that make views of photos to train on; 0 for one a core. Any number gives the same weights.
        feature_views: with a frozen backbone, how many random views of each photo to put through it, once, so that what
            is behind it trains in seconds; 0 to see new views in every epoch.
        cache: a folder to keep the training photos in, decoded, at the size of training (of a first look, times
            model.look_detail), for this run and others, and what feature_views has put through the backbone; none to
            decode them in every epoch.
        keypoint_names: what a table's keypoints are, in their order, such as [beak, left eye, right eye, tail], where
            augment is to make something of them; the known data sets name theirs.
    """

    name: str | None = None
    root: str | None = None
    protocol: Literal["auto", "zero-shot", "closed-set"] = "auto"
    validation: Literal["auto", "classes", "photos", "none"] = "auto"
    size: int = 128
    test_size: int | None = None
    fit: Literal["crop", "squash"] = "crop"
    crop_share: float = 0.875
    on_bad_image: OnBadImage = "skip"
    workers: int = 0
    feature_views: int = 0
    cache: str | None = None
    keypoint_names: list[str] = field(default_factory=list)


@dataclass
class AugmentSettings:
    """The random view of a photo that training sees.

    Attributes:
        crop_share: least and greatest share of the photo's area that a crop keeps.
        crop_aspect: least and greatest width / height of a crop.
        relative_aspect: that is relative to the photo's own: crops are squashed as photos are, by data.fit squash.
        mirror: probability of a left-right flip.
        brightness: greatest relative change of brightness.
        contrast: greatest relative change of contrast.
        saturation: greatest relative change of saturation.
        hue: greatest turn of the hue, as a share of the full circle (at most 0.5).
        erase: probability that a random rectangle is painted over.
        attended_crop: probability that a part that is attended to is seen closer instead (costs a third more).
        attended_drop: probability that such a part is painted over instead.
        attended_since: share of the steps before which neither is done yet, where they are.
        rotate: greatest turn of the photo, in degrees either way.
        shear: greatest slant, in degrees either way.
        perspective: greatest shift of a corner inwards, as a share of half the side: the photo is seen aslant.
        pose_crop: probability that the crop is put around a visible keypoint, instead of anywhere.
        pose_axis: least and greatest angle, in degrees, by which the head lies above the tail: the photo is turned
            to an angle between, before it is squashed; none to leave it. Takes the place of rotate where both are seen.
        pose_turn: probability that it is turned so; else the photo is left as rotate has it.
        pose_facing: probability that the subject is made to look left, after any turn. Takes the place of mirror.
        pose_head: probability that the head alone is seen instead of the whole.
    """

    crop_share: tuple[float, float] = (0.4, 1.0)
    crop_aspect: tuple[float, float] = (0.75, 1.3333)
    relative_aspect: bool = False
    mirror: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.0
    erase: float = 0.0
    attended_crop: float = 0.0
    attended_drop: float = 0.0
    attended_since: float = 0.2
    rotate: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    pose_crop: float = 0.0
    pose_axis: tuple[float, float] | None = None
    pose_turn: float = 1.0
    pose_facing: float = 0.0
    pose_head: float = 0.0


@dataclass
class MixSettings:
    """Photos, or their vectors, mixed with others of the batch in training; the rest has a meaning where either is.

    Attributes:
        photos: mixup blends two photos; cutmix pastes a rectangle of one into the other; snapmix pastes it elsewhere,
            in another size, and weighs the labels by what the network looks at; none. For losses with class vectors.
        vectors: add a loss of vectors that lie between two photos' (Metrix). For contrastive, multi-similarity, and
            losses with class vectors.
        share: of batches, those whose photos are mixed. In these no vectors are, loss.part_centre rests, and distances
            within the batch are not logged.
        alpha: of the Beta distribution that proportions are drawn from, the same on both sides, for photos and vectors
            alike; none for what each method's authors take: 0.2 for mixup, 1 for cutmix, 5 for snapmix, 2 for vectors.
        weight: of the loss of mixed vectors, beside that of the photos' own.
        since: share of the steps before which nothing is mixed yet.
        until: share of the steps after which nothing is mixed any more.
    """

    photos: Literal["none", "mixup", "cutmix", "snapmix"] = "none"
    vectors: bool = False
    share: float = 0.5
    alpha: float | None = None
    weight: float = 0.4
    since: float = 0.2
    until: float = 0.85


@dataclass
class ModelSettings:
    """The network: backbone, attention, pooling, head.

    Attributes:
        backbone: efficientnet-lite0 (needs no download), timm:NAME, torchvision:NAME, or wide-resnet-DEPTH-WIDTH (for
            photos of some 32 pixels; random weights), with /2 at its end for one that sees half as many pixels a side.
        weights: pretrained, random, or the path of a file with the backbone's weights.
        attention: what weighs the feature map before pooling: none, se (channels), cbam (channels, then places), or eca
            (channels, with a few weights); each begins by changing nothing.
        pooling: avg, max, avg+max, gem, attention (the mean of places weighed by a learned score, at first avg), token
            (the class token of a transformer), or rollout (the same and, learned, the patches that its heads look at,
            at first token).
        head: linear, mlp (one hidden layer), or none (the pooled features, after norm, are the vector).
        dimension: length of the vector; ignored where head is none.
        norm: what normalises the pooled features, also where head is none.
        dropout: probability that a pooled feature is dropped in training.
        frozen_stages: how many of the backbone's first stages stay as they are, or all.
        freeze_batch_norm: keep the backbone's batch-norm statistics as they are.
        parts: how many parts of the subject the network is to find by itself and to add to the vector; 0 for none. A
            layer of parts x channels x dimension weights adds them: where head is none, dimension is the channels.
        part_stride: pixels of a photo from one place of the part maps to the next: 16 finds parts in an earlier,
            finer layer, the last one with such a map; 0 in the last layer of all.
        mirror: add the vector of the mirrored photo (a view of the embedder: twice the time).
        smaller: add the vector of the photo at 0.67 to 0.8 of its size, as it comes to whole places of the feature map:
            160 for 224 (a view of the embedder: half the time more); works best with a larger data.test_size.
        look: first sees the square that the network attends to instead of the whole photo, unless a box has cut that
            out, in training too, for a forward pass more (a query: twice the time); second adds its vector, and needs
            parts that were trained, or pooling rollout (a view of the embedder: three times, parts included); none.
        look_detail: how many times larger the photo is, a side, that look cuts the square out of, than data.size and
            data.test_size, which is what the network sees: for small subjects. Without look, for a later export.
        look_side: side of the square of a first look, as a share of what is seen, in training a crop of the photo: for
            subjects of which it is known how large they are at most; 0 for a square around all that is attended to.
    """

    backbone: str = "efficientnet-lite0"
    weights: str = "pretrained"
    attention: Literal["none", "se", "cbam", "eca"] = "none"
    pooling: Literal["avg", "max", "avg+max", "gem", "attention", "token", "rollout"] = "avg+max"
    head: Literal["linear", "mlp", "none"] = "linear"
    dimension: int = 256
    norm: Literal["none", "layer", "batch"] = "layer"
    dropout: float = 0.0
    frozen_stages: int | Literal["all"] = 0
    freeze_batch_norm: bool = True
    parts: int = 0
    part_stride: int = 0
    mirror: bool = False
    smaller: bool = False
    look: Look = "none"
    look_detail: int = 1
    look_side: float = 0.0

    @property
    def detail(self) -> int:
        """How many times larger photos are than what the network sees of them, a side, in validation and afterwards."""
        return 1 if self.look == "none" else self.look_detail

    @property
    def finds_parts(self) -> bool:
        """Whether the network has part maps."""
        return self.parts > 0 or self.pooling == "rollout"


@dataclass
class LossSettings:
    """What training minimises.

    Attributes:
        name: triplet, contrastive, multi-similarity, supcon, proxy-anchor, proxy-nca++, normalised-softmax, arcface,
            sub-centre-arcface, cosface or soft-triple; or several joined by "+", such as triplet+arcface.
        weights: the weight of each loss of a sum, by its name; 1 where none is given.
        options: a loss's own options (margin, scale, ...), by name; of a sum, by loss and name. Margins of triplet,
            contrastive and cosface are cosines, those of arcface radians.
        miner: what a pair or triplet loss looks at (none, all, semi-hard, hard, easy-positive, distance-weighted,
            multi-similarity); default takes the loss's own.
        memory: how many past vectors a pair or triplet loss compares with (cross-batch memory); 0 for none.
        memory_start: the step from which the memory is used.
        partial_fc: for very many classes, the share of them that a step of arcface, cosface or normalised-softmax looks
            at, such as 0.1: their vectors are divided among the processes; 0 for all vectors on each.
        part_centre: weight of a loss that pulls what is seen of each part to what its class shows of it on the whole,
            so that a part is the same in all photos of a class; needs model.parts. Logged unweighted.
        prefixes: how many of a vector's first numbers are to be good vectors, too, such as [32,64,128]; embedder.export
            --dimension can then cut them off.
    """

    name: str = "proxy-anchor"
    weights: dict[str, float] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    miner: str = "default"
    memory: int = 0
    memory_start: int = 500
    partial_fc: float = 0.0
    part_centre: float = 0.0
    prefixes: list[int] = field(default_factory=list)


@dataclass
class TrainSettings:
    """The loop.

    Attributes:
        epochs: passes over the training photos; 0 exports the frozen network, without head and parts.
        batch_size: photos a step, those of all processes together.
        chunk_size: how many of a process's photos go through the network at once (gradient caching): a batch may then
            be larger than the memory, its gradients are the same, and a step takes a third longer; 0 for all.
        photos_per_class: photos of one class in a batch.
        learning_rate: of the backbone, at its highest.
        layer_decay: learning rate of each stage of the backbone, as a multiple of the next one's; the last one has
            learning_rate.
        unfreeze: share of all steps over which the backbone's stages begin to train, the last one first; until then a
            stage is frozen whole. 0 for all at once.
        head_rate: learning rate of the head, as a multiple of learning_rate.
        added_rate: likewise of attention, parts and pooling, which begin by changing nothing.
        loss_rate: learning rate of the loss's own parameters (proxies, class weights), as a multiple; none for the
            loss's default.
        weight_decay: AdamW's, on weights that are not biases or norms.
        warmup: share of all steps over which the learning rate rises.
        clip: greatest norm of the network's gradient; 0 for no clipping.
        ema: decay a step of the averaged weights that are evaluated and exported; 0 for none.
        patience: stop after this many epochs without a better validation; 0 to go on to the end.
        checkpoint_minutes: save at least this often, besides after every epoch.
        accelerator: cpu, cuda, mps, or auto.
        precision: auto takes bf16 on GPUs that have it, else 32 bits; 64 is for comparing runs to the last digits.
        deterministic: also ask the GPU for the same bits every time, which is slower; as many cores of a CPU always do.
    """

    epochs: int = 10
    batch_size: int = 64
    chunk_size: int = 0
    photos_per_class: int = 4
    learning_rate: float = 3e-4
    layer_decay: float = 1.0
    unfreeze: float = 0.0
    head_rate: float = 1.0
    added_rate: float = 10.0
    loss_rate: float | None = None
    weight_decay: float = 1e-4
    warmup: float = 0.1
    clip: float = 10.0
    ema: float = 0.0
    patience: int = 0
    checkpoint_minutes: float = 5.0
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32", "64", "bf16"] = "auto"
    deterministic: bool = False


@dataclass
class Config:
    """Everything that a run is made from."""

    data: DataSettings = field(default_factory=DataSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    mix: MixSettings = field(default_factory=MixSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    seed: int = 0

    def check(self) -> None:
        """Refuse numbers that make no sense, before anything is done with them.

        Raises:
            InputError: a number is out of its range.
        """
        for key, (least, greatest) in RANGES.items():
            group, name = key.split(".")
            value = getattr(getattr(self, group), name)
            if value is not None and not least <= value <= greatest:
                most = "" if greatest == inf else f" and at most {greatest:g}"
                raise InputError(f"{key} is {value}; it must be at least {least:g}{most}")


RANGES = {
    "data.size": (8, GREATEST_SIZE),
    "data.test_size": (8, GREATEST_SIZE),
    "data.crop_share": (0.01, 1),
    "data.workers": (0, 1024),
    "data.feature_views": (0, 100_000),
    "mix.share": (0, 1),
    "mix.alpha": (0.01, 100),
    "mix.weight": (0, inf),
    "mix.since": (0, 1),
    "mix.until": (0, 1),
    "model.dimension": (1, 65536),
    "model.dropout": (0, 0.99),
    "model.parts": (0, inf),
    "model.part_stride": (0, 64),
    "model.look_detail": (1, 4),
    "model.look_side": (0, 1),
    "loss.memory": (0, inf),
    "loss.memory_start": (0, inf),
    "loss.partial_fc": (0, 1),
    "loss.part_centre": (0, inf),
    "train.epochs": (0, inf),
    "train.batch_size": (2, inf),
    "train.chunk_size": (0, inf),
    "train.photos_per_class": (1, inf),
    "train.learning_rate": (0, inf),
    "train.layer_decay": (0.01, 1),
    "train.unfreeze": (0, 1),
    "train.head_rate": (0, inf),
    "train.added_rate": (0, inf),
    "train.loss_rate": (0, inf),
    "train.weight_decay": (0, inf),
    "train.warmup": (0, 1),
    "train.clip": (0, inf),
    "train.ema": (0, 0.999999),
    "train.patience": (0, inf),
    "train.checkpoint_minutes": (0, inf),
}
"""Least and greatest value of each number; those of augment are checked where they are used."""
