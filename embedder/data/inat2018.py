"""iNaturalist 2018: ``train_val2018/<kind>/<species>/<photo>.jpg`` and three lists."""

from pathlib import Path

from embedder.data.catalog import Catalog
from embedder.data.inaturalist import read_lists
from embedder.data.layout import Counts

PUBLISHED = Counts(photos=461_939, classes=8_142, training=437_513, test=24_426)
LAYOUT = (
    "the folder train_val2018, train2018.json, val2018.json and categories.json, from "
    "https://github.com/visipedia/inat_comp/tree/master/2018"
)


def read(root: Path) -> Catalog:
    """Read the 8,142 species; the official validation photos are the test, as those of the test have no labels.

    Raises:
        InputError: as for ``embedder.data.inaturalist.read_lists``.
    """
    return read_lists(
        root,
        "inat2018",
        {"train": "train2018.json", "test": "val2018.json"},
        needed=["train_val2018"],
        categories="categories.json",
        layout=LAYOUT,
        published=PUBLISHED,
    )
