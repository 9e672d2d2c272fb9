"""Whether a photo can show anything: how sharp it is."""

import numpy as np
from PIL import Image

SIDE = 128
"""The longer side that photos are compared at: small, so that a photo, its thumbnail and a larger copy are alike."""


def sharpness(image: Image.Image) -> float:
    """How much fine detail a photo has, as against its contrast: 0 for a plain one, about 0.2 to 2 for sharp ones.

    The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study", 2000), divided by the variance of the grey values, so that a pale photo is not taken for a blurred one.

    Args:
        image: of any size and mode.
    """
    small = image.convert("L")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    grey = np.asarray(small, np.float64)
    if min(grey.shape) < 3:
        return 0.0
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var() / max(grey.var(), 1.0))
