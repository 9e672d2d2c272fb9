"""A network becomes ``embedder.onnx``: one file that turns pixels into vectors anywhere, and names itself.

Training ends with it. ``python -m embedder.export RUN --out FILE`` writes another such file of a finished run, with
other views, another size of photos, smaller or faster: another embedder, with its own fingerprint.
"""

import copy
import dataclasses
import filecmp
import shutil
import sys
import tempfile
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from embedder import checkpoint
from embedder.config import Look, ModelSettings
from embedder.cost import Cost, measure
from embedder.data.catalog import Catalog, read_catalog
from embedder.data.splits import Split
from embedder.export_check import check_outputs, examples
from embedder.graph import write
from embedder.model.network import Network, build_network
from embedder.preprocess import GREATEST_SIZE, Preprocessing
from embedder.reduced import Precision, looks_at_photos, reduce
from embedder.run_folder import run_file, run_photos, run_settings
from embedder.runtime import Embedder, trained_on_file
from eval.command import run as run_command
from eval.errors import InputError, unknown
from eval.files import real_path, replacing
from eval.images import BadImage, read_id

VIEWS = ("whole", "closer", "mirror", "smaller")

MAX_LOSS = 0.01
"""Of recall@1."""

OPSET = 18
"""Pinned: other operators would be another graph, and so another fingerprint for the same weights."""


