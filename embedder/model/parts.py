"""Parts of the subject that the network finds by itself, and what it sees in each: bilinear attention pooling.

Hu and Qi, "See Better Before Looking Closer: Weakly Supervised Data Augmentation Network for Fine-Grained Visual
Classification" (2019), section 3.1.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from embedder.model.features import Backbone
from embedder.precision import at_least_float32, without_autocast
from eval.errors import InputError

_EPSILON = 1e-6  # under the root, whose slope at 0 is infinite


class PartFeatures(NamedTuple):
    """What is seen of the parts of photos.

    Attributes:
        maps: [B, M, h, w], where each part is, at least 0.
        matrix: [B, M, C], the features of each, of length 1 as a whole.
    """

    maps: Tensor
    matrix: Tensor


class Parts(nn.Module):
    """M part maps, and what the features that they gather add to the vector.

    The authors classify by the gathered features alone. Here these go through a last layer that begins at zero, and are
    added to the head's vector: a pretrained network begins as it was. Each map is standardised over a photo's places,
    not over a batch's photos, so that it attends to something in each photo, and the same in whatever company. And maps
    share out each place among themselves: otherwise all of them come to show the whole subject.
    """

    def __init__(self, channels: int, count: int, dimension: int) -> None:
        super().__init__()
        self.channels = channels
        self.attend = nn.Conv2d(channels, count, 1, bias=False)
        self.standardise = _Standardised(count)
        self.project = nn.Linear(count * channels, dimension, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, features: Tensor) -> PartFeatures:
        """Find the parts in feature maps [B, C, h, w].

        Raises:
            InputError: the maps have one place.
        """
        if features.shape[2:] == (1, 1):
            raise InputError(
                f"model.parts {self.attend.out_channels} compares places, and the feature map has one; give larger "
                "photos (data.size, data.test_size, embedder.export --size), or set it to 0"
            )
        with without_autocast(features.device.type):
            precise = at_least_float32(features)
            scores = self.standardise(self.attend(precise))
            maps = scores.relu() * scores.softmax(1)
            gathered = torch.einsum("bmhw,bchw->bmc", maps, precise) / (maps.shape[2] * maps.shape[3])
            rooted = gathered.sign() * (gathered.abs() + _EPSILON).sqrt()
            return PartFeatures(maps, F.normalize(rooted.flatten(1)).view_as(rooted))

    def addition(self, matrix: Tensor) -> Tensor:
        """What the features of the parts [B, M, C] add to the vector, [B, D]."""
        with without_autocast(matrix.device.type):
            added: Tensor = self.project(matrix.flatten(1))
        return added


class _Standardised(nn.Module):
    """Each map with mean 0 and deviation 1 over a photo's places, then scaled and shifted; of no photos, too.

    Ulyanov, Vedaldi and Lempitsky, "Instance Normalization" (2016). Torch's own cannot take an empty batch, which is
    what a process may have as its share.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(maps)), nn.Parameter(torch.zeros(maps))

    def forward(self, maps: Tensor) -> Tensor:
        """Standardise [B, M, h, w]."""
        centred = maps - maps.mean((2, 3), keepdim=True)
        spread = (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        scaled: Tensor = self.weight[:, None, None] * centred / spread + self.bias[:, None, None]
        return scaled


def build_parts(count: int, stride: int, backbone: Backbone, dimension: int) -> Parts | None:
    """Build what finds parts; None where none are wanted.

    Args:
        count: M.
        stride: of the feature map in which they are found; 0 for the last one.
        backbone: whose it is.
        dimension: D of the vector.

    Raises:
        InputError: there is no such map, or more parts than it has channels.
    """
    if not count:
        return None
    channels = backbone.watch_stride(stride) if stride else backbone.channels
    if count > channels:
        of = f"the map of stride {stride} of {backbone.name}" if stride else backbone.name
        raise InputError(f"model.parts is {count}, more than the {channels} channels of {of}; lower it")
    return Parts(channels, count, dimension)
