"""Smaller and faster networks, made from an exported one: fewer numbers a vector, fewer bits a weight."""

import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from embedder.batches import check_readable, embed_whole
from embedder.data.catalog import Catalog
from embedder.graph import write
from embedder.runtime import CPU, Embedder
from eval.errors import InputError
from eval.images import BadImage

Precision = Literal["fp32", "fp16", "int8"]

LARGE = 1024
"""Numbers of a weight that half precision is worth a cast for."""

CALIBRATION, AT_ONCE = 256, 8
"""Photos whose activations set the scales of 8 bits, and how many are looked at together."""

MAPS = ("features", "parts")
"""Outputs that a closer look is found from."""

FITTED = 5000
"""Photos whose vectors principal directions are taken from."""


def principal_directions(vectors: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
    """The orthonormal directions ``[D, dimension]`` that keep most of the products between some vectors ``[N, D]``.

    Their leading right singular vectors (Eckart and Young 1936). The mean is not subtracted first, as it is for
    principal components: vectors are compared by their cosines, which that would change.

    Raises:
        InputError: there are fewer vectors than directions.
    """
    if len(vectors) < dimension:
        raise InputError(f"{len(vectors)} training photos are too few for {dimension} directions; give more, or fewer")
    _, _, rows = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)
    return np.ascontiguousarray(rows[:dimension].T, np.float32)


def projected(model: onnx.ModelProto, directions: NDArray[np.float32]) -> onnx.ModelProto:
    """A network whose vectors are projected, and divided by their length.

    Args:
        model: has an output ``vector`` ``[B, D]``; left as it is.
        directions: ``[D, d]``, orthonormal columns.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    for node in graph.node:
        node.output[:] = ["whole_vector" if name == "vector" else name for name in node.output]
        node.input[:] = ["whole_vector" if name == "vector" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(directions, "directions"))
    graph.node.extend(
        [
            helper.make_node("MatMul", ["whole_vector", "directions"], ["projected_vector"]),
            helper.make_node("LpNormalization", ["projected_vector"], ["vector"], axis=-1, p=2),
        ]
    )
    for output in graph.output:
        if output.name == "vector":
            output.type.tensor_type.shape.dim[1].dim_value = directions.shape[1]
    return made


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A network whose large weights are stored in half precision, and computed with in single precision as before.

    Half the file at the same speed: a CPU has no faster arithmetic for half precision, and ONNX Runtime widens the
    weights once, when it opens the file.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, casts = made.graph, []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= LARGE:
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
            casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return made


def quantised(model: onnx.ModelProto, batches: Sequence[NDArray[np.uint8]]) -> onnx.ModelProto:
    """A network that computes in 8 bits: weights a scale for each channel, activations one each, between the extremes
    that they reach on some photos.

    Args:
        model: has the input ``images`` uint8 ``[B, S, S, 3]``, or 4 where ``Preprocessing.marked``.
        batches: prepared photos, such as those that it was trained on.
    """
    with tempfile.TemporaryDirectory() as folder, _silent():
        model, path = _folded(model, Path(folder, "folded.onnx")), Path(folder, "quantised.onnx")
        quantize_static(
            model,
            path,
            _Photos(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=[*_finding_places(model.graph), *_taking_powers(model.graph)],
        )
        return onnx.load(path)


def _folded(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """A network with its batch norm in the weights before it.

    The exporter leaves it behind these where several views share them. Among 8 bits it would then be the one layer in
    float, and make the network slower than it was.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    return onnx.load(path)


def _finding_places(graph: onnx.GraphProto) -> list[str]:
    """The nodes between weights or maps and the places that a closer look samples a photo at.

    In 8 bits there would be 256 such places in all, so that a quarter of the photo would be seen as 64 stripes.
    """
    return _leading_to([node.input[1] for node in graph.node if node.op_type == "GridSample"], graph)


