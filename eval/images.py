"""Opening any photo safely as upright RGB; what names it; its thumbnail; what it looks like in 64 bits."""

import errno
import hashlib
import io
import logging
import stat
import struct
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from eval.errors import InputError
from eval.stages import stage

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the upright photo."""

OnBadImage = Literal["skip", "error"]
"""Leave photos out that cannot be used, or stop at the first."""

MAX_PIXELS = 150_000_000
"""Larger photos are refused before they are decoded: each of these pixels costs several bytes at once."""

# Only what photos come in: other formats of Pillow run programs (EPS starts Ghostscript) or accept nearly any bytes.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM", "QOI")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_LYING = (5, 6, 7, 8)
"""EXIF's orientations of photos that are stored on their side."""

# The white that stands for each mode of more than 8 bits; where a mode does not say, the smallest that holds the photo.
_WHITES = {"I": (65535.0,), "F": (1.0, 255.0, 65535.0)}

# What Pillow has to say about a photo comes back as an error or does not matter. A filter for the whole process is
# the only one that threads can share.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


class BadImage(InputError):  # noqa: N818 (it is the photo that is bad)
    """A photo that cannot be used.

    Attributes:
        path: the photo's file; None where it came as bytes or as an image.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path | None, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path or 'image'}: {self.reason}"


def open_image(
    source: Path | str | bytes | Image.Image, box: Box | None = None, enough: int | None = None
) -> Image.Image:
    """Open a photo as people see it: upright, 8 bits RGB, the first frame, on white where it is transparent.

    May be called from several threads at once.

    Args:
        source: a file, the bytes of one, or an image that is open already.
        box: the part to cut out; clipped to the photo and widened to whole pixels.
        enough: pixels that its shorter side needs not exceed. JPEG can be decoded at a half, a quarter or an eighth of
            its size, which is much faster, and is where that leaves so many. The photo then has fewer pixels.

    Raises:
        BadImage: the source is missing, not a photo, damaged, or has more than ``MAX_PIXELS`` pixels; or ``box`` lies
            outside of it.
    """
    return open_scaled(source, box, enough)[0]


def open_scaled(
    source: Path | str | bytes | Image.Image, box: Box | None = None, enough: int | None = None
) -> tuple[Image.Image, int]:
    """Open a photo, and say how many of its pixels across have become one; see ``open_image``.

    Raises:
        BadImage: as for ``open_image``.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        return _decode(read_file(path), path, box, enough)
    return _decode(source, None, box, enough)


def open_photo(file: Path, box: Box | None = None, enough: int | None = None) -> tuple[str, Image.Image]:
    """Open a photo together with its id, both of the same bytes whatever happens to the file; see ``open_image``.

    Raises:
        BadImage: as for ``open_image``.
    """
    content = read_file(file)
    return photo_id(content, box), _decode(content, file, box, enough)[0]


def open_named(file: Path, name: str, box: Box | None = None, enough: int | None = None) -> Image.Image:
    """Open a photo that is still the one of an id; see ``open_image``.

    Raises:
        BadImage: as for ``open_image``, or it is another photo.
    """
    content = read_file(file)
    if photo_id(content, box) != name:
        raise BadImage(file, "is another photo by now")
    return _decode(content, file, box, enough)[0]


def in_cut(points: NDArray[np.float64], box: Box | None, scale: int) -> NDArray[np.float64]:
    """Where points of a photo [..., 2] lie in what ``open_scaled`` has made of it or of its box."""
    corner = (0.0, 0.0) if box is None else np.floor(np.maximum(box[:2], 0) / scale)
    return points / scale - corner


@dataclass(frozen=True)
class Header:
    """What the first bytes of a photo say of it: the name of its format, and its pixels across and down as stored."""

    format: str
    width: int
    height: int


def read_header(content: bytes) -> Header:
    """What a photo says of itself before it is decoded.

    Raises:
        BadImage: it is no photo, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            return Header(str(image.format), *image.size)
    except Exception as error:  # as for ``open_image``
        raise BadImage(None, _reason(error, content)) from None


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        BadImage: they cannot be had.
    """
    try:
        with stage("read"):
            mode = path.stat().st_mode
            if stat.S_ISREG(mode):  # others may never end
                return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise BadImage(path, "does not exist") from None
    except (OSError, MemoryError) as error:
        is_loop = isinstance(error, OSError) and error.errno == errno.ELOOP
        raise BadImage(path, "does not exist" if is_loop else f"cannot be read ({error})") from None
    raise BadImage(path, "is a folder, not a photo" if stat.S_ISDIR(mode) else "is not a file")


def read_id(file: Path, box: Box | None = None) -> str:
    """The id of a photo that is not decoded.

    Raises:
        BadImage: its file cannot be read.
    """
    return photo_id(read_file(file), box)


def kept_box(box: Box) -> Box:
    """A box as tables keep it, in single precision; what is too large for that is infinite."""
    with np.errstate(over="ignore"):
        left, top, right, bottom = np.array(box, np.float32).tolist()
    return left, top, right, bottom


