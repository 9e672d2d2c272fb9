"""Stanford Cars, classes 1-98: one folder a model, ``<nnn>.<Model>/<nnnnn>.jpg``."""

from dataclasses import replace
from pathlib import Path

from embedder.data import folder
from embedder.data.catalog import Catalog, ClassSplit
from embedder.data.layout import check_layout
from eval.errors import InputError

FIRST = "001.AM_General_Hummer_SUV_2000"
LAYOUT = f"98 folders of photos, numbered from {FIRST} to 098"


def read(root: Path) -> Catalog:
    """Read the 98 models. Zero-shot: 1-44 for training, 45-66 for validation, 67-98 for the test.

    Raises:
        InputError: ``root`` does not hold one folder of photos for each of the 98 models.
    """
    check_layout(root, "cars98", [FIRST], LAYOUT)
    catalog = folder.read(root)
    numbers = [name.partition(".")[0] for name in catalog.classes]
    expected = [f"{number:03}" for number in range(1, 99)]
    missing = [number for number in expected if number not in numbers]
    if missing:
        raise InputError(f"{root} is not cars98: no photos of {', '.join(missing)}; it is laid out as {LAYOUT}")
    if numbers != expected:
        raise InputError(f"{root} is not cars98: it holds {len(numbers)} classes; it is laid out as {LAYOUT}")
    names = tuple(catalog.classes)
    return replace(catalog, name="cars98", class_split=ClassSplit(names[:44], names[44:66], names[66:]))
