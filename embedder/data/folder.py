"""A folder of photos: ``root/class/*.jpg``, ``root/train|test/class/*.jpg``, or photos alone, without labels."""

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from embedder.data.catalog import Catalog, label_column
from embedder.data.detect import SPLIT_NAMES, SUFFIXES
from embedder.data.layout import check_layout, official_splits
from eval.errors import InputError, first_few

Parts = tuple[str, ...]
"""A photo's path below the root, cut at the slashes."""


def read(root: Path) -> Catalog:
    """Read a folder of photos.

    A folder below ``root`` is a class, and every photo anywhere below it belongs to it. Where all folders below
    ``root`` are called train, test or validation (or training, testing, val, valid), the classes are a level further
    down; ``official_splits`` says what becomes of validation photos. Photos that lie in ``root`` alone have no label.
    Files with other suffixes and hidden ones are ignored. Rows are sorted by path and classes by name, by code point.

    Raises:
        InputError: there are no photos, or they do not lie in one of these ways.
    """
    check_layout(root, "a folder of photos", (), "one folder a class")
    photos = sorted(photos_below(root))
    _check_depth(root, photos)
    columns = {"path": pa.array(["/".join(parts) for parts in photos])}
    tops = {parts[0] for parts in photos}
    if len(photos[0]) == 1:
        columns["label"] = label_column([None] * len(photos))
    elif _are_splits(tops):
        split = official_splits(tops)
        columns["label"] = label_column([parts[1] for parts in photos])
        columns["split"] = pa.array([split[parts[0]] for parts in photos])
    else:
        columns["label"] = label_column([parts[0] for parts in photos])
    if len(photos[0]) > 1 and (empty := empty_folders(root)):
        print(f"folders without photos, which are no classes: {len(empty)} ({first_few(empty)})", file=sys.stderr)
    return Catalog(pa.table(columns), root, "folder")


def photos_below(folder: Path, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Parts]:
    """Yield the photos below a folder, at any depth and in any order; hidden files and folders are left out.

    Args:
        folder: where to look.
        above: the folders above it, by device and number: a link back to one of them is not followed.

    Raises:
        InputError: a name is not UTF-8.
    """
    status = folder.stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in [*os.scandir(folder)]:  # read to its end, as who asks for the first photo alone leaves it open
        if entry.name.startswith("."):
            continue
        if not entry.name.isprintable():
            _check_name(folder, entry.name)
        if _is_folder(entry):
            for parts in photos_below(Path(entry.path), above | {here}):
                yield entry.name, *parts
        elif Path(entry.name).suffix.lower() in SUFFIXES:
            yield (entry.name,)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself leads to nothing, as a broken one does."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def empty_folders(root: Path) -> list[str]:
    """The folders of a folder of photos that would be classes if they held photos, by their paths below it."""
    tops = {entry.name for entry in os.scandir(root) if _is_folder(entry) and not entry.name.startswith(".")}
    places = [root / top for top in tops] if tops and _are_splits(tops) else [root]
    folders = (Path(entry.path) for place in places for entry in os.scandir(place) if _is_folder(entry))
    shown = (folder for folder in folders if not folder.name.startswith("."))
    return sorted(folder.relative_to(root).as_posix() for folder in shown if next(photos_below(folder), None) is None)


def _check_name(folder: Path, name: str) -> None:
    """Refuse a name whose bytes are not UTF-8: no table could hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{folder} holds a name that is not UTF-8: {name!r}; rename it") from None


def _check_depth(root: Path, photos: list[Parts]) -> None:
    """Refuse photos that do not lie in one of the ways that can be read."""
    if not photos:
        fault = "holds no photos (files such as .jpg or .png)" if any(root.iterdir()) else "is empty"
        raise InputError(f"{root} {fault}; give a folder of photos, or of one folder a class")
    tops = {parts[0] for parts in photos}
    shallow = [parts for parts in photos if len(parts) == 1]
    if shallow and len(shallow) < len(photos):
        raise InputError(
            f"{root} holds {len(shallow)} photos beside its class folders (first: {shallow[0][0]}); "
            "move them into the folder of their class, or out"
        )
    if shallow:
        return
    parts = sorted({parts[0] for parts in photos if _are_splits({parts[0]}) and len(parts) > 2})
    strays = sorted(name for name in tops if not _are_splits({name}))
    if parts and strays:
        raise InputError(
            f"{root} holds {parts[0]}, with folders of classes in it, beside {strays[0]}, which is no part of a data "
            f"set (parts are {', '.join(SPLIT_NAMES)}); move {strays[0]} out, or give {root / parts[0]}"
        )
    if _are_splits(tops):
        stray = [parts for parts in photos if len(parts) == 2]
        if stray:
            raise InputError(
                f"{root / stray[0][0]} holds photos outside class folders (first: {stray[0][1]}); "
                "put those of each class into a folder named after it"
            )
    elif all(len(parts) > 2 for parts in photos):
        _check_below(root, photos)


def _check_below(root: Path, photos: list[Parts]) -> None:
    """Refuse folders whose own folders seem to be the classes."""
    below: dict[str, set[str]] = {}
    for parts in photos:
        below.setdefault(parts[0], set()).add(parts[1])
    (one, names), *others = below.items()
    if not others and (len(names) > 1 or _are_splits(names)):
        raise InputError(
            f"{root} is one level too high: its only folder {one} holds folders of photos; give {root / one}"
        )
    if others and len(names) >= len(below) and all(names == some for _, some in others):
        raise InputError(
            f"{root} holds {first_few([*below])} with folders of the same names in each ({first_few(sorted(names))}): "
            f"they look like parts of a data set and not like classes; give one of them, such as {root / one}, or "
            "call them train and test. If they are classes, list the photos in a table"
        )


def _are_splits(names: set[str]) -> bool:
    """Whether all these folders are parts of a data set rather than classes."""
    return all(name.lower() in SPLIT_NAMES for name in names)
