"""An embedder's ONNX graph: its name, and the file that it is written into with what belongs to it."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import Message

from embedder.preprocess import Preprocessing
from embedder.runtime import FORMAT, METADATA_KEY
from eval.errors import InputError

REMARKS = ("doc_string", "metadata_props", "producer_name", "producer_version")
"""Where the exporter writes stack traces, paths and versions."""

MOST_WEIGHTS = (2**31 - 2**26) // 4
"""Of single precision: ONNX is written as one message of protobuf, which ends at 2 GiB; the graph takes some of it."""


def write(
    model: onnx.ModelProto,
    preprocessing: Preprocessing,
    views: Sequence[str],
    dimension: int,
    summary: dict[str, Any],
    path: Path,
) -> str:
    """Write a graph with what belongs to it; its fingerprint."""
    _strip(model)
    name = fingerprint(model, preprocessing, views)
    metadata = {
        "format": FORMAT,
        "preprocessing": preprocessing.to_json(),
        "views": list(views),
        "dimension": dimension,
        "fingerprint": name,
        "summary": summary,
    }
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    path.write_bytes(model.SerializeToString())
    return name


def check_weights(count: int) -> None:
    """Refuse a network of more weights than one file holds, before it is trained.

    Raises:
        InputError: says how many it may have.
    """
    if count > MOST_WEIGHTS:
        raise InputError(
            f"the network has {count / 1e6:.0f} million weights, and the file of an embedder holds at most "
            f"{MOST_WEIGHTS / 1e6:.0f} million; choose a smaller model.backbone"
        )


def fingerprint(model: onnx.ModelProto, preprocessing: Preprocessing, views: Sequence[str]) -> str:
    """Name what a vector depends on: SHA-256 over weights, graph, preprocessing and views, as hexadecimal digits.

    The names that the exporter gave to weights and to values between nodes do not count, nor do its remarks.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(model.graph)
    _strip(graph)
    _number(graph)
    digest = hashlib.sha256(graph.SerializeToString(deterministic=True))
    operators = sorted((opset.domain, opset.version) for opset in model.opset_import)
    rest = {"operators": operators, "preprocessing": preprocessing.to_json(), "views": list(views)}
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return digest.hexdigest()


def _strip(message: Message) -> None:
    """Clear the exporter's remarks everywhere in a message."""
    for name in REMARKS:
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for field, value in message.ListFields():
        if field.message_type:
            for child in [value] if isinstance(value, Message) else value:
                _strip(child)


def _number(graph: onnx.GraphProto) -> None:
    """Give weights and values between nodes numbers in order of their use as names, and nodes none."""
    names = {value.name: value.name for value in (*graph.input, *graph.output)} | {"": ""}
    for node in graph.node:
        node.name = ""
        for values in (node.input, node.output):
            values[:] = [names.setdefault(value, str(len(names))) for value in values]
    for weight in graph.initializer:
        weight.name = names[weight.name]
    graph.initializer.sort(key=lambda weight: weight.name)
    del graph.value_info[:]
