import io
import tarfile
import zipfile

import pytest

from embedder.data.archives import archive_fault
from embedder.data.catalog import read_catalog
from eval.errors import InputError

WHOLE, CUT = "; unpack it, and give the folder", " that ends too early; download it again, and unpack it"


def packed(path, kind):
    """An archive of two files."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/1.jpg", bytes(range(256)) * 9)
            archive.writestr("a/2.jpg", bytes(range(256)) * 9)
    else:
        with tarfile.open(path, f"w:{kind}") as archive:
            for name in ("a/1.jpg", "a/2.jpg"):
                entry = tarfile.TarInfo(name)
                entry.size = 2304
                archive.addfile(entry, io.BytesIO(bytes(range(256)) * 9))
    return path


@pytest.mark.parametrize(
    ("kind", "name"), [("zip", "zip"), ("", "tar"), ("gz", "gzip"), ("xz", "xz"), ("bz2", "bzip2")]
)
def test_archives_are_told_by_what_they_hold_and_how_they_end(tmp_path, kind, name):
    path = packed(tmp_path / "photos.csv.part", kind)
    assert archive_fault(path) == f"is an archive ({name}){WHOLE}"
    content = path.read_bytes()
    path.write_bytes(content[:5000] if name == "tar" else content[: len(content) - 30])
    if name in {"zip", "tar", "xz"}:
        assert archive_fault(path) == f"is an archive ({name}){CUT}"
    else:
        assert archive_fault(path) == f"is an archive ({name}){WHOLE}"  # nobody can tell without reading all of it


@pytest.mark.parametrize("content", [b"", b"P", b"path,label\n", b"\xff\xd8\xff\xe0" + bytes(600)])
def test_other_files_are_no_archives(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert archive_fault(tmp_path / "a") is None


def test_an_archive_in_the_place_of_photos_is_no_wrong_path(tmp_path):
    path = packed(tmp_path / "birds.zip", "zip")
    with pytest.raises(InputError, match=r"birds\.zip is an archive \(zip\); unpack it"):
        read_catalog(path)
    path.write_bytes(path.read_bytes()[:-40])
    for spec in (path, f"cub200:{path}"):
        with pytest.raises(
            InputError, match=r"birds\.zip is an archive \(zip\) that ends too early; download it again"
        ):
            read_catalog(spec)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match=r"notes\.txt is neither a folder nor"):
        read_catalog(tmp_path / "notes.txt")
