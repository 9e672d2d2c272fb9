"""A packed data set that is given where its folder should be: is it one, and does it end as one."""

import os
import tarfile
import zipfile
from pathlib import Path

HEADS = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"7z\xbc\xaf\x27\x1c": "7z"}
"""How files of each kind begin; a download that is under way has another name, and begins alike."""


def archive_fault(path: Path) -> str | None:
    """What to say of an archive, whole or not; None for any other file.

    Whether a zip, tar or xz archive ends too early is seen from its end. The others would have to be read whole.
    """
    with path.open("rb") as file:
        head = file.read(512)
    kind = next((kind for start, kind in HEADS.items() if head.startswith(start)), None)
    kind = "tar" if head[257:262] == b"ustar" else kind
    if kind is None:
        return None
    ends = {"zip": zipfile.is_zipfile, "tar": _tar_ends, "xz": _xz_ends}
    if kind in ends and not ends[kind](path):
        return f"is an archive ({kind}) that ends too early; download it again, and unpack it"
    return f"is an archive ({kind}); unpack it, and give the folder"


def _tar_ends(path: Path) -> bool:
    """Whether a tar archive ends with its two empty blocks."""
    return _end(path, 2 * tarfile.BLOCKSIZE) == bytes(2 * tarfile.BLOCKSIZE)


def _xz_ends(path: Path) -> bool:
    """Whether an xz archive ends with the mark of its last stream."""
    return _end(path, 2) == b"YZ"


def _end(path: Path, size: int) -> bytes:
    """The last bytes of a file."""
    with path.open("rb") as file:
        file.seek(-min(size, path.stat().st_size), os.SEEK_END)
        return file.read()
