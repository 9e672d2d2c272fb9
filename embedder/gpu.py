"""An embedder on a GPU, where ONNX Runtime has one (``pip install onnxruntime-gpu`` in the place of ``onnxruntime``).

It makes vectors of the same fingerprint only if they are the same: sums in another order, or of shorter numbers, are
not. So before it makes any, it shows that it agrees with the CPU on photos of the very catalog.
"""

import sys
from contextlib import suppress

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from embedder.data.catalog import Catalog
from embedder.runtime import AGREEMENT, Embedder
from eval.errors import InputError
from eval.images import BadImage
from eval.stages import stage

PROVIDER = "CUDAExecutionProvider"
"""What ONNX Runtime calls NVIDIA's GPUs. TensorRT, its other way to these, first compiles a network for minutes."""

CHECKED = 64
"""Photos that both must agree on."""

WORTH_IT = 1024
"""Photos below which a GPU takes longer to start than it saves."""


def on_gpu(embedder: Embedder, catalog: Catalog) -> Embedder | None:
    """The embedder on a GPU.

    Args:
        embedder: on the CPU.
        catalog: the photos that it is to embed.

    Returns:
        None where there is no GPU, or too few photos for it; also, and then standard error says why, where it cannot be
        used or makes other vectors.
    """
    if len(catalog) < WORTH_IT or PROVIDER not in onnxruntime.get_available_providers():
        return None
    try:
        other = Embedder.open(embedder.path, provider=PROVIDER)
        least = agreement(embedder, other, catalog)
    except Exception as error:  # ONNX Runtime's own errors have no base class in common
        print(f"the GPU is not used: {error}", file=sys.stderr)
        return None
    if not least >= AGREEMENT:
        print(
            f"the GPU is not used: its vectors differ from those of the CPU (least cosine {least:.5f})", file=sys.stderr
        )
        return None
    return other


def agreement(first: Embedder, second: Embedder, catalog: Catalog) -> float:
    """The least cosine between two embedders' vectors of a photo, over ``CHECKED`` photos from all of a catalog.

    Raises:
        InputError: fewer of its photos can be read.
    """
    pixels: list[NDArray[np.uint8]] = []
    for row in np.random.default_rng(0).permutation(len(catalog)).tolist():
        with suppress(BadImage):
            pixels.append(first.prepare(catalog.file(row), catalog.box(row)))
        if len(pixels) == CHECKED:
            break
    else:
        raise InputError(f"only {len(pixels)} photos can be read, and {CHECKED} are compared before it is")
    with stage("compare with the CPU"):
        batch = np.stack(pixels)
        return float((first.vectors(batch) * second.vectors(batch)).sum(axis=1).min())