def main(
    run: Path,
    *,
    out: Path,
    views: str | None = None,
    size: int | None = None,
    precision: Precision = "fp32",
    dimension: int | None = None,
    photos: str | None = None,
    max_loss: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Export the network of a finished run once more: with other views or a larger picture, smaller or faster.

    The new file is another embedder: its vectors are compared with its own only, so an index is built anew with it.
    What a smaller or faster one costs and saves is measured, on the photos that the run has held out; other views
    and sizes are measured on the photos that are given.

    Args:
        run: a run folder.
        out: the file, such as embedder-small.onnx; the list of the photos trained on is put beside it.
        views: what a vector is the mean of, such as whole,mirror: whole for the photo as it is; closer for the square
            that the network attends to, without the whole photo (unless a box has cut it out) or, of a run with parts,
            with it; mirror for the mirror image, which takes as long again; smaller for the photo at 0.67 to 0.8 of its
            size, which takes half as long, and is best with a larger --size; by default those of the run.
        size: side in pixels of the square that the network sees a photo as; by default data.test_size of the run. Many
            networks tell more apart in photos somewhat larger than those of training; the time grows with the square.
        precision: fp16 stores the weights in half of the bits; int8 computes in 8 bits, which is faster on most CPUs,
            and looks at training photos to set its scales.
        dimension: length of a vector: principal directions of the training photos' vectors; the first numbers where
            the run was trained for that (loss.prefixes).
        photos: labelled photos to measure on, that the network was not trained on, instead of those held out.
        max_loss: how much lower recall@1 may be (0.01 unless given); nothing is written where it is lower.
        overwrite: replace the file that is there.

    Returns:
        The file.
    """
    embedder = Embedder.open(run)
    wanted = embedder.views if views is None else _read_views(views, run)
    reduced = precision != "fp32" or dimension is not None
    if not (views or size is not None or reduced):
        raise InputError("nothing is to be changed; give --views, --size, --precision or --dimension")
    seen_as = _seen_as(run, embedder, wanted, size)
    _check_dimension(embedder, dimension)
    _check_place(embedder, out, overwrite)
    held = run_photos(run) if reduced and (photos is None or looks_at_photos(embedder, precision, dimension)) else None
    measured_on = _measured_on(embedder, held, photos, max_loss)
    with tempfile.TemporaryDirectory() as work:
        made = Path(work, out.name)
        _put_together(run, embedder, wanted, seen_as, made)
        if reduced:
            reduce(made, precision, dimension, held.training if held else None)
        if measured_on:
            cost = measure(embedder, Embedder.open(made), measured_on)
            print(cost)
            _check_loss(cost, MAX_LOSS if max_loss is None else max_loss)
        _put(made, out, trained_on_file(embedder.path))
    print(f"fingerprint: {Embedder.open(out).fingerprint}", file=sys.stderr)
    print(out)
    return out


def _seen_as(run: Path, embedder: Embedder, views: tuple[str, ...], size: int | None) -> Preprocessing:
    """How photos are seen: larger where a closer look is cut out of them."""
    detail = ModelSettings(**run_settings(run)["model"]).look_detail if "closer" in views else 1
    before = embedder.preprocessing
    if detail > 1 and size is not None and size > GREATEST_SIZE // detail:
        raise InputError(
            f"--size is {size}; it must be at most {GREATEST_SIZE // detail}, as {run} cuts closer looks out of photos "
            f"{detail} times as large (model.look_detail)"
        )
    seen = before.seen if size is None else size
    return dataclasses.replace(before, size=detail * seen, detail=detail, marked=views[0] == "closer")


def _read_views(views: str, run: Path) -> tuple[str, ...]:
    """Names between commas, in the order in which an embedder lists them, which the network of a run can make."""
    wanted = views.split(",")
    for name in wanted:
        if name not in VIEWS:
            raise unknown("view", name, VIEWS)
    if not {"whole", "closer"} & {*wanted}:
        raise InputError(f"--views is {views}; whole or closer must be among them")
    model = ModelSettings(**run_settings(run)["model"])
    if {"whole", "closer"} <= {*wanted} and not model.finds_parts:
        raise InputError(f"--views {views} needs a run with parts (model.parts), and {run} has none; closer does not")
    if {"whole", "closer"} <= {*wanted} and model.look_side:
        raise InputError(
            f"--views {views} looks at all that is attended to, and {run} at a square of a known side "
            f"(model.look_side {model.look_side}), as closer alone does"
        )
    if model.look == "first" and "closer" not in wanted:
        print("these views see whole photos; the run looks at what it attends to: closer, not whole", file=sys.stderr)
    return tuple(name for name in VIEWS if name in wanted)


def _check_dimension(embedder: Embedder, dimension: int | None) -> None:
    """Refuse vectors that would be no shorter."""
    if dimension is not None and not 1 <= dimension < embedder.dimension:
        raise InputError(
            f"dimension is {dimension}; it must be at least 1 and below {embedder.dimension}, the run's own"
        )


def _check_place(embedder: Embedder, out: Path, overwrite: bool) -> None:
    """Refuse to write over what is not to be written over.

    Where a link leads, others may open an embedder, with the list of its photos beside it.
    """
    if out.is_symlink():
        raise InputError(f"{out} is a link to {real_path(out)}; give another --out, or take the link away")
    if out.suffix != ".onnx" or real_path(out) == real_path(embedder.path):
        raise InputError(f"{out} is no name for it; give one that ends in .onnx and is not the run's own file")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; give another --out, or --overwrite")
    photos, beside = trained_on_file(embedder.path), trained_on_file(out)
    if beside.exists() and not overwrite and not (photos.exists() and filecmp.cmp(photos, beside, shallow=False)):
        raise InputError(f"{beside} exists and is the list of another embedder; give another --out, or --overwrite")


def _put_together(
    run: Path, embedder: Embedder, views: tuple[str, ...], preprocessing: Preprocessing, made: Path
) -> None:
    """Write the network of a run with such views and sizes; as it is, where they are its embedder's own."""
    if (views, preprocessing) == (embedder.views, embedder.preprocessing):
        shutil.copy(embedder.path, made)
        return
    network = trained_network(run, views)
    network.check_size(preprocessing.seen)
    export(network, preprocessing, made, embedder.summary)


def _put(made: Path, out: Path, trained_on: Path) -> None:
    """Bring an embedder to its place, with the list of the photos that it was trained on."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as beside:
        shutil.copy(made, beside)
    if trained_on.exists():
        with replacing(trained_on_file(out)) as beside:
            shutil.copy(trained_on, beside)
    else:
        trained_on_file(out).unlink(missing_ok=True)


def _measured_on(embedder: Embedder, held: Split | None, photos: str | None, max_loss: float | None) -> Catalog | None:
    """The photos that the cost is measured on; none for other views, where neither they nor a loss are given."""
    if photos is not None:
        chosen = read_catalog(photos)
        chosen.check_labelled("measuring recall@1")
        _say_how_many_were_trained_on(embedder, chosen)
        return chosen
    if held is None and max_loss is not None:
        raise InputError(
            f"--max-loss is {max_loss:g}, but other views and sizes are measured on photos that are given: --photos"
        )
    if held is not None and not len(held.validation):
        raise InputError("the run has held out no photos to measure on; give some that it was not trained on, --photos")
    if held is None:
        return None
    _say_how_many_were_trained_on(embedder, held.validation)  # other photos are held out where some have been added
    return held.validation


def _say_how_many_were_trained_on(embedder: Embedder, photos: Catalog) -> None:
    """Tell of photos to measure on that the embedder was trained on."""
    known, seen = embedder.trained_on or frozenset(), 0
    for row in range(len(photos)):
        with suppress(BadImage):
            seen += read_id(photos.file(row), photos.box(row)) in known
    if seen:
        print(
            f"the run was trained on {seen} of the {len(photos)} photos that are measured on, in {photos.root}: on "
            "those the cost says little",
            file=sys.stderr,
        )


def _check_loss(cost: Cost, most: float) -> None:
    """Refuse an embedder that is worse by more than is accepted."""
    if -cost.difference.mean > most:
        raise InputError(
            f"recall@1 falls by {-cost.difference.mean:.3f}, more than --max-loss {most:g}; nothing is written"
        )


def trained_network(run: Path, views: Collection[str] = ("whole",)) -> Network:
    """The network of a run with its best weights, in evaluation mode.

    Args:
        run: a finished run folder.
        views: what its vectors are to be made from, as ``Network.views`` names it.

    Raises:
        InputError: the folder lacks what the network is made from, or the network cannot make such a view.
    """
    settings, best = run_settings(run)["model"], run_file(run, checkpoint.BEST)
    look: Look = "none" if "closer" not in views else "second" if "whole" in views else "first"
    # All weights come from the checkpoint, so that the pretrained ones need not be had again.
    network = build_network(
        dataclasses.replace(
            ModelSettings(**settings),
            weights="random",
            mirror="mirror" in views,
            smaller="smaller" in views,
            look=look,
        )
    )
    network.load_state_dict(checkpoint.load(best)["network"])
    return network.eval()


def output_names(network: Any) -> list[str]:
    """What the exported file gives for each photo."""
    parts = ["parts"] if network.has_parts else []
    closer = ["region"] if network.views[0] == "closer" else []
    return ["vector", "features", *parts, *closer, *(["smaller"] if "smaller" in network.views else [])]


class _WithTuple(nn.Module):
    """The network with its outputs as a plain tuple, which the exporter can name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        output = self.network(images)
        return tuple(getattr(output, name) for name in output_names(self.network))


def export(network: Any, preprocessing: Preprocessing, path: Path, summary: dict[str, Any]) -> str:
    """Write a network as one ONNX file, and prove that the file gives the network's vectors.

    The file computes in float32 whatever the network was trained in. The side of the images is fixed to that of the
    preprocessing, which makes the graph simpler and faster; the number of images is free.

    Args:
        network: maps uint8 ``[B, S, S, 3]``, or 4 where ``preprocessing.marked``, to an output with ``vector``
            ``[B, D]`` of unit length and ``features`` ``[B, C, h, w]``, and what else its views give
            (``output_names``); left as it is.
        preprocessing: how photos become its images.
        path: where to write; replaced in one step.
        summary: how the network was trained, as JSON values; no part of the fingerprint.

    Returns:
        The fingerprint.

    Raises:
        RuntimeError: ONNX Runtime's vectors differ from the network's, so nothing was written.
    """
    frozen = _WithTuple(copy.deepcopy(network)).cpu().float().eval()
    images = examples(preprocessing, "closer" in network.views)
    with torch.no_grad():
        outputs = {
            name: output.numpy()
            for name, output in zip(output_names(network), frozen(torch.from_numpy(images)), strict=True)
        }
    model = _translate(frozen, images)
    with replacing(path) as beside:
        name = write(model, preprocessing, network.views, outputs["vector"].shape[1], summary, beside)
        check_outputs(beside, images, outputs)
    return name


def _translate(network: _WithTuple, images: np.ndarray) -> onnx.ModelProto:
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
            output_names=output_names(network.network),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return program.model_proto


if __name__ == "__main__":
    run_command(main)
