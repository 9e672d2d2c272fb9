"""How far does the picture hash of a photo move when the photo is stored smaller and worse?

    python -m bench.hashes birds100:ROOT [--photos 150]

Photos are drawn at random and stored at 35, 50 and 70 % of their size as JPEGs of quality 50, 60 and 75.
"""

import argparse
from io import BytesIO

import numpy as np
from PIL import Image

from embedder.data.catalog import read_catalog
from eval.images import open_image, picture_hash

COPIES = {0.35: 50, 0.5: 60, 0.7: 75}
"""The JPEG quality of each size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("--photos", type=int, default=150)
    options = parser.parse_args()
    catalog = read_catalog(options.images)
    chosen = np.random.default_rng(0).permutation(len(catalog.paths))[: options.photos]
    photos = [open_image(catalog.root / catalog.paths[row]) for row in chosen]
    bits = np.array([distance(photo, *copy) for photo in photos for copy in COPIES.items()])
    print("| bits of 64 that differ, at most | copies |\n|---|---|")
    for most in (0, 1, 3, 6, 10):
        print(f"| {most} | {(bits <= most).mean():.1%} |")


def distance(photo: Image.Image, share: float, quality: int) -> int:
    """The bits in which the hash of a copy differs from the photo's."""
    stored = BytesIO()
    photo.resize([round(share * side) for side in photo.size], Image.Resampling.BICUBIC).save(
        stored, "JPEG", quality=quality
    )
    return (picture_hash(photo) ^ picture_hash(Image.open(stored))).bit_count()


if __name__ == "__main__":
    main()
