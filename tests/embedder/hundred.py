"""A hundred small photos, for the tests of embedding by parts."""

from pathlib import Path

import numpy as np
from PIL import Image

BAD = ("07.png", "40.png", "41.png", "99.png")


def write_hundred(root: Path) -> Path:
    """Fill ``root/wren`` with photos, those of BAD unreadable; the root."""
    folder = root / "wren"
    folder.mkdir(parents=True)
    for number in range(100):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    for name in BAD:
        (folder / name).write_text("none")
    return root
