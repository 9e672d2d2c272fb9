"""The network: backbone, attention, pooling and head, from a photo's bytes to a vector of unit length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.closer import MOST, WHOLE
from embedder.config import Look, ModelSettings
from embedder.model.attended import activation_map, attended_region, cut_out, shrunk, square_around
from embedder.model.attention import ConvolutionalBlockAttention, build_attention
from embedder.model.backbone import build_backbone
from embedder.model.features import Backbone, Features
from embedder.model.head import build_head
from embedder.model.parts import Parts, build_parts
from embedder.model.pooling import AttentionPooling, build_pooling
from embedder.model.rollout import RolloutPooling
from embedder.precision import at_least_float32
from eval.errors import InputError, first_line

_EPSILON = 1e-6  # of a vector's length; far above what float32 loses, far below any real vector

_LEAST_PLACES = 3  # a side of the feature map of a photo that is seen smaller too, so that two are left


class Output(NamedTuple):
    """What the network gives for a batch of photos.

    Attributes:
        vector: [B, D] float32, of unit length; float64 of a network that is.
        features: [B, C, h, w], the feature map as the pooling sees it: after attention, so that the places of what is
            shown are those that made the vector.
        parts: [B, M, h, w], where each part is: the maps of ``Network.parts``, or else what the heads of a transformer
            look at; None of a network that knows none. With more places than the features in an earlier layer.
        part_features: [B, M, C], what ``Network.parts`` sees of each, C of the layer that it looks at.
        region: left, top and side [B, 3], as shares of the photo's side, of the square that all this is about; None
            of a network that sees whole photos.
        smaller: [B, C, h', w'], the feature map of the same picture seen smaller, where it is.
    """

    vector: Tensor
    features: Tensor
    parts: Tensor | None = None
    part_features: Tensor | None = None
    region: Tensor | None = None
    smaller: Tensor | None = None

    @property
    def places(self) -> Tensor:
        """Where the network looks, [B, M, h, w]: its part maps, or one map of the features."""
        return activation_map(self.features)[:, None] if self.parts is None else self.parts


class Network(nn.Module):
    """Photos as uint8 [B, H, W, 3] or 4 to vectors of unit length: exactly what the exported file holds.

    Attributes:
        backbone: normalised photos to features.
        attention: a feature map to one of the same shape, some of it weighed more.
        pooling: a feature map to one feature vector.
        head: a feature vector to a vector of the wanted length.
        dimension: D.
        parts: what finds parts and adds them to the vector, or None.
        mirror: whether, in evaluation, the vector of the mirrored photo is added.
        smaller: whether, in evaluation, the vector of the photo at about 1 / sqrt(2) of its size is added (Radenović et
            al., "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018: multi-scale representation).
        look: whether, in evaluation, the square that is attended to is seen instead of the photo (``first``), unless it
            has been cut out by a box, or its vector is added (``second``); or ``none``.
        detail: how many times larger, a side, than what the network sees the photos are that a look is cut out of.
        side: of that square in a first look, as a share of the photo's; 0 for one around all that is attended to.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Backbone,
        attention: nn.Module,
        pooling: nn.Module,
        head: nn.Module,
        dimension: int,
        parts: Parts | None = None,
        mirror: bool = False,
        smaller: bool = False,
        look: Look = "none",
        detail: int = 1,
        side: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.attention, self.pooling, self.head = backbone, attention, pooling, head
        self.parts, self.dimension = parts, dimension
        self.mirror, self.smaller, self.look, self.detail, self.side = mirror, smaller, look, detail, side
        self.register_buffer("mean", 255 * torch.tensor(backbone.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(backbone.std).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Output:
        """Map photos to vectors.

        Args:
            images: uint8 [B, H, W, 3]; seen as [B, 3, H, W] they already are in the channels-last memory format. In
                evaluation, H and W times ``detail``; and for a first look [B, H, W, 4], see ``Preprocessing.marked``.
                Or, in training, photos that ``pooled`` has seen before: their features [B, C].
        """
        if images.ndim == 2:
            return Output(_unit_length(self.head(images)), images[:, :, None, None])
        if self.training or self.views == ["whole"]:
            return self.seen(images)
        larger = self._normalised(images[..., :3])
        photos = shrunk(larger, self.detail)
        output = self._embed(photos)
        if self.look != "none":
            region = self.region(output.places)
            closer = cut_out(larger, region, photos.shape[3], self.widest)
            if self.look == "first":
                boxed = images[:, 0, 0, 3:] > 0
                photos = torch.where(boxed[:, :, None, None], photos, closer)
                region = torch.where(boxed, region.new_tensor(WHOLE), region)
                output = self._embed(photos)._replace(region=region)
        further = [self._embed(one) for one in self._further(photos, output.features)]
        vectors = [output.vector, *(one.vector for one in further)]
        if self.look == "second":
            vectors.append(self._embed(closer).vector)
        smaller = further[-1].features if self.smaller else None
        return output._replace(vector=_unit_length(torch.stack(vectors).sum(0)), smaller=smaller)

    @property
    def widest(self) -> float:
        """The greatest side of a square that is seen closer, as a share of the photo's."""
        return MOST if self.look == "second" else self.side or 1.0

    def region(self, places: Tensor) -> Tensor:
        """The square of each photo that is seen closer, left, top and side [B, 3], by its places [B, M, h, w]."""
        if self.look == "first" and self.side:
            return square_around(places.mean(1), self.side)
        return attended_region(places.mean(1), most=self.widest)

    def _further(self, photos: Tensor, features: Tensor) -> Iterator[Tensor]:
        """What is seen beside the photos in evaluation, but for a closer look: mirror images; the photos, smaller.

        Args:
            photos: normalised, [B, 3, S, S].
            features: their feature map; the smaller photos have whole places of it, as transformers need them.
        """
        if self.mirror:
            yield photos.flip(3)
        if self.smaller:
            size = _smaller(photos.shape[3], features.shape[3])
            yield F.interpolate(photos, (size, size), mode="bilinear", antialias=True)

    def pooled(self, images: Tensor) -> Tensor:
        """The pooled features [B, C] of photos, uint8 [B, H, W, 3]: what the head is given."""
        features: Tensor = self.pooling(self._attended(self._normalised(images)))
        return features

    def pooled_views(self, images: Tensor) -> list[Tensor]:
        """The pooled features [B, C] of each view of photos in evaluation, for a network that does not look closer."""
        photos = self._normalised(images)
        features = self._attended(photos)
        further = map(self._attended, self._further(photos, features.map))
        return [self.pooling(one) for one in (features, *further)]

    def of_pooled(self, views: Sequence[Tensor]) -> Tensor:
        """The vectors [B, D] of photos, given the pooled features of each of their views."""
        vectors = [_unit_length(self.head(view)) for view in views]
        return vectors[0] if len(vectors) == 1 else _unit_length(torch.stack(vectors).sum(0))

    def seen(self, images: Tensor) -> Output:
        """What there is of whole photos, uint8 [B, H, W, 3], whatever the views are, and with no more detail."""
        return self._embed(self._normalised(images))

    def _normalised(self, images: Tensor) -> Tensor:
        """Photos as the backbone takes them, [B, 3, H, W]."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @property
    def has_parts(self) -> bool:
        """Whether there are part maps in what it gives."""
        return self.parts is not None or isinstance(self.pooling, RolloutPooling)

    @property
    def views(self) -> list[str]:
        """What of a photo a vector is made from in evaluation."""
        looks = {"none": ["whole"], "first": ["closer"], "second": ["whole", "closer"]}[self.look]
        return looks + ["mirror"] * self.mirror + ["smaller"] * self.smaller

    def _attended(self, photos: Tensor) -> Features:
        """Features of normalised photos [B, 3, H, W], as the pooling takes them."""
        features: Features = self.attention(self.backbone(photos))
        return features

    def _embed(self, photos: Tensor) -> Output:
        """Vector and feature map of normalised photos [B, 3, H, W]."""
        features = self._attended(photos)
        vector = self.head(self.pooling(features))
        if self.parts is None:
            return Output(_unit_length(vector), features.map, features.attention)
        seen = self.parts(features.map if features.finer is None else features.finer)
        return Output(_unit_length(vector + self.parts.addition(seen.matrix)), features.map, seen.maps, seen.matrix)

    def check_size(self, size: int, looked_at: Sequence[str] = (), in_training: bool = False) -> None:
        """Try one photo that is seen as ``size`` x ``size`` pixels.

        Args:
            size: the side of what is seen.
            looked_at: further options that compare places, by their names.
            in_training: whether such photos are seen in training alone, so never smaller.

        Raises:
            InputError: the backbone does not take it (transformers may need multiples of their patch, or one size), or
                makes one place of it where places are to be compared; or photos that large cannot be seen smaller.
        """
        training = self.training
        self.eval()
        try:
            output = self._try(size, f"photos of {size} pixels")
            self._check_places(output, size, looked_at)
            if self.smaller and not in_training:
                self._check_smaller(output.features.shape[3], size)
        finally:
            self.train(training)

    @torch.no_grad()
    def _try(self, size: int, photos: str) -> Output:
        """See one black photo of such a size."""
        try:
            return self.seen(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=self.mean.device))
        except InputError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.backbone.name} does not take {photos}: {first_line(str(error))}") from error

    def _check_smaller(self, places: int, size: int) -> None:
        """Refuse photos of which little would be left, or which the backbone does not take smaller."""
        if places < _LEAST_PLACES:
            raise InputError(
                f"model.smaller: {self.backbone.name} makes {places} x {places} places of photos of {size} pixels, too "
                "few to see them smaller; give larger photos (data.test_size, embedder.export --size), or leave it out"
            )
        smaller = _smaller(size, places)
        self._try(smaller, f"photos of {smaller} pixels, as which model.smaller sees those of {size}")

    def _check_places(self, output: Output, size: int, looked_at: Sequence[str]) -> None:
        """Refuse to compare the places of a map that has one: of the features, or of where the network looks."""
        of_features = {
            "model.attention cbam": isinstance(self.attention, ConvolutionalBlockAttention),
            "model.pooling attention": isinstance(self.pooling, AttentionPooling),
        }
        of_places = {f"model.look {self.look}": self.look != "none", **dict.fromkeys(looked_at, True)}
        compared = [option for option, compares in of_features.items() if compares and _is_one(output.features)]
        compared += [option for option, compares in of_places.items() if compares and _is_one(output.places)]
        for option in compared:
            raise InputError(
                f"{option} compares places, and {self.backbone.name} has one in photos of {size} pixels; give larger "
                "photos (data.size, data.test_size, embedder.export --size), or choose another"
            )


def _smaller(size: int, places: int) -> int:
    """About 1 / sqrt(2) of a size that makes so many places: of whole ones."""
    return size * round(places / 2**0.5) // places


def _is_one(places: Tensor) -> bool:
    """Whether maps [B, M, h, w] have one place."""
    return places.shape[2:] == (1, 1)


def freeze_unused(network: Network, size: int) -> None:
    """Take what no vector depends on out of training, such as layers before a classifier that is not there.

    Several processes would otherwise wait for its gradients. One leaves it out too, so that either goes on with what
    the other has saved.
    """
    network.eval()
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    vector = network.seen(torch.zeros(1, size, size, 3, dtype=torch.uint8, device=network.mean.device)).vector
    if trained:
        for parameter, gradient in zip(
            trained, torch.autograd.grad(vector.sum(), trained, allow_unused=True), strict=True
        ):
            parameter.requires_grad_(gradient is not None)


def _unit_length(vectors: Tensor) -> Tensor:
    """Vectors [B, D] divided by their lengths, in float32 under any autocast (in float64 where the network is)."""
    return F.normalize(at_least_float32(vectors), dim=1, eps=_EPSILON)


def build_network(settings: ModelSettings) -> Network:
    """Build the network that the settings describe, with its frozen parts frozen.

    Raises:
        InputError: a name or number that does not exist, or weights that cannot be had.
    """
    backbone = build_backbone(settings.backbone, settings.weights)
    backbone.freeze(settings.frozen_stages, settings.freeze_batch_norm)
    pooling = build_pooling(settings.pooling, backbone)
    head = build_head(settings.head, backbone.channels, settings.dimension, settings.norm, settings.dropout)
    if settings.norm == "layer" and backbone.pooled_norm is not None:
        head[0].load_state_dict(backbone.pooled_norm)
    dimension = backbone.channels if settings.head == "none" else settings.dimension
    attention = build_attention(settings.attention, backbone)  # last: a head begins as without it
    parts = build_parts(settings.parts, settings.part_stride, backbone, dimension)
    views = settings.mirror, settings.smaller, settings.look, settings.detail, settings.look_side
    return Network(backbone, attention, pooling, head, dimension, parts, *views)
