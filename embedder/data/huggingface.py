"""A folder of Hugging Face ``datasets``: photos with ``metadata.csv``, what ``save_to_disk`` wrote, or Parquet shards.

Photos of the last two lie inside of the files and are unpacked once. The package ``datasets`` is not needed.
"""

import sys
from dataclasses import replace
from pathlib import Path
from posixpath import normpath
from typing import Any

from embedder.data import folder
from embedder.data.catalog import Catalog
from embedder.data.detect import METADATA, PART, SAVED, SPLIT_NAMES, UNPACKED, metadata, names_files
from embedder.data.huggingface_shards import Features, features_of, photos_of
from embedder.data.layout import check_layout, splits_by_name
from embedder.data.listing import Listing, columns_of, read_listing, without_others
from embedder.data.table import catalog_of
from embedder.data.unpacking import Source, safe_name, unpacked
from eval.errors import InputError, first_few
from eval.files import read_json

NAME = "huggingface"
LAYOUT = (
    "folders of photos with metadata.csv, metadata.jsonl or metadata.parquet; what datasets' save_to_disk writes; or "
    "Parquet files such as data/train-00000-of-00002.parquet"
)


def read(root: Path) -> Catalog:
    """Read such a folder.

    Raises:
        InputError: it is none, a file is missing, cut short or damaged, or says of a photo what cannot be.
    """
    if root.suffix not in {".arrow", ".parquet"}:
        check_layout(root, NAME, (), LAYOUT)
    if any((root / name).is_file() for name in SAVED):
        return _packed(root, _saved(root))
    lists = metadata(root)
    if any(map(names_files, lists)):
        return _photos_with_metadata(root, lists)
    if shards := [root] if root.is_file() else parquet_shards(root):
        return _packed(root, {_below(root, file): file for file in shards})
    if lists:
        return _photos_with_metadata(root, lists)
    return replace(folder.read(root), name=NAME)


def parquet_shards(root: Path) -> list[Path]:
    """The Parquet files of a folder, which are of one data set.

    Raises:
        InputError: they are of several.
    """
    found = sorted(
        file
        for file in root.rglob("*.parquet")
        if file.name not in METADATA
        and not any(part.startswith(".") or part.endswith(UNPACKED) for part in file.relative_to(root).parts)
    )
    places = {file.parent.parent if file.parent.name.lower() in SPLIT_NAMES else file.parent for file in found}
    if len(places) > 1:
        several = [str(place) for place in sorted(places)]
        raise InputError(f"{root} holds several data sets ({first_few(several)}); give one: {NAME}:{several[0]}")
    return found


def _below(root: Path, file: Path) -> str:
    """A file's path below the root, without its suffix."""
    return file.stem if file == root else file.relative_to(root).with_suffix("").as_posix()


def _saved(root: Path) -> dict[str, Path]:
    """The Arrow files that ``save_to_disk`` wrote, which are named in ``state.json``."""
    listing = root / "dataset_dict.json"
    folders = [root / name for name in _plain_names(listing, "splits")] if listing.is_file() else [root]
    return {
        _below(root, one / name): one / name
        for one in folders
        for name in _plain_names(one / "state.json", "_data_files", "filename")
    }


def _plain_names(file: Path, *keys: str) -> list[str]:
    """The names that a JSON file lists, none of which leads elsewhere."""
    contents = read_json(file)
    names = contents.get(keys[0]) if isinstance(contents, dict) else None
    if isinstance(names, list) and len(keys) > 1:
        names = [one.get(keys[1]) if isinstance(one, dict) else None for one in names]
    if not isinstance(names, list) or not all(map(_is_plain, names)):
        raise InputError(f"{file} does not list names under {keys[0]!r}; save the data set anew")
    return names


def _is_plain(name: Any) -> bool:
    """Whether something is the name of a file or folder right here."""
    return isinstance(name, str) and "/" not in name and safe_name(name) == name


def _packed(root: Path, shards: dict[str, Path]) -> Catalog:
    """The catalog of photos that lie inside of files."""
    _check_all_there(shards)
    splits = splits_by_name(shards, root)
    features = {name: _features(file) for name, file in shards.items()}
    first, *others = features.items()
    for name, one in others:
        if one != first[1]:
            raise InputError(f"{shards[name]} has other columns or classes than {shards[first[0]]}; load both anew")
    splits_of = {shards[name]: split for name, split in splits.items()}
    return unpacked(
        Source(NAME, root, shards, lambda file: photos_of(file, first[1], splits_of[file]), first[1].classes)
    )


def _check_all_there(shards: dict[str, Path]) -> None:
    """Refuse a data set of which a file is missing."""
    counts: dict[str, tuple[int, Path]] = {}
    for name, file in shards.items():
        if part := PART.fullmatch(name):
            counts[part[1]] = int(part[3]), file
        if not file.is_file():
            raise InputError(f"{file} is missing; load the data set anew")
    for before, (count, file) in counts.items():
        for number in range(count):
            if f"{before}-{number:05}-of-{count:05}" not in shards:
                missing = file.with_name(f"{Path(before).name}-{number:05}-of-{count:05}{file.suffix}")
                raise InputError(f"{missing} is missing; load the data set anew")


def _features(file: Path) -> Features:
    """What the columns of a file are; beside Arrow files this is also written down as JSON, which counts."""
    info = file.parent / "dataset_info.json"
    said: Any = read_json(info) if file.suffix == ".arrow" and info.is_file() else None
    return features_of(file, said.get("features") if isinstance(said, dict) else None)


def _photos_with_metadata(root: Path, lists: list[Path]) -> Catalog:
    """The catalog of photos that lie in folders, as the lists beside them say."""
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    for file in lists:
        listing = without_others(read_listing(file))
        if "file_name" not in listing.columns:
            raise InputError(f"{file}: the column 'file_name' is missing; found: {', '.join(listing.columns)}")
        above = file.parent.relative_to(root)
        names = listing.texts("file_name")
        columns = {name: values.to_pylist() for name, values in listing.columns.items() if name != "file_name"}
        for row, (name, place) in enumerate(zip(names, listing.places, strict=True)):
            if name is None:
                raise listing.fault(row, "the file_name is empty")
            path = (above / name.replace("\\", "/")).as_posix()
            rows.append({**{column: values[row] for column, values in columns.items()}, "path": path})
            places.append(f"{file.relative_to(root)}, {place}")
    listed = {normpath(row["path"]) for row in rows}
    if others := sorted({"/".join(parts) for parts in folder.photos_below(root)} - listed):
        print(f"photos that no list names are left out: {len(others)} ({first_few(others)})", file=sys.stderr)
    return catalog_of(Listing(root, root, columns_of(_with_folders(rows), root), places), NAME)


def _with_folders(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what their folders say where no column does: the split, and below it the class.

    A folder is a class only where there are several, and no photo lies outside of them.
    """
    columns = {name for row in rows for name in row}
    above = [row["path"].split("/")[:-1] for row in rows]
    splits = [parts[0] if parts and parts[0].lower() in SPLIT_NAMES else None for parts in above]
    labels = [dict(enumerate(parts)).get(split is not None) for parts, split in zip(above, splits, strict=True)]
    said: dict[str, list[str | None]] = {}
    if "split" not in columns and any(splits):
        said["split"] = splits
    if "label" not in columns and len({*labels}) > 1 and None not in labels:
        said["label"] = labels
    return [{**row, **{name: values[number] for name, values in said.items()}} for number, row in enumerate(rows)]
