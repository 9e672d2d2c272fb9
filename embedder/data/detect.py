"""What lies at a path, told by the names of files: which reader it is for.

A name on the command line is, in this order: ``NAME:ROOT`` with the name of a reader; a folder that holds what
``datasets.save_to_disk`` writes, a list of photos of an ImageFolder, or Parquet shards, which ``huggingface`` reads; a
folder of nothing but shards, one shard, or a series of them, which ``webdataset`` reads; any other folder; a table, or
a folder that such photos were unpacked into, with its table.
"""

import json
import os
import re
from pathlib import Path

from eval.files import MANIFEST

SUFFIXES = frozenset({
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2c", ".j2k", ".jfif", ".jp2",
    ".jpc", ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tif",
    ".tiff", ".webp"
})  # fmt: skip
"""Suffixes of the formats that ``eval.images`` opens; a fixed list, so that every machine finds the same photos."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
"""What people call the parts of a data set."""

SAVED = ("dataset_dict.json", "state.json")
"""What ``datasets.save_to_disk`` lists files in, of several splits and of one."""

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Lists of photos in an ImageFolder, if they have a column ``file_name``."""

PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})")
"""The name, without its suffix, of one file of several."""

BRACES = re.compile(r"(.*)\{(\d+)\.\.(\d+)\}([^/\\]*\.tar)")
"""A series of shards: ``train-{000000..000012}.tar``."""


UNPACKED = "-photos"
"""How the folder is called that photos of packed files are unpacked into, after the name of these."""

UNPACKED_TABLE = "photos.parquet"
"""The table of the photos in such a folder."""

UNPACKED_KIND = "unpacked photos"
"""What the manifest of such a folder says."""


def reader_of(path: Path) -> str | None:
    """The reader for what lies at a path; None where there is nothing."""
    if BRACES.fullmatch(str(path)):
        return "webdataset"
    if path.is_dir():
        if is_unpacked(path):
            return "table"
        return "huggingface" if _is_of_datasets(path) else "webdataset" if _is_of_shards(path) else "folder"
    return ("webdataset" if path.suffix == ".tar" else "table") if path.exists() else None


def is_unpacked(folder: Path) -> bool:
    """Whether photos of packed files were unpacked into a folder."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == UNPACKED_KIND


def metadata(root: Path) -> list[Path]:
    """The lists of photos of an ImageFolder that lie in a folder, and in those of its splits."""
    folders = [root, *sorted(one for one in root.glob("*/") if one.name.lower() in SPLIT_NAMES)]
    return [one / name for one in folders for name in METADATA if (one / name).is_file()]


def _is_of_datasets(root: Path) -> bool:
    """Whether a folder is one that Hugging Face ``datasets`` would load."""
    if (root / SAVED[0]).is_file() or ((root / SAVED[1]).is_file() and (root / "dataset_info.json").is_file()):
        return True
    shards = (file for folder in (root, root / "data") for file in folder.glob("*.parquet"))
    return any(PART.fullmatch(file.stem) for file in shards) or any(map(names_files, metadata(root)))


def names_files(file: Path) -> bool:
    """Whether a list has a column ``file_name``, without which it is about something else."""
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq  # noqa: PLC0415 - takes time, and nearly nobody has such a list

            return "file_name" in pq.read_schema(file).names
        with file.open(encoding="utf-8-sig") as stream:
            first = stream.readline()
        if file.suffix == ".csv":
            return "file_name" in [name.strip() for name in re.split(r'[,;\t"]', first)]
        found = json.loads(first)
        return isinstance(found, dict) and "file_name" in found
    except (ValueError, OSError):
        return False


def _is_of_shards(root: Path) -> bool:
    """Whether a folder holds tar files and no photos, or nothing but folders of splits that do."""
    shards, folders = 0, []
    for entry in [*os.scandir(root)]:
        suffix = Path(entry.name).suffix.lower()
        if entry.name.startswith(".") or entry.name.endswith(UNPACKED):
            continue
        if entry.is_dir():
            folders.append(Path(entry.path))
        if suffix in SUFFIXES or (folders and folders[-1].name.lower() not in SPLIT_NAMES):
            return False
        shards += suffix == ".tar"
    return all(_is_of_shards(one) for one in folders) if folders and not shards else shards > 0 == len(folders)
