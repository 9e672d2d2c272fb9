"""Oxford Flowers 102: ``jpg/image_<nnnnn>.jpg`` and two MATLAB files.

Nilsback and Zisserman, "Automated Flower Classification over a Large Number of Classes" (2008).
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from embedder.data.catalog import Catalog, label_column
from embedder.data.layout import Counts, check_counts, check_layout, check_listed
from embedder.data.lists import matlab
from eval.errors import InputError

PUBLISHED = Counts(photos=8_189, classes=102, training=2_040, test=6_149)
NEEDED = ["jpg", "imagelabels.mat", "setid.mat"]
LAYOUT = (
    "a folder jpg, imagelabels.mat and setid.mat, from https://www.robots.ox.ac.uk/~vgg/data/flowers/102, or "
    "flowers-102 as `python -m embedder.data.download flowers102 FOLDER` fetches it"
)
SETS = {"trnid": "train", "valid": "train", "tstid": "test"}
"""The official training, validation and test photos; each run holds photos of its own out of the first two."""

FLOWERS = (  # noqa: SIM905 - a hundred lines otherwise
    "pink primrose; hard-leaved pocket orchid; canterbury bells; sweet pea; english marigold; tiger lily; moon orchid; "
    "bird of paradise; monkshood; globe thistle; snapdragon; colt's foot; king protea; spear thistle; yellow iris; "
    "globe-flower; purple coneflower; peruvian lily; balloon flower; giant white arum lily; fire lily; "
    "pincushion flower; fritillary; red ginger; grape hyacinth; corn poppy; prince of wales feathers; "
    "stemless gentian; artichoke; sweet william; carnation; garden phlox; love in the mist; mexican aster; "
    "alpine sea holly; ruby-lipped cattleya; cape flower; great masterwort; siam tulip; lenten rose; barbeton daisy; "
    "daffodil; sword lily; poinsettia; bolero deep blue; wallflower; marigold; buttercup; oxeye daisy; "
    "common dandelion; petunia; wild pansy; primula; sunflower; pelargonium; bishop of llandaff; gaura; geranium; "
    "orange dahlia; pink-yellow dahlia; cautleya spicata; japanese anemone; black-eyed susan; silverbush; "
    "californian poppy; osteospermum; spring crocus; bearded iris; windflower; tree poppy; gazania; azalea; "
    "water lily; rose; thorn apple; morning glory; passion flower; lotus; toad lily; anthurium; frangipani; clematis; "
    "hibiscus; columbine; desert-rose; tree mallow; magnolia; cyclamen; watercress; canna lily; hippeastrum; bee balm; "
    "ball moss; foxglove; bougainvillea; camellia; mallow; mexican petunia; bromelia; blanket flower; "
    "trumpet creeper; blackberry lily"
).split("; ")


def read(root: Path) -> Catalog:
    """Read the 102 kinds: the official training and validation photos for training, the others for the test.

    There is no published zero-shot protocol.

    Raises:
        InputError: a list or a photo is missing or damaged, the lists do not fit together, or the counts are not the
            published ones.
    """
    check_layout(root, "flowers102", NEEDED, LAYOUT)
    (labels,) = matlab(root / NEEDED[1], "labels")
    sets = dict(zip(SETS, matlab(root / NEEDED[2], *SETS), strict=True))
    photos = np.concatenate([*sets.values()])
    if not np.array_equal(np.sort(photos), np.arange(1, len(labels) + 1)):
        raise InputError(
            f"{root / NEEDED[2]} does not put each of the {len(labels)} photos of imagelabels.mat into one set; unpack "
            "the data set anew"
        )
    if not ((labels >= 1) & (labels <= len(FLOWERS))).all():
        raise InputError(f"{root / NEEDED[1]} holds labels that are not from 1 to {len(FLOWERS)}; unpack it anew")
    paths = [f"jpg/image_{number:05}.jpg" for number in range(1, len(labels) + 1)]
    check_listed(root, paths, root / NEEDED[1])
    splits = np.empty(len(labels), object)
    for name, numbers in sets.items():
        splits[numbers.astype(np.int64) - 1] = SETS[name]
    columns = {
        "path": pa.array(paths),
        "label": label_column([FLOWERS[int(label) - 1] for label in labels], FLOWERS),
        "split": pa.array(splits.tolist()),
    }
    catalog = Catalog(pa.table(columns), root, "flowers102")
    check_counts(catalog, PUBLISHED)
    return catalog
