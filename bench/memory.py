"""Does the memory of embedding a folder grow with the folder?

    python -m bench.memory EMBEDDER PHOTOS [--count 100000]

PHOTOS is a folder of photos, of which JPEGs of 500 x 375 pixels are pieced together as in bench/embedding.py; hard
links make as many of them as are wanted. ``python -m embedder.embed`` takes them all; its resident memory is looked at
as it goes, and its peak at the end.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench.embedding import SMALL, piece_together
from bench.process_memory import process_memory

DIFFERENT = 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=Path("bench/runs/embedding"))
    options = parser.parse_args()
    piece_together(options.photos, options.work / "small", DIFFERENT, SMALL)
    many, out = options.work / "many", options.work / "many-vectors"
    link(sorted((options.work / "small").glob("*.jpg")), many, options.count)
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(out.with_name(f"{out.name}.parts"), ignore_errors=True)
    command = [sys.executable, "-m", "embedder.embed", str(options.embedder), str(many), "--out", str(out)]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        seen = [(0.0, 0.0)]
        while process.poll() is None:
            time.sleep(1)
            seen.append((time.perf_counter() - start, process_memory("VmRSS", process.pid) / 2**20))
    seconds = time.perf_counter() - start
    print("| share of the time | MB resident |\n|---|---|")
    for tenth in range(1, 11):
        print(f"| {tenth / 10:.1f} | {max(mb for at, mb in seen if at <= seconds * tenth / 10):.0f} |")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\n{options.count} photos in {seconds:.0f} s, {options.count / seconds:.0f} a second; peak {peak:.0f} MB")
    shutil.rmtree(many)


def link(photos: list[Path], folder: Path, count: int) -> None:
    """Fill a folder with links to photos, a thousand in each of its folders."""
    shutil.rmtree(folder, ignore_errors=True)
    for number in range(count):
        place = folder / f"{number // 1000:04}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        os.link(photos[number % len(photos)], place / f"{number:06}.jpg")


if __name__ == "__main__":
    main()
