"""Photos that are none, or none that can be trusted."""

import pickle
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from eval import images
from eval.images import BadImage, open_image
from tests.eval.test_images import FORMATS, flag, written

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def png_with(chunk: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    content = written(flag(), "PNG")
    extra = struct.pack(">I", len(body)) + chunk + body + struct.pack(">I", zlib.crc32(chunk + body))
    return content[:33] + extra + content[33:]


def png_of_size(width: int, height: int) -> bytes:
    """The head of a PNG that promises more than there is."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (head, data)
    )


@pytest.mark.parametrize("size", [(15_001, 10_000), (12_000, 14_000), (65_000, 65_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused_before_they_are_decoded(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    Image.init()  # one of Pillow's formats makes a picture of its own
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(BadImage, match="more than 150 million pixels"):
        open_image(png_of_size(*size))


def test_the_limit_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 32 * 32)
    open_image(flag())
    with pytest.raises(BadImage, match="too many"):
        open_image(flag(side=33))


@pytest.mark.parametrize("chunk", [b"zTXt", b"iCCP", b"iTXt"])
def test_bombs_inside_of_text_are_not_unpacked(chunk: bytes) -> None:
    packed = zlib.compress(b"\0" * 50_000_000, 9)
    body = {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[chunk] + packed
    with pytest.raises(BadImage, match=r"not an image that can be read \(.+\)"):
        open_image(png_with(chunk, body))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"I am a text file", "is not an image that can be read (no photo format that is known)"),
        (b"\n%PDF-1.7\n", "is a PDF; export the page as JPEG or PNG"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a bird -->\n<SVG width='9'/>",
            "is an SVG drawing; export it as PNG",
        ),
        (b"<!doctype html><svg/>", "no photo format that is known"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no photo format that is known"),
        (written(flag(side=200), "JPEG")[:-200], "truncated"),
    ],
)
def test_what_is_no_photo_is_named_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(BadImage) as caught:
        open_image(path)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    with pytest.raises(BadImage, match=r"^image: "):
        open_image(content)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="is a folder, not a photo"):
        open_image(tmp_path)
    for path in (tmp_path / "missing.jpg", tmp_path / "nul\0.jpg", tmp_path / ("long" * 1000)):
        with pytest.raises(BadImage, match=r"does not exist|cannot be read \(.+\)"):
            open_image(path)


def test_heic_without_its_package_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_formats", lambda: ("JPEG",))
    with pytest.raises(
        BadImage, match=r"is a HEIC photo, which needs the package pillow-heif here; or save it as JPEG"
    ):
        open_image(b"\0\0\0\x18ftypheic" + b"\0" * 100)


def test_a_bad_image_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(BadImage(Path("a.jpg"), "is empty")))
    assert (str(error), error.path, error.reason) == ("a.jpg: is empty", Path("a.jpg"), "is empty")


def test_pillow_says_nothing_to_the_user(tmp_path: Path) -> None:
    bad_exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x01\0"
    (tmp_path / "warns.jpg").write_bytes(written(flag(), "JPEG", exif=bad_exif))
    (tmp_path / "large.png").write_bytes(png_of_size(10_000, 10_000))
    code = (
        "import sys, eval.images as images\n"
        "for path in sys.argv[1:]:\n"
        "    try: images.open_image(path)\n"
        "    except images.BadImage: pass\n"
    )
    command = [sys.executable, "-W", "always", "-c", code, *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_always_a_bad_image_or_a_picture(name: str) -> None:
    whole = bytearray(written(flag(), name))
    draw = random.Random(name)
    for attempt in range(150):
        damaged = bytearray(whole[: draw.randrange(len(whole))] if attempt % 3 == 0 else whole)
        for _ in range(draw.randrange(4) if damaged else 0):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            assert open_image(bytes(damaged)).mode == "RGB"
        except BadImage as error:
            assert error.reason
