"""A network becomes ``embedder.onnx``: one file that turns pixels into vectors anywhere, and names itself.

Training ends with it. ``python -m embedder.export RUN --views VIEWS --out FILE`` writes another such file of a finished
run: another embedder, with its own fingerprint.
"""

import copy
import dataclasses
import filecmp
import hashlib
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
import yaml
from google.protobuf.message import Message
from torch import Tensor, nn

from embedder import checkpoint
from embedder.config import CONFIG, ModelSettings
from embedder.model.network import Network, build_network
from embedder.preprocess import Preprocessing
from embedder.runtime import FORMAT, METADATA_KEY, Embedder, open_session, trained_on_file
from eval.command import run as run_command
from eval.errors import InputError
from eval.files import real_path, replacing

Views = Literal["whole", "whole,mirror"]

OPSET = 18
"""Pinned: other operators would be another graph, and so another fingerprint for the same weights."""

AGREEMENT = 0.9999
"""Least cosine between the network's vectors and those of the exported file."""

REMARKS = ("doc_string", "metadata_props", "producer_name", "producer_version")
"""Where the exporter writes stack traces, paths and versions."""


def main(run: Path, *, views: Views, out: Path, overwrite: bool = False) -> Path:
    """Export the network of a finished run once more, so that a vector is made from other views of the photo.

    The new file is another embedder: its vectors are compared with its own only, so an index is built anew with it.

    Args:
        run: a run folder.
        views: whole for the photo as it is; whole,mirror for the mean of the vectors of the photo and of its mirror
            image, which takes twice the time.
        out: the file, such as embedder-mirror.onnx; the list of the photos trained on is put beside it.
        overwrite: replace the file that is there.

    Returns:
        The file.
    """
    embedder = Embedder.open(run)
    if out.suffix != ".onnx" or real_path(out) == real_path(embedder.path):
        raise InputError(f"{out} is no name for it; give one that ends in .onnx and is not the run's own file")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; give another --out, or --overwrite")
    photos, beside = trained_on_file(embedder.path), trained_on_file(out)
    if beside.exists() and not overwrite and not (photos.exists() and filecmp.cmp(photos, beside, shallow=False)):
        raise InputError(f"{beside} exists and is the list of another embedder; give another --out, or --overwrite")
    network = trained_network(run, mirror="mirror" in views)
    out.parent.mkdir(parents=True, exist_ok=True)
    if photos.exists():
        shutil.copy(photos, beside)
    name = export(network, embedder.preprocessing, out, embedder.summary)
    print(f"fingerprint: {name}", file=sys.stderr)
    print(out)
    return out


def trained_network(run: Path, mirror: bool) -> Network:
    """The network of a run with its best weights, in evaluation mode.

    Args:
        run: a finished run folder.
        mirror: whether the vector of the mirrored photo is added.

    Raises:
        InputError: the folder lacks what the network is made from.
    """
    for name in (CONFIG, checkpoint.BEST):
        if not (run / name).is_file():
            raise InputError(f"{run} has no {name}, which the network is made from; give the run folder of a training")
    settings = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))["model"]
    # All weights come from the checkpoint, so that the pretrained ones need not be had again.
    network = build_network(dataclasses.replace(ModelSettings(**settings), weights="random", mirror=mirror))
    network.load_state_dict(checkpoint.load(run / checkpoint.BEST)["network"])
    return network.eval()


class _WithTuple(nn.Module):
    """The network with its outputs as a plain tuple, which the exporter can name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(images)
        return output.vector, output.features


def export(network: nn.Module, preprocessing: Preprocessing, path: Path, summary: dict[str, Any]) -> str:
    """Write a network as one ONNX file, and prove that the file gives the network's vectors.

    The file computes in float32 whatever the network was trained in. The side of the images is fixed to that of the
    preprocessing, which makes the graph simpler and faster; the number of images is free.

    Args:
        network: maps uint8 ``[B, S, S, 3]`` to an output with ``vector`` ``[B, D]`` of unit length and ``features``
            ``[B, C, h, w]``; left as it is.
        preprocessing: how photos become its images.
        path: where to write; replaced in one step.
        summary: how the network was trained, as JSON values; no part of the fingerprint.

    Returns:
        The fingerprint.

    Raises:
        RuntimeError: ONNX Runtime's vectors differ from the network's, so nothing was written.
    """
    frozen = _WithTuple(copy.deepcopy(network)).cpu().float().eval()
    views = ["whole", "mirror"] if network.mirror else ["whole"]
    images = _examples(preprocessing.size)
    with torch.no_grad():
        vectors, features = (output.numpy() for output in frozen(torch.from_numpy(images)))
    model = _translate(frozen, images)
    _strip(model)
    name = fingerprint(model, preprocessing, views)
    metadata = {
        "format": FORMAT,
        "preprocessing": preprocessing.to_json(),
        "views": views,
        "dimension": vectors.shape[1],
        "fingerprint": name,
        "summary": summary,
    }
    onnx.helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata)})
    with replacing(path) as beside:
        beside.write_bytes(model.SerializeToString())
        _check(beside, images, vectors, features)
        _check(beside, images[:1], vectors[:1], features[:1])
    return name


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


def _translate(network: nn.Module, images: np.ndarray) -> onnx.ModelProto:
    """The network's graph for images of this size and any number of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            network,
            (torch.from_numpy(images),),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            verbose=False,
            input_names=["images"],
            output_names=["vector", "features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return program.model_proto


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


def _examples(size: int) -> np.ndarray:
    """Three images that have little in common: noise, a slope of colours, and stripes."""
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    across = np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8), (size, size))
    slope = np.stack([across, across.T, 255 - across], axis=-1)
    stripes = np.broadcast_to(np.uint8(255) * (np.arange(size, dtype=np.uint8) // 2 % 2)[:, None, None], slope.shape)
    return np.stack([noise, slope, stripes])


def _check(file: Path, images: np.ndarray, vectors: np.ndarray, features: np.ndarray) -> None:
    """Run the exported file on ``images`` and hold its outputs against the network's."""
    found, found_features = open_session(file).run(["vector", "features"], {"images": images})
    lengths = np.linalg.norm(found, axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise RuntimeError(f"the network's vectors have the lengths {lengths}; they must be 1")
    cosine = (found * vectors).sum(axis=1).min()
    if not cosine >= AGREEMENT:
        raise RuntimeError(f"the exported vectors and the network's differ: their least cosine is {cosine}")
    if not np.allclose(found_features, features, rtol=0, atol=1e-3 * np.abs(features).max()):
        raise RuntimeError("the exported features and the network's differ")


if __name__ == "__main__":
    run_command(main)
