"""Every loss by name, with what it declares about itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pytorch_metric_learning import losses as library
from pytorch_metric_learning.distances import CosineSimilarity
from torch import Tensor, nn

from embedder.class_losses import ArcFace, ProxyNCAPlusPlus, SubCentreArcFace, unit_length, widened
from embedder.mixed_vectors import contrastive_between, multi_similarity_between

Value = float | int | bool


@dataclass(frozen=True)
class Option:
    """One option of a loss.

    Attributes:
        default: its value where none is given; its type is the option's.
        least: the smallest value that makes sense.
        greatest: the largest.
    """

    default: Value
    least: float = 0.0
    greatest: float = math.inf


@dataclass(frozen=True)
class LossContract:
    """What a loss needs and offers.

    Attributes:
        build: (classes, dimension, **options) to the loss: (vectors [B, D], labels [B], mined) to a number.
        paper: where it comes from.
        options: by name. Margins are cosines, those of angles radians.
        miners: which may choose its pairs or triplets, its default first; none for a loss against class vectors.
        margin: the option that its miner takes as margin.
        rate: learning rate of its own parameters, as a multiple of the network's; none where it has no parameters.
        between: of a loss that compares photos with photos: its loss of vectors between those of two, (Between,
            **options) to a number; None where there is none.
        softmax: of a softmax over cosines with class vectors: (**options) to what stands for a photo's cosine with its
            own class, and the scale; what Partial FC needs to know. None for other losses.
    """

    build: Callable[..., nn.Module]
    paper: str
    options: dict[str, Option]
    miners: tuple[str, ...] = ()
    margin: str = ""
    rate: float | None = None
    between: Callable[..., Tensor] | None = None
    softmax: Callable[..., tuple[Callable[[Tensor], Tensor], float]] | None = None

    @property
    def pairs(self) -> bool:
        """Whether it compares photos with photos, and so takes a miner and a memory."""
        return bool(self.miners)

    @property
    def has_parameters(self) -> bool:
        """Whether it has class vectors, which the optimiser trains, and that labels from 0 on name."""
        return self.rate is not None


def _triplet(classes: int, dimension: int, *, margin: float) -> nn.Module:
    """Hinge on the cosines of a photo with a positive and a negative, averaged over the triplets that violate it."""
    return library.TripletMarginLoss(margin, distance=CosineSimilarity())


def _contrastive(classes: int, dimension: int, *, positive_margin: float, negative_margin: float) -> nn.Module:
    """Pull positives above one cosine, push negatives below another."""
    return library.ContrastiveLoss(positive_margin, negative_margin, distance=CosineSimilarity())


def _multi_similarity(
    classes: int, dimension: int, *, alpha: float, beta: float, base: float, epsilon: float
) -> nn.Module:
    """Soft maxima over positives and negatives; ``epsilon`` is its miner's."""
    return library.MultiSimilarityLoss(alpha, beta, base)


def _supcon(classes: int, dimension: int, *, temperature: float) -> nn.Module:
    """A softmax over all other photos, averaged over the positives."""
    return library.SupConLoss(temperature)


def _proxy_anchor(classes: int, dimension: int, *, margin: float, alpha: float) -> nn.Module:
    """One proxy a class, each pulled and pushed by the batch's hardest photos; drawn as its authors draw them."""
    return library.ProxyAnchorLoss(classes, dimension, margin, alpha)


def _proxy_nca(classes: int, dimension: int, *, temperature: float) -> nn.Module:
    """A softmax over squared distances to proxies."""
    return ProxyNCAPlusPlus(classes, dimension, temperature)


def _normalised_softmax(classes: int, dimension: int, *, temperature: float) -> nn.Module:
    """A softmax over cosines with class vectors."""
    init = unit_length(dimension)
    return library.NormalizedSoftmaxLoss(classes, dimension, temperature, weight_init_func=init)


def _arcface(classes: int, dimension: int, *, margin: float, scale: float) -> nn.Module:
    """A softmax over scaled cosines, the own class's angle widened by the margin."""
    return ArcFace(classes, dimension, margin, scale, weight_init_func=unit_length(dimension))


def _sub_centre_arcface(classes: int, dimension: int, *, margin: float, scale: float, centres: int) -> nn.Module:
    """The same with several centres a class, for classes of several looks or with wrong labels."""
    return SubCentreArcFace(
        num_classes=classes,
        embedding_size=dimension,
        margin=margin,
        scale=scale,
        sub_centers=centres,
        weight_init_func=unit_length(dimension),
    )


def _cosface(classes: int, dimension: int, *, margin: float, scale: float) -> nn.Module:
    """A softmax over scaled cosines, the own class's lowered by the margin."""
    return library.CosFaceLoss(classes, dimension, margin=margin, scale=scale, weight_init_func=unit_length(dimension))


