"""The photos of a run: read, parted, each decoded once, and the same on all ranks."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from embedder.augment.pose import NEEDS, useful
from embedder.batches import report_left_out
from embedder.config import Config
from embedder.data.catalog import Catalog, read_source
from embedder.data.photos import TrainingPhotos, check_photos, load_training_photos
from embedder.data.splits import Split, is_zero_shot, split
from embedder.ranks import Ranks
from eval.errors import InputError, first_few
from eval.folders import checksum

FEW = 0.5
"""Of the photos: it is told where an option finds its keypoints in fewer."""


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and is validated by.

    Attributes:
        photos: trained on, all readable.
        ids: their photo ids.
        views: random views of them.
        validation: held out; may be empty.
        protocol: zero-shot or closed-set.
        catalog_digest: of all that was named, with each file's size and time of change.
        digests: of the photos that are trained on and held out, by contents and labels, and of the keypoints by which
            views are posed; what a run is resumed with.
    """

    photos: Catalog
    ids: list[str]
    views: TrainingPhotos
    validation: Catalog
    protocol: str
    catalog_digest: str
    digests: dict[str, str]


def read_split(config: Config, ranks: Ranks) -> tuple[Catalog, Split]:
    """The catalog that the settings name, and its parts; no photo is opened yet.

    Raises:
        InputError: there is none, or no such split of it; or ranks see different ones.
    """

    def read() -> tuple[Catalog, Split]:
        catalog = read_source(config.data.name, config.data.root)
        if config.data.keypoint_names:
            catalog = replace(catalog, keypoint_names=tuple(config.data.keypoint_names))
        return catalog, split(catalog, config.data.protocol, config.data.validation, config.seed)

    catalog, parts = ranks.together(read)
    check_same_on_all(ranks, [*zip(catalog.paths, catalog.boxes, catalog.labels, strict=True)])
    return catalog, parts


def load_training_data(config: Config, ranks: Ranks, catalog: Catalog, parts: Split) -> TrainingData:
    """Decode what ``read_split`` has read; leave out what cannot be decoded, and say so.

    Raises:
        InputError: settings and photos do not go together, or ranks see different photos.
    """
    data = config.data
    training = ranks.together(lambda: load_training_photos(parts.training, config, ranks))
    held_out = ranks.together(lambda: check_photos(parts.validation, data.on_bad_image, ranks))
    (photos, ids, left_out, views), (validation, held_out_ids, also_left_out) = training, held_out
    posed_by = _keypoints(config, photos)
    check_same_on_all(ranks, [*zip(photos.paths, photos.boxes, ids, posed_by, strict=True)])
    check_same_on_all(ranks, [*zip(validation.paths, validation.boxes, held_out_ids, strict=True)])
    if ranks.first:
        report_left_out([*left_out, *also_left_out])
        _say_what_is_scarce(config, photos, validation)
    protocol = "zero-shot" if is_zero_shot(catalog, data.protocol) else "closed-set"
    digests = {"photos": checksum([ids, photos.labels, held_out_ids, validation.labels])}
    if any(posed_by):
        digests["keypoints"] = checksum([photos.keypoint_names, posed_by])
    return TrainingData(photos, ids, views, validation, protocol, catalog.digest(), digests)


def _keypoints(config: Config, photos: Catalog) -> list[Any]:
    """The keypoints of each photo; None where it has none, or no option looks at them."""
    asked = any(getattr(config.augment, option) for option in NEEDS)
    known = asked and "keypoints" in photos.table.column_names
    return photos.table["keypoints"].to_pylist() if known else [None] * len(photos)


def check_same_on_all(ranks: Ranks, photos: Sequence[tuple[Any, ...]]) -> None:
    """Refuse to train where ranks see different photos, or the same ones in another order.

    Args:
        ranks: each with its own.
        photos: path, box, and what else is known of each: its label, or the id of its contents and its keypoints.

    Raises:
        InputError: names the first rank that differs from rank 0, and a photo in which it does.
    """
    if ranks.count == 1:
        return
    digests = ranks.exchange(checksum(photos))
    if len(set(digests)) == 1:
        return
    first = ranks.from_first(lambda: photos)

    def compare() -> None:
        pairs = zip_longest(first, photos)
        if different := [own or others for others, own in pairs if others != own]:
            raise InputError(
                f"it sees other photos than rank 0: {len(photos)} that can be read, not {len(first)}; the first that "
                f"differs is {different[0][0]}. Give every machine the same files, and tables in the same order"
            )

    ranks.together(compare)


def _say_what_is_scarce(config: Config, photos: Catalog, validation: Catalog) -> None:
    """Tell of photos too few to validate by, to train on, or to pose."""
    if not config.train.epochs:
        return
    if not len(validation) and config.data.validation == "auto":
        spare = "no class has photos to spare for validation, so the last epoch is exported, not the best"
        print(spare, file=sys.stderr)
    alone = [label for label, count in Counter(photos.labels).items() if count == 1]
    if alone:
        named = first_few(list(map(str, alone)))
        told = f"classes with a single photo to train on, of which views must do: {len(alone)} ({named})"
        print(told, file=sys.stderr)
    for option, count in useful(config.augment, photos).items():
        if count < len(photos) * FEW:
            unseen = f"{NEEDS[option][0]} cannot be seen in them"
            told = f"augment.{option} changes nothing in {len(photos) - count} of {len(photos)} photos: {unseen}"
            print(told, file=sys.stderr)