def _taking_powers(graph: onnx.GraphProto) -> list[str]:
    """The nodes between the feature map and the powers of its pooling.

    In 8 bits the least value that GeM lets a place have would be 0, and the share of a channel that is nowhere active
    0 / 0.
    """
    behind = {*MAPS}
    powers: list[str] = []
    for node in graph.node:
        if behind & {*node.input}:
            behind.update(node.output)
            powers += node.output if node.op_type == "Pow" else []
    return _leading_to(powers, graph)


def _leading_to(wanted: list[str], graph: onnx.GraphProto) -> list[str]:
    """The nodes that some values are made by, back to weights or maps."""
    large = {weight.name for weight in graph.initializer if math.prod(weight.dims) >= LARGE}
    made_by = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    while wanted:
        name = wanted.pop()
        node = made_by.get(name)
        if node is None or node.name in found or name in MAPS or large & {*node.input}:
            continue
        found[node.name] = None
        wanted += node.input
    return [*found]


def looks_at_photos(embedder: Embedder, precision: Precision, dimension: int | None) -> bool:
    """Whether ``reduce`` takes photos to make an embedder so much smaller."""
    return precision == "int8" or not (dimension is None or _is_prefix(embedder, dimension))


def _is_prefix(embedder: Embedder, dimension: int) -> bool:
    """Whether the first numbers of a vector were trained to do alone."""
    return dimension in embedder.summary.get("prefixes", ())


def reduce(file: Path, precision: Precision, dimension: int | None, photos: Catalog | None) -> None:
    """Make an embedder smaller, in its place.

    Args:
        file: the embedder.
        precision: of its weights, or of all that it computes.
        dimension: of its vectors; None for what they have.
        photos: that it was trained on; the scales of 8 bits and principal directions are taken from some of them. None
            where it ``looks_at_photos`` not.

    Raises:
        InputError: none of them can be read, or they are too few.
    """
    if precision != "fp32":
        embedder, model = Embedder.open(file), onnx.load(file)
        if precision == "fp16":
            made = halved(model)
        else:
            made = quantised(model, _prepared(embedder, _some(photos, CALIBRATION)))
        _replace(file, made, embedder, embedder.dimension, precision=precision)
    if dimension is not None:
        embedder = Embedder.open(file)
        if _is_prefix(embedder, dimension):
            directions, by = np.eye(embedder.dimension, dimension, dtype=np.float32), "prefix"
        else:
            vectors = embed_whole(embedder, _some(photos, FITTED))[0].vectors
            directions, by = principal_directions(vectors, dimension), "principal directions"
        _replace(file, projected(onnx.load(file), directions), embedder, dimension, shortened_by=by)


def _replace(file: Path, model: onnx.ModelProto, embedder: Embedder, dimension: int, **remarks: str) -> None:
    """Write another graph into the file of an embedder."""
    write(model, embedder.preprocessing, embedder.views, dimension, embedder.summary | remarks, file)


def _some(photos: Catalog | None, most: int) -> Catalog:
    """Some photos, always the same ones."""
    assert photos is not None
    return photos.select(np.sort(np.random.default_rng(0).permutation(len(photos))[:most]))


def _prepared(embedder: Embedder, photos: Catalog) -> list[NDArray[np.uint8]]:
    """Those that can be read of some photos, in batches for the network."""
    pixels, left_out = [], []
    for row in range(len(photos)):
        try:
            pixels.append(embedder.prepare(photos.file(row), photos.box(row)))
        except BadImage as error:
            left_out.append({"path": photos.paths[row], "reason": error.reason})
    check_readable(left_out, len(photos), photos.root)
    return [np.stack(pixels[start : start + AT_ONCE]) for start in range(0, len(pixels), AT_ONCE)]


@contextmanager
def _silent() -> Iterator[None]:
    """Without the quantiser's advice to whoever calls it."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


class _Photos(CalibrationDataReader):
    """Prepared photos as the quantiser asks for them."""

    def __init__(self, batches: Sequence[NDArray[np.uint8]]) -> None:
        self._rest = iter(batches)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch; None at the end."""
        batch = next(self._rest, None)
        return None if batch is None else {"images": batch}
