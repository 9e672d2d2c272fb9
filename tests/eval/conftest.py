"""A set of photos that holds all that a report must cope with."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw

from eval.embeddings import EmbeddingSet

MARKUP = "<img src=x onerror=alert(1)>"
"""The name of a class."""

SCRIPT = "a</script><script>alert(2)&.jpg"
"""The name of a photo, whose folder is ``a<``."""

CLASSES, EACH = 24, 5


def draw_photo(file: Path, code: int, place: int) -> None:
    """A photo of a class: a shape in its colour, a little elsewhere each time."""
    image = Image.new("RGB", (60, 48), f"hsl({code * 15}, 40%, 85%)")
    ImageDraw.Draw(image).ellipse((6 + 3 * place, 8, 40 + 3 * place, 40), f"hsl({code * 15}, 70%, 40%)")
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An embeddings folder of 24 classes of five photos each, with markup in names.

    One photo has no label; three are gone; two are near copies under two labels, and two under one.
    """
    folder = tmp_path_factory.mktemp("hostile")
    labels = [MARKUP if code == 0 else f"kind_{code:02}" for code in range(CLASSES) for _ in range(EACH)]
    paths = [f"{code:02}/{place}.jpg" for code in range(CLASSES) for place in range(EACH)]
    paths[0] = SCRIPT
    for row, path in enumerate(paths):
        draw_photo(folder / "photos" / path, row // EACH, row % EACH)
    for row in (7, 50, 119):
        (folder / "photos" / paths[row]).unlink()
    random = np.random.default_rng(0)
    centres = random.standard_normal((CLASSES, 16))
    vectors = centres[np.arange(CLASSES * EACH) // EACH] + 0.9 * random.standard_normal((CLASSES * EACH, 16))
    vectors[61] = vectors[31] + 1e-2  # kind_12 and kind_06
    vectors[42] = vectors[41]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    table = pa.table(
        {
            "id": [f"id{row}" for row in range(len(paths))],
            "label": [None if row == 100 else label for row, label in enumerate(labels)],
            "path": paths,
        }
    )
    one = EmbeddingSet(vectors.astype(np.float32), table, "f" * 64)
    one.save(folder / "vectors", made_from={}, images_root=folder / "photos", left_out=[])
    return SimpleNamespace(vectors=folder / "vectors", photos=folder / "photos", set=one, gone=[7, 50, 119])


@pytest.fixture(scope="session")
def worse(hostile: SimpleNamespace) -> EmbeddingSet:
    """The same photos by a worse embedder."""
    vectors = hostile.set.vectors + 0.2 * np.random.default_rng(1).standard_normal(hostile.set.vectors.shape)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return EmbeddingSet(vectors, hostile.set.table, "g" * 64)


@pytest.fixture(scope="session")
def made(hostile: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The report of that set: its folder, and what the command printed, at the end what it had imported of torch."""
    folder = tmp_path_factory.mktemp("report") / "made"
    code = (
        "import runpy, sys\n"
        "try: runpy.run_module('eval.recall', run_name='__main__', alter_sys=True)\n"
        "finally: print(sorted({'torch', 'torchvision'} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, str(hostile.vectors), "--json", "--report", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    return SimpleNamespace(folder=folder, output=done.stdout, errors=done.stderr)


@pytest.fixture
def report(made: SimpleNamespace) -> Path:
    """The folder of that report."""
    return made.folder
