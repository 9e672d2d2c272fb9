"""iNaturalist 2018: ``train_val2018/<kind>/<species>/<photo>.jpg`` and three lists, and two more for retrieval.

Brown, Xie, Kalogeiton and Zisserman, "Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval" (2020), for
the last two.
"""

from dataclasses import replace
from pathlib import Path

from embedder.data.catalog import Catalog, ClassSplit
from embedder.data.inaturalist import read_lists
from embedder.data.layout import Counts, apart
from embedder.data.lists import lines
from eval.errors import InputError

PUBLISHED = Counts(photos=461_939, classes=8_142, training=437_513, test=24_426)
LAYOUT = (
    "the folder train_val2018, train2018.json, val2018.json and categories.json, from "
    "https://github.com/visipedia/inat_comp/tree/master/2018"
)
RETRIEVAL = {"train": "Inaturalist_train_set1.txt", "test": "Inaturalist_test_set1.txt"}
RETRIEVAL_PHOTOS = {"train": 325_846, "test": 136_093}
HELD_OUT = 569
"""Training species of the zero-shot protocol, the last ones, that choices are made on: a tenth of 5,690."""
WHERE = (
    f"the zero-shot protocol of inat2018 needs {' and '.join(RETRIEVAL.values())} beside its other lists or in "
    "Inat_dataset_splits, from https://github.com/Andrew-Brown1/Smooth_AP"
)


def read(root: Path) -> Catalog:
    """Read the 8,142 species.

    Closed-set: the official validation photos are the test, as those of the test have no labels. Zero-shot, where the
    two lists of Brown et al. (2020) are there: 5,690 species for training, of which the last tenth is the validation,
    and 2,452 others for the test, with all their photos.

    Raises:
        InputError: as for ``embedder.data.inaturalist.read_lists``; or one of the two lists is there without the other,
            is not the published one, or has a species on both sides.
    """
    catalog = read_lists(
        root,
        "inat2018",
        {"train": "train2018.json", "test": "val2018.json"},
        needed=["train_val2018"],
        categories="categories.json",
        layout=LAYOUT,
        published=PUBLISHED,
    )
    for folder in (root, root / "Inat_dataset_splits"):
        if any((folder / name).exists() for name in RETRIEVAL.values()):
            return replace(catalog, class_split=_class_split(folder, catalog))
    return replace(catalog, no_split=WHERE)


def _class_split(folder: Path, catalog: Catalog) -> ClassSplit:
    """The species of the zero-shot protocol, from lists of the photos of each side."""
    species = dict(zip(catalog.paths, catalog.labels, strict=True))
    labels: list[str] = []
    splits: list[str] = []
    for split, name in RETRIEVAL.items():
        file = folder / name
        if not file.exists():
            raise InputError(f"{file} is missing; {WHERE}")
        paths = [line.strip() for line in lines(file)]
        if other := next((path for path in paths if path not in species), None):
            raise InputError(f"{file} lists {other!r}, which is no photo of inat2018; load it anew")
        if len(paths) != RETRIEVAL_PHOTOS[split]:
            raise InputError(f"{file} lists {len(paths)} photos where {RETRIEVAL_PHOTOS[split]} are due; load it anew")
        labels += [str(species[path]) for path in paths]
        splits += [split] * len(paths)
    return apart(folder / RETRIEVAL["train"], labels, splits, HELD_OUT, "species")