def _soft_triple(classes: int, dimension: int, *, centres: int, scale: float, gamma: float, margin: float) -> nn.Module:
    """A softmax over each class's several centres, themselves softly chosen."""
    init = unit_length(dimension)
    return library.SoftTripleLoss(classes, dimension, centres, scale, gamma, margin, weight_init_func=init)


_COSINE = (-1.0, 1.0)
_TEMPERATURE = (1e-3, 10.0)
_SCALE = (1.0, 1e3)
_TRIPLET_MINERS = ("none", "all", "semi-hard", "hard", "easy-positive", "distance-weighted")

LOSSES: dict[str, LossContract] = {
    "triplet": LossContract(
        _triplet,
        "Schroff, Kalenichenko and Philbin, FaceNet (2015), section 3.1",
        {"margin": Option(0.1, 0.0, 2.0)},
        miners=_TRIPLET_MINERS,
        margin="margin",
    ),
    "contrastive": LossContract(
        _contrastive,
        "Hadsell, Chopra and LeCun (2006), on cosines as in Wang et al., Cross-Batch Memory (2020)",
        {"positive_margin": Option(1.0, *_COSINE), "negative_margin": Option(0.5, *_COSINE)},
        miners=("none", "hard", "easy-positive", "distance-weighted"),
        between=contrastive_between,
    ),
    "multi-similarity": LossContract(
        _multi_similarity,
        "Wang, Han, Huang, Dong and Scott, Multi-Similarity Loss (2019), section 4",
        {
            "alpha": Option(2.0, *_SCALE),
            "beta": Option(50.0, *_SCALE),
            "base": Option(0.5, *_COSINE),
            "epsilon": Option(0.1, 0.0, 2.0),
        },
        miners=("multi-similarity", "none", "hard", "easy-positive", "distance-weighted"),
        margin="epsilon",
        between=multi_similarity_between,
    ),
    "supcon": LossContract(
        _supcon,
        "Khosla et al., Supervised Contrastive Learning (2020), equation 2",
        {"temperature": Option(0.1, *_TEMPERATURE)},
        miners=("none",),
    ),
    "proxy-anchor": LossContract(
        _proxy_anchor,
        "Kim, Kim, Cho and Kwak, Proxy Anchor Loss (2020), section 3.2",
        {"margin": Option(0.1, *_COSINE), "alpha": Option(32.0, *_SCALE)},
        rate=100.0,
    ),
    "proxy-nca++": LossContract(
        _proxy_nca,
        "Teh, DeVries and Taylor, ProxyNCA++ (2020), section 3",
        {"temperature": Option(1.0 / 9.0, *_TEMPERATURE)},
        rate=100.0,
    ),
    "normalised-softmax": LossContract(
        _normalised_softmax,
        "Zhai and Wu, Classification is a Strong Baseline for Deep Metric Learning (2019), section 3",
        {"temperature": Option(0.05, *_TEMPERATURE)},
        rate=100.0,
        softmax=lambda temperature: (lambda cosines: cosines, 1.0 / temperature),
    ),
    "arcface": LossContract(
        _arcface,
        "Deng, Guo, Xue and Zafeiriou, ArcFace (2019), equation 3",
        {"margin": Option(0.3, 0.0, math.pi / 2), "scale": Option(32.0, *_SCALE)},
        rate=100.0,
        softmax=lambda margin, scale: (lambda cosines: widened(cosines, margin), scale),
    ),
    "sub-centre-arcface": LossContract(
        _sub_centre_arcface,
        "Deng, Guo, Liu, Gong and Zafeiriou, Sub-center ArcFace (2020), section 3",
        {"margin": Option(0.3, 0.0, math.pi / 2), "scale": Option(32.0, *_SCALE), "centres": Option(3, 1, 100)},
        rate=100.0,
    ),
    "cosface": LossContract(
        _cosface,
        "Wang et al., CosFace (2018), equation 4",
        {"margin": Option(0.25, 0.0, 1.0), "scale": Option(32.0, *_SCALE)},
        rate=100.0,
        softmax=lambda margin, scale: (lambda cosines: cosines - margin, scale),
    ),
    "soft-triple": LossContract(
        _soft_triple,
        "Qian et al., SoftTriple Loss (2019), section 3, without merging centres",
        {
            "centres": Option(10, 1, 100),
            "scale": Option(20.0, *_SCALE),
            "gamma": Option(0.1, *_TEMPERATURE),
            "margin": Option(0.01, 0.0, 1.0),
        },
        rate=100.0,
    ),
}
