"""Losses against class vectors of photos that are of two classes, each with a weight."""

from typing import Any

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import ProxyAnchorLoss
from torch import Tensor, nn

from embedder.augment.mixing import Mixed
from embedder.class_losses import ProxyNCAPlusPlus
from embedder.partial_fc import PartialFC


class ClassLoss(nn.Module):
    """A loss against class vectors, which takes mixed labels."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, vectors: Tensor, labels: Tensor, mixed: Mixed | None = None) -> Tensor:
        """The loss of vectors [B, D] with labels [B], or with these and other ones.

        Of a photo that is of two classes it is the weighted sum of the losses with either label (Zhang et al., "mixup",
        2018, section 2); Proxy-Anchor, which is no mean over photos, see ``soft_proxy_anchor``.
        """
        if mixed is None:
            value: Tensor = self.loss(vectors, labels)
            return value
        if isinstance(self.loss, ProxyAnchorLoss):
            return soft_proxy_anchor(self.loss, vectors, labels, mixed)
        own, other = (self._each(vectors, some) for some in (labels, mixed.others))
        return (mixed.shares[:, 0] * own + mixed.shares[:, 1] * other).mean()

    def _each(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """The loss of each photo by itself, [B]."""
        if isinstance(self.loss, (PartialFC, ProxyNCAPlusPlus)):
            return self.loss.each(vectors, labels)
        found: Tensor = self.loss.compute_loss(vectors, labels, None, vectors, labels)["loss"]["losses"]
        return found


def soft_proxy_anchor(loss: ProxyAnchorLoss, vectors: Tensor, labels: Tensor, mixed: Mixed) -> Tensor:
    """Proxy-Anchor of photos that are positives of a proxy with a weight y, and negatives with the weight of the rest.

    Kim et al., "Proxy Anchor Loss" (2020), equation 4, its exponentials weighted as those of mixed examples are by
    Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning" (2022), section 3.4. And the margin
    goes with the weight, from that of positives to that of negatives. By weights alone, which at a scale of 32 mean
    next to nothing, mixed photos are the hardest negatives of their own classes and outweigh all others. A photo whose
    weights are less than 1 together, by SnapMix, counts less in both. Where every y is 0 or 1, it is the loss itself.

    Args:
        loss: has the proxies, the margin and the scale.
        vectors: [B, D].
        labels: [B].
        mixed: their other labels, and the weights of both.
    """
    cosines = F.normalize(vectors) @ F.normalize(loss.proxies).T
    pairs = torch.stack([labels, mixed.others], 1)
    wanted = torch.zeros_like(cosines).scatter_add(1, pairs, mixed.shares.to(cosines)).clamp(max=1.0)
    whole = mixed.shares.sum(1, keepdim=True).to(cosines)
    margins = loss.margin * (2 * wanted / whole.clamp(min=1e-6) - 1)
    pulled = _log_of_one_more(loss.alpha * (margins - cosines), wanted)
    pushed = _log_of_one_more(loss.alpha * (cosines - margins), (whole - wanted).clamp(min=0.0))
    present = wanted.sum(0).clamp(max=1.0)  # a class of which next to nothing is there counts next to nothing
    return (present * pulled).sum() / present.sum().clamp(min=1e-6) + pushed.mean()


def _log_of_one_more(exponents: Tensor, weights: Tensor) -> Tensor:
    """The logarithm of 1 + sum of w exp(x) over the photos, for each proxy: [C]."""
    terms = exponents + weights.log()  # of 0 it is -inf, and its exponential 0
    return torch.cat([torch.zeros_like(terms[:1]), terms]).logsumexp(0)
