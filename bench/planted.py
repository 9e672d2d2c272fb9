"""Does embedder.data.check find what is wrong? Faults are planted in a copy of birds100, and looked for.

    python -m bench.planted BIRDS100 EMBEDDER FOLDER [--seed 0]

FOLDER must be new. It gets the copy, parted by the zero-shot protocol (train/SPECIES, test/SPECIES), of links to the
photos; its vectors by EMBEDDER, a run folder or an embedder.onnx; and the report. Planted are 10 exact duplicates and
10 in another size and quality (of each 4 in their own class, 3 in another one and 3 in one of the other side), 10 wrong
labels, 5 broken files, and a class on both sides. Printed is how many of them are found, and how much else.
"""

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from embedder.data.birds100 import read
from embedder.data.check import main as check
from embedder.data.checked import Checked
from embedder.embed import main as embed

BREAKS: list[Callable[[bytes], bytes]] = [
    lambda content: b"",
    lambda content: content[:100],
    lambda content: content[: len(content) // 2],
    lambda content: bytes(len(content)),
    lambda content: b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
]
"""What becomes of a file that is half downloaded, not written out, or a page that says that there is none."""

KINDS = {
    "exact duplicates": "same_photo",
    "near duplicates": "near_copies",
    "wrong labels": "labels",
    "broken files": "unreadable",
    "a class on both sides": "sides",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("birds100", type=Path)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = options.folder / "photos"
    options.folder.mkdir(parents=True)
    planted = plant(options.birds100, photos, np.random.default_rng(options.seed))
    vectors = embed(options.embedder, str(photos), out=options.folder / "vectors")
    checked = check(str(photos), embeddings=vectors, report=options.folder / "report")
    print("\n| planted | how many | found | found besides |\n|---|---|---|---|")
    for kind, names in planted.items():
        found, besides = compared(checked, kind, names, planted)
        print(f"| {kind} | {len(names)} | {found} | {besides} |")
    listed = [checked.looked.catalog.paths[entry.rows[0]] for entry in checked.of("labels").entries]
    places = [place for place, path in enumerate(listed, 1) if path in planted["wrong labels"]]
    print(f"\nplaces of the planted wrong labels among the suspicious ones: {', '.join(map(str, places))}")


def plant(birds100: Path, photos: Path, draw: np.random.Generator) -> dict[str, set[str]]:
    """Make the copy with its faults.

    Returns:
        What was planted: the paths of photos, or the name of a class, by kind.
    """
    catalog = read(birds100)
    assert catalog.class_split is not None
    classes = [f"{'test' if name in catalog.class_split.test else 'train'}/{name}" for name in catalog.classes]
    paths = [f"{classes[code]}/{Path(path).name}" for code, path in zip(catalog.codes, catalog.paths, strict=True)]
    order = draw.permutation(len(paths)).tolist()
    copied, wrong, broken = order[:20], order[20:30], order[30:35]
    moved = {row: f"{another(classes, paths[row], draw, same_side=True)}/wrong{row}.jpg" for row in wrong}
    for row, path in enumerate(paths):
        target = photos / moved.get(row, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if row in broken:
            target.write_bytes(BREAKS[broken.index(row)](catalog.file(row).read_bytes()))
        else:
            target.symlink_to(catalog.file(row))
    copies = []
    for place, row in enumerate(copied):
        kind = place % 10
        folder = str(Path(paths[row]).parent) if kind < 4 else another(classes, paths[row], draw, same_side=kind < 7)
        copies.append(f"{folder}/copy{row}.jpg")
        if place < 10:
            shutil.copy(catalog.file(row), photos / copies[-1])
        else:
            image, scale = Image.open(catalog.file(row)).convert("RGB"), draw.uniform(0.4, 0.9)
            small = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
            small.save(photos / copies[-1], quality=int(draw.integers(50, 91)))
    both = next(name for name in draw.permutation(classes) if name.startswith("train/"))
    (photos / both.replace("train/", "test/")).mkdir()
    for photo in sorted((photos / both).glob("0*.jpg"))[:10]:
        photo.rename(photos / both.replace("train/", "test/") / photo.name)
    return {
        "exact duplicates": set(copies[:10]),
        "near duplicates": set(copies[10:]),
        "wrong labels": set(moved.values()),
        "broken files": {paths[row] for row in broken},
        "a class on both sides": {both.removeprefix("train/")},
    }


def another(classes: list[str], path: str, draw: np.random.Generator, same_side: bool) -> str:
    """Another class than that of a photo, of the same side or of the other one."""
    side, own = path.split("/")[:2]
    others = [name for name in classes if name.startswith(f"{side}/") == same_side and name != f"{side}/{own}"]
    return str(draw.choice(others))


def compared(checked: Checked, kind: str, names: set[str], planted: dict[str, set[str]]) -> tuple[int, int]:
    """How many planted faults of a kind are found, and how many entries of it are about something else.

    A copy under another label has a wrong label too, and so is nothing else.
    """
    known = names | planted["exact duplicates"] | planted["near duplicates"] if kind == "wrong labels" else names
    paths = checked.looked.catalog.paths
    found, besides = set(), 0
    for entry in checked.of(KINDS[kind]).entries:
        rows = entry.rows if kind.endswith("duplicates") else entry.rows[:1]
        shown = {entry.facts["label"]} if kind == "a class on both sides" else {paths[row] for row in rows}
        found |= shown & names
        besides += not shown & known
    return len(found), besides


if __name__ == "__main__":
    main()
