"""What each place of a photo adds to its vector, without torch.

A vector is a sum over the places of the feature map, divided by its length, where the pooling is the mean, the
greatest value (each channel is its place's) or their sum, and what follows is affine for the photo at hand. So its
product with another vector is a sum over places too. Elsewhere the shares say about where the vector comes from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedder.closer import WHOLE, Region, attended_region, cut_out, put_back
from embedder.runtime import Embedder
from embedder.tail import Array, Tail, read_tail

EXACT = 1e-5
"""How far from a vector the sum of its shares may be. No product with another vector is then further off."""

_EPSILON = 1e-6  # under the root of what parts gather, as in the network


@dataclass(frozen=True)
class Shares:
    """What each place of a photo adds to its vector.

    Attributes:
        shares: [h, w, D]; their sum is the vector, of unit length.
        exact: whether that is how the vector came about; else it is about where it comes from.
        region: what the places divide, as shares of the side of the square that the network sees: all of it, but for an
            embedder that looks closer.
        parts: [M, h, w], where in the region each part is; None of a network that knows none.
    """

    shares: NDArray[np.float64]
    exact: bool
    region: Region = WHOLE
    parts: NDArray[np.float32] | None = None

    @property
    def vector(self) -> NDArray[np.float64]:
        """The photo's vector, [D]."""
        return self.shares.sum((0, 1))


class PlaceShares:
    """Vectors as sums over places: ``PlaceShares.open(embedder).of(embedder.prepare(photo))``."""

    def __init__(self, embedder: Embedder, tail: Tail) -> None:
        """Use ``open`` instead."""
        self._embedder, self._tail = embedder, tail

    @classmethod
    def open(cls, embedder: Embedder) -> "PlaceShares":
        """Read what an embedder does with its feature map."""
        return cls(embedder, read_tail(embedder.path, embedder.fingerprint))

    def of(self, pixels: NDArray[np.uint8]) -> Shares:
        """What each place of a prepared photo, uint8 [S, S, 3] or 4, adds to its vector."""
        views, seen = self._embedder.views, self._embedder.outputs(pixels[None])
        made = self._of_view(seen)
        if "mirror" in views:
            made = made + self._of_view(self._embedder.outputs(pixels[None, :, ::-1]))[:, ::-1]
        if "closer" in views[1:]:
            region = attended_region(seen["parts"][0].mean(0))
            closer = self._of_view(self._embedder.outputs(cut_out(pixels, region)[None]))
            made = made + put_back(closer, region, *made.shape[:2])
        if "smaller" in views:
            made = made + put_back(self._of_view({"features": seen["smaller"]}), WHOLE, *made.shape[:2])
        if self._tail.directions is not None and made.shape[2] == len(self._tail.directions):
            made = made @ self._tail.directions
        vector = seen["vector"][0].astype(np.float64)
        known = made.shape[2] == len(vector)
        if not known:
            made = made.mean(2, keepdims=True) * vector
        total = made.sum((0, 1))
        off = float(np.linalg.norm(total / _length(total) - vector))
        exact = known and self._tail.exact and "closer" not in views[1:] and off <= EXACT
        left, top, side = seen["region"][0].tolist() if "region" in seen else WHOLE
        return Shares(fitted(made, vector), exact, (left, top, side), seen["parts"][0] if "parts" in seen else None)

    def _of_view(self, seen: dict[str, NDArray[np.float32]]) -> Array:
        """What the places of one view [h, w, D] add to its vector, before directions; [h, w, 1] where nobody knows."""
        channels, height, width = seen["features"].shape[1:]
        places = seen["features"][0].reshape(channels, -1).T.astype(np.float64)
        # Parts of a finer feature map, which the file does not show, are left to ``fitted``.
        found = [one for one in seen.get("parts", [])[:1] if one.shape[1:] == (height, width)]
        maps = found[0].reshape(-1, height * width).astype(np.float64) if found else None
        made = self._tail.pool(places, maps)
        try:
            for step in self._tail.head:
                made = step(made)
            if maps is not None and self._tail.project is not None:
                made = made + _of_parts(places, maps, self._tail.project)
        except ValueError:  # another network than ours, with layers that take something else
            made = _agreement(places)[:, None]
        if made.shape[1] != self._full_dimension:
            made = _agreement(places)[:, None]
        return (made / _length(made.sum(0))).reshape(height, width, -1)

    @property
    def _full_dimension(self) -> int:
        """Of a view's vector, before directions."""
        return self._embedder.dimension if self._tail.directions is None else len(self._tail.directions)


def fitted(shares: Array, vector: Array) -> Array:
    """Shares [h, w, D] scaled to come as near to a vector as they can; what is left is spread evenly."""
    total = shares.sum((0, 1))
    scale = max(float(total @ vector), 0.0) / max(float(total @ total), _EPSILON**2)
    return shares * scale + (vector - total * scale) / (shares.shape[0] * shares.shape[1])


def _of_parts(places: Array, maps: Array, project: Array) -> Array:
    """What places [P, C] add to a vector [P, D] by the parts that they belong to.

    What a part gathers goes through a root, which is no sum: each number is divided among the places that have pulled
    it to its side of 0, by map times feature.

    Args:
        places: features of each.
        maps: [M, P].
        project: [D, M, C].
    """
    gathered = maps @ places / len(places)
    rooted = np.sign(gathered) * np.sqrt(np.abs(gathered) + _EPSILON)
    matrix = rooted / _length(rooted)
    added = np.zeros((len(places), len(project)))
    for part, (seen, side) in enumerate(zip(maps, np.sign(gathered), strict=True)):
        pulled = np.clip(seen[:, None] * places * side, 0, None)
        added += pulled / np.maximum(pulled.sum(0), 1e-30) * matrix[part] @ project[:, part].T
    return added


def _agreement(places: Array) -> Array:
    """How much each place agrees with all of them, at least 0, of sum 1; see ``activation_map``."""
    products = places @ places.mean(0)
    products -= products.min()
    total = products.sum()
    agreement: Array = products / total if total > 1e-12 else np.full(len(products), 1 / len(products))
    return agreement


def _length(numbers: Array) -> float:
    """The length of a vector, by which it can be divided."""
    return max(float(np.linalg.norm(numbers)), _EPSILON)