def photo_id(content: bytes, box: Box | None = None) -> str:
    """The name of a photo: 128 bits of SHA-256 over its file's bytes and its box, as 32 hexadecimal digits.

    A box counts as tables keep it.
    """
    place = b"" if box is None else struct.pack("<4d", *kept_box(box))
    return hashlib.sha256(content + place).hexdigest()[:32]


def thumbnail(image: Image.Image, side: int = 256) -> bytes:
    """A JPEG of an RGB image whose longer side is at most ``side`` pixels; smaller images keep their size."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def picture_hash(image: Image.Image) -> int:
    """A perceptual hash of 64 bits: copies of a photo in another size, quality or format differ in few of them.

    The difference hash: the photo in 9 x 8 grey pixels, and for each of them but a row's last whether the next one is
    brighter.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


def _decode(
    source: bytes | Image.Image, path: Path | None, box: Box | None = None, enough: int | None = None
) -> tuple[Image.Image, int]:
    """The photo, or the part of it in a box, as a new upright RGB image without metadata, and its scale."""
    try:
        with stage("decode"):
            image = source if isinstance(source, Image.Image) else Image.open(io.BytesIO(source), formats=_formats())
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            scale = _shrink(image, box, enough) if enough and not isinstance(source, Image.Image) else 1
            image.load()
            image = _rgb(_upright(image))
    except Exception as error:  # the decoders raise nearly every kind of exception for damaged files
        raise BadImage(path, _reason(error, source)) from None
    image.info = {}
    return (image if box is None else _cut(image, box, scale, path)), scale


def _shrink(image: Image.Image, box: Box | None, enough: int) -> int:
    """Have a JPEG decoded at a half, a quarter or an eighth of its size, if that leaves enough of it or of its box.

    Returns:
        How many of its pixels across become one.
    """
    width, height = _upright_size(image) if box else image.size
    left, top, right, bottom = box or (0, 0, width, height)
    shorter = min(min(right, width) - max(left, 0), min(bottom, height) - max(top, 0))
    width, height = image.size
    scale = next((one for one in (8, 4, 2) if shorter >= one * enough and width % one == height % one == 0), 1)
    return scale if image.draft(None, (width // scale, height // scale)) else 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once the photo is turned as its EXIF says; damaged EXIF says nothing."""
    with suppress(Exception):  # of nearly every kind
        if image.getexif().get(ExifTags.Base.Orientation) in _LYING:
            return image.height, image.width
    return image.size


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this installation can open."""
    Image.init()
    try:
        from pillow_heif import register_heif_opener  # noqa: PLC0415 (an extra, and slow to import)

        register_heif_opener()
    except ImportError:
        pass
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _upright(image: Image.Image) -> Image.Image:
    """Turn a loaded image as its EXIF says; damaged EXIF says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # as above; the pixels are fine
        return image.copy()


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode.startswith(("I", "F")):
        made, clear = _eight_bits(image), image.info.get("transparency")
        if isinstance(clear, int):
            made.paste("white", mask=Image.fromarray(np.asarray(image) == clear))
        return made
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; black is 0, or the least value where that is below 0."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0.0, neginf=0.0)
    black = min(float(grey.min()), 0.0)
    brightest = float(grey.max())
    whites = _WHITES.get(image.mode, (65535.0,))
    white = next((white for white in whites if brightest <= white), brightest)
    scale = 255 / (white - black)
    scaled = np.rint(grey * np.float32(scale) - np.float32(black * scale))
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def _cut(image: Image.Image, box: Box, scale: int, path: Path | None) -> Image.Image:
    """The part that lies in a box of an image that has been made smaller by ``scale``."""
    left, right = np.clip((box[0] / scale, box[2] / scale), 0, image.width)
    top, bottom = np.clip((box[1] / scale, box[3] / scale), 0, image.height)
    if not (left < right and top < bottom):
        width, height = image.width * scale, image.height * scale
        raise BadImage(path, f"has nothing in box {tuple(box)}: it has {width} x {height} pixels")
    return image.crop((int(left), int(top), int(np.ceil(right)), int(np.ceil(bottom))))


def _reason(error: Exception, source: bytes | Image.Image) -> str:
    """What an exception of the decoder means for the photo."""
    if isinstance(error, Image.DecompressionBombError):
        return f"has more than {MAX_PIXELS // 1_000_000} million pixels, too many to decode safely; make it smaller"
    if isinstance(error, MemoryError):
        return "takes more memory to decode than there is; make it smaller, or free some"
    if not isinstance(error, UnidentifiedImageError) or isinstance(source, Image.Image):
        return f"is not an image that can be read ({' '.join(str(error).split()) or type(error).__name__})"
    return _kind(source) if source else "is empty"


def _kind(source: bytes) -> str:
    """What bytes are that no decoder knows, by the first of them."""
    head = source[:12]
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS and "HEIF" not in _formats():
        return "is a HEIC photo, which needs the package pillow-heif here; or save it as JPEG"
    text = source[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"%pdf-"):
        return "is a PDF; export the page as JPEG or PNG"
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return "is an SVG drawing; export it as PNG"
    return "is not an image that can be read (no photo format that is known)"
