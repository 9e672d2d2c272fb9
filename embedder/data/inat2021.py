"""iNaturalist 2021: ``train|val/<number>_<kingdom>_..._<species>/<photo>.jpg`` and two lists."""

from pathlib import Path

from embedder.data.catalog import Catalog
from embedder.data.inaturalist import read_lists
from embedder.data.layout import Counts

PUBLISHED = Counts(photos=2_786_843, classes=10_000, training=2_686_843, test=100_000)
PUBLISHED_MINI = Counts(photos=600_000, classes=10_000, training=500_000, test=100_000)
LAYOUT = (
    "the folders train and val, train.json and val.json (or train_mini and train_mini.json in the place of train), "
    "from https://github.com/visipedia/inat_comp/tree/master/2021; torchvision.datasets.INaturalist downloads photos"
)


def read(root: Path) -> Catalog:
    """Read the 10,000 species; the official validation photos are the test, as those of the test have no labels.

    Where there is ``train_mini`` and no ``train``, its 50 photos a species are those for training.

    Raises:
        InputError: as for ``embedder.data.inaturalist.read_lists``.
    """
    mini = (root / "train_mini.json").exists() and not (root / "train.json").exists()
    training = "train_mini" if mini else "train"
    return read_lists(
        root,
        "inat2021",
        {"train": f"{training}.json", "test": "val.json"},
        needed=[training, "val"],
        categories="val.json",
        layout=LAYOUT,
        published=PUBLISHED_MINI if mini else PUBLISHED,
    )
