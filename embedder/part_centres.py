"""What each part of a class looks like on the whole: what is seen of it in a photo is pulled there.

Hu and Qi, "See Better Before Looking Closer" (2019), section 3.1, attention regularisation: so the same map is of the
same part in all photos of a class.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE = 0.05
"""How far a centre moves towards what a batch shows of its class."""


class PartCentres(nn.Module):
    """One centre a class and part, which are no parameters: they follow what is seen.

    Attributes:
        weight: of the loss.
        centres: [C, M, F] float32: 655 MB, on the device and in each checkpoint, of 10000 classes, 8 parts and 2048
            channels.
    """

    centres: Tensor

    def __init__(self, classes: int, parts: int, channels: int, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("centres", torch.zeros(classes, parts, channels))

    def forward(self, seen: Tensor, labels: Tensor) -> Tensor:
        """The loss of each photo [B]: the squared distance of its parts [B, M, F] from its class's."""
        centres = self.centres[labels]
        wanted = F.normalize(centres.flatten(1)).view_as(centres)
        return self.weight * (seen - wanted).square().sum((1, 2))

    @torch.no_grad()
    def update(self, seen: Tensor, labels: Tensor) -> None:
        """Move the centres of a batch's classes towards the mean of what is seen of each."""
        classes, places, photos = torch.unique(labels, return_inverse=True, return_counts=True)
        sums = self.centres.new_zeros(len(classes), *seen.shape[1:]).index_add_(0, places, seen.to(self.centres))
        self.centres[classes] += RATE * (sums / photos[:, None, None] - self.centres[classes])
