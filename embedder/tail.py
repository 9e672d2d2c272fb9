"""What lies behind the feature map of an embedder, read from its file: pooling, head, parts, directions.

Each step is told by the nodes of the graph, so that no file needs to say how it was made.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Step = Callable[[Array], Array]
"""What places add to numbers [P, C], to what they add to the numbers of the next layer [P, C']."""

Pooling = Callable[[Array, Array | None], Array]
"""Features of places [P, C] and part maps [M, P], if any, to what each place adds to the pooled features [P, C]."""


@dataclass(frozen=True)
class Tail:
    """What is done with the feature map of one view of a photo.

    Attributes:
        pool: from features to shares of the pooled features.
        head: from those to shares of the vector.
        project: [D, M, C], what the features of the parts add to the vector; None where nothing is.
        directions: [D, d] that the finished vector is projected to; None where it is not.
        exact: whether the shares add up to the vector by themselves, not by being scaled to it.
    """

    pool: Pooling
    head: Sequence[Step]
    project: Array | None
    directions: Array | None
    exact: bool


@lru_cache(maxsize=4)
def read_tail(path: Path, fingerprint: str) -> Tail:
    """Read it from an ``embedder.onnx``; ``fingerprint`` tells a file from another one that has taken its place."""
    import onnx  # noqa: PLC0415 - half a second, which only explanations need

    graph = _Graph(onnx.load(path).graph)
    pooling, pool = _pooling(graph)
    head = [*_head(graph)]
    exact = pooling in {"avg", "max", "avg+max"} and _positive not in head
    project = _project(graph)
    return Tail(pool, head, project, graph.constant("directions"), exact and project is None)


class _Graph:
    """The nodes of an ONNX graph, and its constants by name."""

    def __init__(self, graph: Any) -> None:
        self.nodes = [*graph.node]
        self._weights = {weight.name: weight for weight in graph.initializer}
        self._made = {name: node for node in self.nodes for name in node.output}

    def constant(self, name: str) -> Array | None:
        """A weight, whether it is stored in 32, 16 or 8 bits; None for what depends on the photo."""
        from onnx import numpy_helper  # noqa: PLC0415 - as above

        if name in self._weights:
            return numpy_helper.to_array(self._weights[name]).astype(np.float64)
        node = self._made.get(name)
        if node is None or node.op_type not in {"Cast", "DequantizeLinear"}:
            return None
        value, *scales = (self.constant(given) for given in node.input)
        if value is None or not scales:
            return value
        scale, zero = (np.ones(1) if one is None else one for one in (*scales, np.zeros(1))[:2])
        across = [1] * value.ndim
        if scale.size > 1:
            across[attribute(node, "axis", 1)] = -1
        return (value - zero.reshape(across)) * scale.reshape(across)

    def behind(self) -> Iterator[Any]:
        """The nodes from the feature map to the first division by a length; not those of other views beside them."""
        reached = {"features"}
        for node in self.nodes:
            if not reached & {*node.input}:
                continue
            if node.op_type in {"ReduceL2", "LpNormalization"}:
                return
            reached.update(node.output)
            yield node

    def taking(self, name: str) -> dict[str, Any]:
        """The nodes that take a value, by their operators."""
        return {node.op_type: node for node in self.nodes if name in node.input}


def attribute(node: Any, name: str, default: Any) -> Any:
    """An attribute of a node."""
    from onnx import helper  # noqa: PLC0415 - as above

    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _pooling(graph: _Graph) -> tuple[str, Pooling]:
    """The pooling and its name, by what takes the feature map."""
    taking = graph.taking("features")
    score = graph.constant("network.pooling.score")
    if score is not None:
        return "attention", lambda places, _: _softmax(places @ score.ravel())[:, None] * places
    if "Clip" in taking:
        clipped = graph.taking(taking["Clip"].output[0])
        shares = graph.taking(clipped["Div"].output[0]) if "Div" in clipped else clipped
        smallest = graph.constant(taking["Clip"].input[1])
        p = graph.constant(shares["Pow"].input[1]) if "Pow" in shares else None
        if smallest is not None and p is not None:
            return "gem", lambda places, _: _generalised(places.clip(float(smallest.item())), float(p.item()))
    known = {"avg": {"ReduceMean"}, "max": {"ReduceMax"}, "avg+max": {"ReduceMean", "ReduceMax"}}
    found = taking.keys() & {"ReduceMean", "ReduceMax"}
    name = next((name for name, wanted in known.items() if wanted == found), "unknown")
    pools: dict[str, Pooling] = {
        "avg": lambda places, _: places / len(places),
        "max": lambda places, _: _greatest(places),
        "avg+max": lambda places, _: places / len(places) + _greatest(places),
    }
    return name, pools.get(name, _looked_at)


def _looked_at(places: Array, maps: Array | None) -> Array:
    """Places weighed by what the heads of a transformer look at, where that is known: a token is no sum of them."""
    if maps is None or not maps.any():
        return places / len(places)
    return (maps.sum(0) / maps.sum())[:, None] * places


def _greatest(places: Array) -> Array:
    """Each channel is its greatest place's, the first one's of several."""
    shares = np.zeros_like(places)
    channels = np.arange(places.shape[1])
    where = places.argmax(0)
    shares[where, channels] = places[where, channels]
    return shares


def _generalised(places: Array, p: float) -> Array:
    """The p-mean, divided by what each place has of the sum of powers."""
    greatest = places.max(0)
    powers = (places / greatest) ** p
    return powers / powers.sum(0) * greatest * powers.mean(0) ** (1 / p)


def _softmax(scores: Array) -> Array:
    """Shares of sum 1."""
    shares = np.exp(scores - scores.max())
    normalised: Array = shares / shares.sum()
    return normalised


def _head(graph: _Graph) -> Iterator[Step]:
    """The layers of the head, as what they do to shares."""
    last = ""
    for node in graph.behind():
        if any(name.startswith(("network.pooling.", "network.parts.")) for name in node.input):
            continue
        weights = [weight for weight in map(graph.constant, node.input[1:]) if weight is not None]
        bias = weights[1] if len(weights) > 1 else np.zeros(1)  # which exporters leave out where it is 0
        if node.op_type == "Relu" and last and node.input[0].startswith(last):
            yield _positive
        elif node.op_type == "BatchNormalization" and len(weights) == 4:
            yield _batch_norm(weights[0], bias, weights[2], weights[3], attribute(node, "epsilon", 1e-5))
        elif node.op_type == "LayerNormalization" and weights:
            yield _layer_norm(weights[0], bias, attribute(node, "epsilon", 1e-5))
        elif node.op_type in {"Gemm", "MatMul"} and weights and weights[0].ndim == 2:
            last = node.output[0]
            yield _linear(weights[0].T if attribute(node, "transB", 0) else weights[0], bias)


def _positive(shares: Array) -> Array:
    """What is cut off at 0, given where it is."""
    return shares * (shares.sum(0) > 0)


def _linear(weight: Array, bias: Array) -> Step:
    """A matrix [C, C'] and a bias, which is spread evenly over the places."""
    return lambda shares: shares @ weight + bias / len(shares)


def _batch_norm(weight: Array, bias: Array, mean: Array, variance: Array, epsilon: float) -> Step:
    """A scale and a shift for each channel."""
    scale = weight / np.sqrt(variance + epsilon)
    return lambda shares: shares * scale + (bias - mean * scale) / len(shares)


def _layer_norm(weight: Array, bias: Array, epsilon: float) -> Step:
    """A scale and a shift, given the photo's own mean and deviation."""

    def normalised(shares: Array) -> Array:
        deviation = np.sqrt(shares.sum(0).var() + epsilon)
        return (shares - shares.mean(1, keepdims=True)) / deviation * weight + bias / len(shares)

    return normalised


def _project(graph: _Graph) -> Array | None:
    """What the features of the parts add to the vector, [D, M, C]; None where nothing is."""
    attend = graph.constant("network.parts.attend.weight")
    for node in graph.nodes:
        names = [name for name in node.input[1:] if name.startswith("network.parts.project.")]
        weight = graph.constant(names[0]) if names else None
        if attend is not None and weight is not None:
            weight = weight if attribute(node, "transB", 0) else weight.T
            return weight.reshape(len(weight), *attend.shape[:2])
    return None
