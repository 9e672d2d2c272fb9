"""The command ``python -m embedder.embed EMBEDDER IMAGES --out FOLDER``: a catalog of photos becomes vectors."""

import sys
from pathlib import Path
from typing import Any, Literal

from embedder.batches import report_left_out
from embedder.data.catalog import Catalog, read_catalog
from embedder.data.splits import Part, Protocol, part
from embedder.in_parts import CatalogParts, Share, embed_in_parts
from embedder.on_ray import make_on_ray
from embedder.runtime import Embedder
from eval.command import run
from eval.embeddings import FILES
from eval.errors import InputError
from eval.files import already_made
from eval.folders import read_manifest
from eval.images import OnBadImage
from eval.stages import profiled, stage

ENGINES = {"local": None, "ray": make_on_ray}


def main(
    embedder: Path,
    images: str,
    *,
    out: Path,
    split: Part = "all",
    protocol: Protocol = "auto",
    on_bad_image: OnBadImage = "skip",
    jobs: int = 1,
    engine: Literal["local", "ray"] = "local",
    overwrite: bool = False,
    profile: bool = False,
) -> Path:
    """Turn photos into an embeddings folder, for eval.recall and other tools.

    What is interrupted goes on where it was when the same command is given again. Under torchrun each process does its
    share, on machines that see the same folders, and the last one joins the shares. A Ray cluster of such machines
    shares the work out itself, and does again what is lost with one of them.

    Args:
        embedder: a run folder or an embedder.onnx.
        images: a folder of photos, a .csv or .parquet table, or NAME:ROOT.
        out: the embeddings folder.
        split: which part of the photos.
        protocol: what divides them; auto takes what the source declares.
        on_bad_image: leave unreadable photos out with a count, or stop.
        jobs: processes that share the cores of a machine; one already uses all of them.
        engine: this machine, or the Ray cluster that RAY_ADDRESS names, by default one on this machine.
        overwrite: make the embeddings folder anew; what an interrupted command has made of it is not made again.
        profile: print where the time went.

    Returns:
        The embeddings folder.
    """
    if jobs < 1:
        raise InputError(f"jobs is {jobs}; it must be at least 1")
    if engine == "ray" and Share.of_this_process().of > 1:
        raise InputError("--engine ray shares the work out itself; give the command once, without torchrun")
    if overwrite and Share.of_this_process().of > 1:
        raise InputError(f"--overwrite would have each process throw away what the others make; remove {out} instead")
    with profiled(profile):
        with stage("list the photos"):
            model, catalog, made_from = open_inputs(embedder, images, split, protocol)
        parts = CatalogParts(out.absolute(), len(catalog), made_from, complete=on_bad_image == "error")
        if already_made(out, "embeddings", made_from, overwrite, complete=parts.complete, names=FILES):
            print(f"{out} is made already", file=sys.stderr)
        else:
            if overwrite:
                parts.remove_others()
            if embed_in_parts(model, catalog, parts, jobs, ENGINES[engine]):
                report_left_out(read_manifest(out, "embeddings")["left_out"], out)
            else:
                print("this share is done; the process that ends last joins the shares", file=sys.stderr)
    print(out)
    return out


def open_inputs(
    embedder: Path, images: str, split: Part, protocol: Protocol
) -> tuple[Embedder, Catalog, dict[str, Any]]:
    """Open what a command is given: the embedder, the asked part of the photos, and what names the two in a manifest.

    Raises:
        InputError: either is missing or damaged, or the part is empty.
    """
    model = Embedder.open(embedder)
    catalog = part(read_catalog(images), split, protocol)
    made_from = {
        "embedder": model.fingerprint,
        "catalog": catalog.digest(),
        "photos": len(catalog),
        "images_root": str(catalog.root),
        "split": split,
        "protocol": protocol,
    }
    return model, catalog, made_from


if __name__ == "__main__":
    run(main)
