"""WebDataset: photos and what is known of them in tar files, the shards.

What belongs together has one name up to the first dot: ``0001.jpg`` the photo, ``0001.cls`` its class, ``0001.json``
whatever else. Photos are unpacked once.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedder.data.catalog import Catalog
from embedder.data.detect import BRACES, SUFFIXES
from embedder.data.layout import check_layout, splits_by_name
from embedder.data.lists import lines
from embedder.data.unpacking import Packed, Source, safe_name, unpacked
from eval.errors import InputError

NAME = "webdataset"
LAYOUT = "tar files, at its top or in folders train, validation and test"
CLASSES = "classnames.txt"
"""The names of the classes that ``.cls`` and ``.json`` files number from 0, one a line; may be missing."""

MEMBER = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)")
"""Key and suffix of a file in a shard; what has no suffix is no part of a sample."""

Sample = dict[str, bytes]


def read(root: Path) -> Catalog:
    """Read a folder of shards, one shard, or ``FOLDER/NAME-{000000..000012}.tar``.

    The split is what a shard's name or folder says. The class is in ``.cls``, else the ``label`` of ``.json``, else,
    where a sample has neither, in ``.txt``. Of a ``.json`` the columns of a table are taken.

    Raises:
        InputError: a shard is missing, cut short or damaged, or holds what would be written elsewhere; or a sample has
            no photo, or no class where others have one, or its key is there twice.
    """
    shards = _shards(root)
    above = root if root.is_dir() else root.parent
    listing = above / CLASSES
    classes = [name.strip() for name in lines(listing)] if listing.is_file() else None
    splits = splits_by_name(shards, root)
    split_of = {shards[name]: split for name, split in splits.items()}
    labelled: list[bool] = []

    def photos(shard: Path) -> Iterator[Packed]:
        for key, sample in _samples(shard):
            columns = _columns(shard, key, sample, classes)
            labelled.append("label" in columns)
            if labelled[-1] != labelled[0]:
                has, other = ("has a", "has none") if labelled[-1] else ("has no", "has one")
                raise InputError(f"{shard}: the sample {key} {has} class, and the first {other}")
            suffix, content = _photo(shard, key, sample)
            split = {"split": split_of[shard]} if split_of[shard] else {}
            yield Packed(f"{key}.{suffix}", content, {**columns, **split}, f"sample {key}")

    return unpacked(Source(NAME, root, shards, photos, classes, [listing] if classes else []))


def _shards(root: Path) -> dict[str, Path]:
    """The shards by their path below the root, without the suffix."""
    if braces := BRACES.fullmatch(str(root)):
        before, first, last, after = braces.groups()
        files = [Path(f"{before}{number:0{len(first)}}{after}") for number in range(int(first), int(last) + 1)]
    elif root.is_file() and root.suffix == ".tar":
        files = [root]
    else:
        check_layout(root, NAME, (), LAYOUT)
        files = sorted(file for file in root.rglob("*.tar") if not file.name.startswith("."))
    if not files:
        raise InputError(f"{root} holds no .tar files; {NAME} is laid out as {LAYOUT}")
    if missing := next((file for file in files if not file.is_file()), None):
        raise InputError(f"{missing} is missing; load it, or name the shards that there are")
    above = root if root.is_dir() else root.parent
    return {file.relative_to(above).with_suffix("").as_posix(): file for file in files}


def _samples(shard: Path) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of a shard with their keys, each once; its files lie one after the other."""
    seen = set()
    key, sample = "", Sample()
    for name, content in _members(shard):
        if not (parts := MEMBER.fullmatch(name)):
            continue
        if parts[1] != key:
            if sample:
                yield key, sample
            key, sample = parts[1], {}
            if key in seen:
                raise InputError(f"{shard}: the sample {key} is there twice, or its files do not follow each other")
            seen.add(key)
        suffix = parts[2].lower()
        if suffix in sample:
            raise InputError(f"{shard}: the sample {key} is there twice: it has two files .{suffix}")
        sample[suffix] = content
    if sample:
        yield key, sample


def _members(shard: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a shard; what is no plain file, or has a name that leads elsewhere, is refused."""
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                name = safe_name(member.name)
                if member.isdir() and (name or member.name == "."):
                    continue
                if name is None:
                    raise InputError(f"{shard}: the name {member.name!r} leads out of it; nothing of it is taken")
                if not member.isreg() or member.issparse():
                    raise InputError(f"{shard}: {name} is a link or no plain file; nothing of it is taken")
                content = archive.extractfile(member)
                yield name, content.read() if content else b""
            _check_end(shard, archive.offset)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{shard} is no tar file, cut short or damaged ({error}); load it anew") from None


def _check_end(shard: Path, offset: int) -> None:
    """Refuse a shard that does not end as tar files do, with two blocks of zeros: Python would read on in silence."""
    with shard.open("rb") as file:
        file.seek(offset)
        end = file.read(1024)
        if len(end) < 1024 or any(end) or any(any(block) for block in iter(lambda: file.read(2**20), b"")):
            raise InputError(f"{shard} is cut short or damaged at byte {offset}; load it anew")


def _photo(shard: Path, key: str, sample: Sample) -> tuple[str, bytes]:
    """Suffix and bytes of a sample's photo."""
    photos = [suffix for suffix in sample if f".{suffix}" in SUFFIXES]
    if len(photos) != 1 or not sample[photos[0]]:
        fault = f"several photos ({', '.join(photos)})" if len(photos) > 1 else "no photo"
        raise InputError(f"{shard}: the sample {key} has {fault}; it has .{', .'.join(sample)}")
    return photos[0], sample[photos[0]]


def _columns(shard: Path, key: str, sample: Sample, classes: list[str] | None) -> dict[str, Any]:
    """What is known about a sample's photo; without ``label`` where nothing is said of its class."""
    columns = _object(shard, key, sample["json"]) if "json" in sample else {}
    source = "cls" if "cls" in sample else "txt" if "txt" in sample and "json" not in sample else None
    if source:
        try:
            columns["label"] = sample[source].decode().strip()
        except UnicodeDecodeError:
            raise InputError(f"{shard}: the class of the sample {key} is not in UTF-8") from None
    label = columns.get("label")
    if isinstance(label, int):  # in a .json
        columns["label"] = label = str(label)
    if classes and source != "txt" and isinstance(label, str) and label.isdecimal():
        number = int(label)
        if number >= len(classes):
            raise InputError(
                f"{shard}: the class {number} of the sample {key} is not in {CLASSES}, which counts from 0"
            )
        columns["label"] = classes[number]
    return columns


def _object(shard: Path, key: str, content: bytes) -> dict[str, Any]:
    """What a sample's JSON says."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shard}: the .json of the sample {key} is damaged ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{shard}: the .json of the sample {key} is not of the form {{...}}")
    return {("source_path" if name == "path" else name): value for name, value in found.items()}
