"""In how many photos of CUB-200-2011 can be seen what training by pose needs, and how do the birds stand?

    python -m bench.keypoints FOLDER

FOLDER holds the published ``parts/parts.txt`` and ``parts/part_locs.txt``; the photos are not needed.
"""

import sys
from pathlib import Path

import numpy as np

from embedder.augment.pose import NEEDS, Subject


def main(folder: Path) -> None:
    """Print the shares, and the angles by which heads lie above tails."""
    names = tuple(line.split(maxsplit=1)[1] for line in (folder / "parts" / "parts.txt").read_text().splitlines())
    places = np.loadtxt(folder / "parts" / "part_locs.txt")[:, 2:].reshape(-1, len(names), 3)
    birds = [Subject(points, names) for points in places]
    print(f"{len(birds)} photos")
    for option, (need, has) in NEEDS.items():
        print(f"{option}: {need} can be seen in {np.mean([has(bird) for bird in birds]):.1%}")
    across, down = np.array([axis for bird in birds if (axis := bird.axis()) is not None]).T
    low, middle, high = np.percentile(np.degrees(np.arctan2(-down, np.abs(across))), [5, 50, 95])
    print(f"heads above tails by {middle:.0f} degrees in the middle photo, by {low:.0f} to {high:.0f} in nine of ten")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
