"""Whether an exported file gives what the network gives."""

from pathlib import Path

import numpy as np

from embedder.preprocess import Preprocessing
from embedder.runtime import AGREEMENT, open_session


def examples(preprocessing: Preprocessing, closer: bool) -> np.ndarray:
    """Three images that have little in common, uint8 [3, S, S, 3]: noise, a slope of colours, and stripes.

    Where ``preprocessing.marked``, they are [3, S, S, 4], and the last one is cut out by a box.

    Args:
        preprocessing: which size they have.
        closer: whether the network looks closer at a part of them. Then each has a subject, and no more detail than
            the network sees of the whole: what is magnified shows where a look is, to the last bit.
    """
    images = _images(preprocessing.seen)
    if not closer:
        return images
    larger = _with_subjects(images).repeat(preprocessing.detail, axis=1).repeat(preprocessing.detail, axis=2)
    if not preprocessing.marked:
        return larger
    marks = np.zeros((*larger.shape[:3], 1), np.uint8)
    marks[-1] = 255
    return np.concatenate([larger, marks], axis=3)


def _images(size: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    across = np.broadcast_to(np.linspace(0, 255, size).astype(np.uint8), (size, size))
    slope = np.stack([across, across.T, 255 - across], axis=-1)
    stripes = np.broadcast_to(np.uint8(255) * (np.arange(size, dtype=np.uint8) // 2 % 2)[:, None, None], slope.shape)
    return np.stack([noise, slope, stripes])


def _with_subjects(images: np.ndarray) -> np.ndarray:
    """Each as a small square on plain grey, each elsewhere: in what is all alike, rounding decides where to look."""
    size = images.shape[1]
    side = size // 3
    shown = np.full_like(images, 128)
    for number in range(len(images)):
        left, top = number * side, size - side - number * side // 2
        square = np.s_[number, top : top + side, left : left + side]
        shown[square] = images[square]
    return shown


def check_outputs(file: Path, images: np.ndarray, outputs: dict[str, np.ndarray]) -> None:
    """Run an exported file on images, and on the first alone, and hold its outputs against the network's.

    Args:
        file: the exported one.
        images: uint8 [B, S, S, 3] or 4.
        outputs: what the network makes of them, by name.

    Raises:
        RuntimeError: the two differ.
    """
    session = open_session(file)
    for count in (len(images), 1):
        found = dict(zip(outputs, session.run([*outputs], {"images": images[:count]}), strict=True))
        _compare(found, {name: output[:count] for name, output in outputs.items()})


def _compare(found: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> None:
    lengths = np.linalg.norm(found["vector"], axis=1)
    if not np.allclose(lengths, 1, atol=1e-3):
        raise RuntimeError(f"the network's vectors have the lengths {lengths}; they must be 1")
    cosine = (found["vector"] * outputs["vector"]).sum(axis=1).min()
    if not cosine >= AGREEMENT:
        raise RuntimeError(f"the exported vectors and the network's differ: their least cosine is {cosine}")
    for name, output in outputs.items():
        if not np.allclose(found[name], output, rtol=0, atol=1e-3 * np.abs(output).max()):
            raise RuntimeError(f"the exported {name} and the network's differ")
