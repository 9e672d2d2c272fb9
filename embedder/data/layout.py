"""Whether a folder is laid out as the data set that it is said to be, told exactly where it is not."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedder.data.archives import archive_fault
from embedder.data.catalog import Catalog, ClassSplit
from embedder.data.detect import SPLIT_NAMES
from eval.errors import InputError, counted


def official_splits(names: Collection[str]) -> dict[str, str]:
    """The split that each of a data set's own names for its parts stands for.

    Validation photos are training photos where there are test photos too (which photos choices are made on is a
    setting of the run), and test photos where there are not.

    Args:
        names: names whose lower case is in ``SPLIT_NAMES``.
    """
    kinds = {name: SPLIT_NAMES[name.lower()] for name in names}
    validation = "train" if "test" in kinds.values() else "test"
    return {name: validation if kind == "validation" else kind for name, kind in kinds.items()}


def splits_by_name(shards: Mapping[str, Path], root: Path) -> dict[str, str | None]:
    """The split of each packed file as its name has it, ``birds-train-000000``, or else its folder's; None in all.

    Args:
        shards: the files by their path below the root.
        root: for errors.

    Raises:
        InputError: some names say what split they are of, and some do not.
    """
    splits = {name: _named_split(name) for name in shards}
    silent = [name for name, split in splits.items() if split is None]
    if silent and len(silent) < len(shards):
        raise InputError(
            f"{root}: the name of {shards[silent[0]].name} does not say which split it is of, and others do; put "
            "train, validation or test into it"
        )
    return splits


def _named_split(name: str) -> str | None:
    """The split in the last part of a path that has a word for one."""
    for part in reversed(name.split("/")):
        words = {word for word in re.split(r"[^a-z]+", part.lower()) if word in SPLIT_NAMES}
        if len({SPLIT_NAMES[word] for word in words}) == 1:
            return SPLIT_NAMES[words.pop()]
    return None


def cache_folder(name: str) -> Path:
    """A folder in ``$FIELDMARK_CACHE``, ``$XDG_CACHE_HOME/fieldmark`` or ``~/.cache/fieldmark``."""
    general = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FIELDMARK_CACHE") or Path(general) / "fieldmark") / name


def check_layout(root: Path, name: str, needed: Sequence[str], layout: str) -> None:
    """Refuse a folder that is not the root of a data set.

    Args:
        root: the folder.
        name: the data set.
        needed: relative paths that its root must hold.
        layout: what the root looks like, in words.

    Raises:
        InputError: ``root`` is no folder, is one level too high or too low, or lacks something.
    """
    if not root.is_dir():
        fault = (archive_fault(root) or "is not a folder") if root.is_file() else "does not exist"
        raise InputError(f"{root} {fault}; {name} is laid out as {layout}")
    if all((root / entry).exists() for entry in needed):
        return
    parent = root.absolute().parent
    for folder in (parent, *sorted(below for below in root.iterdir() if below.is_dir())):
        if all((folder / entry).exists() for entry in needed):
            level = "low" if folder == parent else "high"
            raise InputError(f"{root} is one level too {level} for {name}; give {name}:{folder}")
    missing = next(entry for entry in needed if not (root / entry).exists())
    raise InputError(f"{root} is not {name}: {missing} is missing; {name} is laid out as {layout}")


def check_listed(root: Path, paths: Sequence[str], listing: Path, places: Sequence[str] = ()) -> None:
    """Refuse a listing of photos that are not there.

    Args:
        root: what paths are relative to.
        paths: the photos.
        listing: where they are listed.
        places: where each stands in it.

    Raises:
        InputError: says how many of ``paths`` do not exist below ``root``, and the first.
    """
    missing = [row for row, path in enumerate(paths) if not (root / path).is_file()]
    if missing:
        place = f"{places[missing[0]]}, " if places else ""
        raise InputError(
            f"{listing} lists {counted(len(paths), 'photo', 'photos')}, of which {len(missing)} "
            f"{'does' if len(missing) == 1 else 'do'} not exist (first: {place}{paths[missing[0]]}); paths are "
            f"relative to {root}"
        )


def apart(listing: Path, labels: Sequence[str], splits: Sequence[str], held_out: int, called: str) -> ClassSplit:
    """The zero-shot protocol of a data set whose official splits have no class in common.

    Args:
        listing: where the splits are from.
        labels: ``[N]``, of the photos.
        splits: ``[N]``, ``train`` or ``test``.
        held_out: training classes, the last ones, that choices are made on.
        called: what a class is called.

    Returns:
        The classes in the order in which they are first named.

    Raises:
        InputError: a class is on both sides.
    """
    sides: dict[str, dict[str, None]] = {"train": {}, "test": {}}
    for label, split in zip(labels, splits, strict=True):
        sides[split][label] = None
    if both := sides["train"].keys() & sides["test"].keys():
        raise InputError(
            f"{listing}: {called} {min(both)} is both in training and in the test; unpack the data set anew"
        )
    training = tuple(sides["train"])
    return ClassSplit(training[:-held_out], training[-held_out:], tuple(sides["test"]))


@dataclass(frozen=True)
class Counts:
    """How much a data set holds, as published.

    Attributes:
        photos: in all.
        classes: in all.
        training: photos of the official training split.
        test: photos of the official test split.
    """

    photos: int
    classes: int
    training: int
    test: int


def check_counts(catalog: Catalog, published: Counts) -> None:
    """Refuse a data set of which something is missing: its figures would stand beside those of the whole one.

    Raises:
        InputError: names the first count that is another, found and published.
    """
    splits = catalog.table["split"].to_pylist()
    found = Counts(len(catalog), len(catalog.classes), splits.count("train"), splits.count("test"))
    for name, count in vars(found).items():
        if count != getattr(published, name):
            raise InputError(
                f"{catalog.root} is not the whole of {catalog.name}: it lists {count} {name} where {catalog.name} has "
                f"{getattr(published, name)}; unpack it anew"
            )
