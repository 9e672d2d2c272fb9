"""How good are turned views? Ways of resampling against the same view made 8 times as large and then reduced.

    python -m bench.resampling PHOTOS [--size 128] [--count 60]

A part of each photo, turned by any angle. The ways differ in how many pixels are left for each of the view's, across,
before they are turned (``FINER`` of embedder/augment/geometry.py). Printed are the mean error of a pixel in grey
levels, how much of the fine detail there is (1 is that of the larger view; less is blurred, more is jagged), and
milliseconds.
"""

import argparse
import time

import numpy as np
from PIL import Image

from embedder.augment import geometry
from embedder.augment.geometry import Frame, seen
from embedder.data.catalog import read_catalog
from eval.images import open_image

WAYS = (1.0, 1.125, 1.25, 1.5, 2.0, 100.0)
LARGER = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--count", type=int, default=60)
    options = parser.parse_args()
    catalog = read_catalog(options.source)
    generator = np.random.default_rng(0)
    cases = []
    for row in generator.permutation(len(catalog))[: options.count]:
        image = open_image(catalog.file(row), catalog.box(row))
        share, turn = generator.uniform(0.6, 1.0), generator.uniform(5, 85)
        sides = share * np.array(image.size)
        left, top = generator.random(2) * (np.array(image.size) - sides)
        frame = Frame(left, top, sides[0], sides[1], turn=turn)
        large = seen(image, frame, LARGER * options.size)
        cases.append((image, frame, grey(large.resize((options.size, options.size), Image.Resampling.BICUBIC))))
    width = np.mean([image.width for image, _, _ in cases])
    print(f"{len(cases)} photos, {width:.0f} pixels wide; views of {options.size}\n")
    print("| pixels left | error | detail | ms |\n|---|---|---|---|")
    for finer in WAYS:
        geometry.FINER = finer
        began = time.perf_counter()
        views = [seen(image, frame, options.size) for image, frame, _ in cases]
        took = time.perf_counter() - began
        pairs = [(grey(view), ideal) for view, (_, _, ideal) in zip(views, cases, strict=True)]
        error = np.mean([abs(view - ideal).mean() for view, ideal in pairs])
        kept = np.mean([detail(view) / detail(ideal) for view, ideal in pairs])
        print(f"| {finer:g} | {error:.2f} | {kept:.3f} | {1e3 * took / len(cases):.2f} |")


def grey(image: Image.Image) -> np.ndarray:
    """Grey levels."""
    return np.asarray(image.convert("L")).astype(float)


def detail(pixels: np.ndarray) -> float:
    """How much neighbouring pixels differ."""
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


if __name__ == "__main__":
    main()
