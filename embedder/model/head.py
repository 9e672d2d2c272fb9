"""From pooled features to a vector of the wanted length."""

from torch import nn

from eval.errors import InputError, unknown

HEADS = ("linear", "mlp", "none")
NORMS = ("none", "layer", "batch")


def build_head(kind: str, channels: int, dimension: int, norm: str = "none", dropout: float = 0.0) -> nn.Sequential:
    """Build a head: pooled features [B, channels] to vectors [B, dimension], not yet of unit length.

    Args:
        kind: ``linear``; ``mlp``, with one hidden layer as wide as its input; or ``none``.
        channels: length of the pooled features.
        dimension: length of the vector; with ``none`` it is ``channels`` whatever this says.
        norm: what the features go through first: ``layer``, ``batch`` or ``none``.
        dropout: probability that a feature is dropped in training, in [0, 1).

    Raises:
        InputError: an unknown kind or norm, or a number outside its range.
    """
    if kind not in HEADS:
        raise unknown("head", kind, HEADS)
    if dimension < 1:
        raise InputError(f"the vector's dimension is {dimension}; it must be at least 1")
    layers = [*_norm(norm, channels), *_dropout(dropout)]
    if kind == "mlp":
        layers += [nn.Linear(channels, channels), nn.ReLU()]
    if kind != "none":
        layers.append(_projection(channels, dimension))
    return nn.Sequential(*layers)


def _norm(name: str, channels: int) -> list[nn.Module]:
    """The norm as a list of no or one layer."""
    if name not in NORMS:
        raise unknown("norm", name, NORMS)
    layers: dict[str, list[nn.Module]] = {"layer": [nn.LayerNorm(channels)], "batch": [nn.BatchNorm1d(channels)]}
    return layers.get(name, [])


def _dropout(probability: float) -> list[nn.Module]:
    """The dropout as a list of no or one layer."""
    if not 0.0 <= probability < 1.0:
        raise InputError(f"dropout is {probability}; it must lie in [0, 1)")
    return [nn.Dropout(probability)] if probability else []


def _projection(channels: int, dimension: int) -> nn.Linear:
    """A linear layer that begins with orthogonal directions, so that an untrained head keeps angles best."""
    layer = nn.Linear(channels, dimension)
    nn.init.orthogonal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
