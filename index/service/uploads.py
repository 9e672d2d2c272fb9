"""Photos out of a request, within limits, stripped of what they tell beside the picture."""

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from embedder.data.catalog import has_area
from embedder.memory import give_back_freed_memory
from eval.images import BadImage, Box, Header, kept_box, open_image, photo_id, read_header
from index.remarks import remarks
from index.search import Index
from index.service.current import Snapshot
from index.service.settings import Limits

LOSSLESS = {"PNG", "BMP", "DIB", "TIFF", "GIF", "PPM", "QOI"}
"""Formats whose photos are kept to the pixel."""

HUGE = 8_000_000
"""Pixels of a photo whose memory is given back at once."""

HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Categories of Unicode that a label has no use for: controls, halves of characters, breaks of lines."""

UNSEEN = {
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",  # directions of text
    *"\u00ad\u180e\u200b\u2060\u2061\u2062\u2063\u2064\ufeff",  # of no width
}
"""Characters that are not seen, and can make one label look like another."""

SEEN = "LNPS"
"""First letters of the categories of Unicode of what can be seen by itself."""

HASH = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""Ids that are made of a photo's contents; those of vectors that were embedded elsewhere may be anything."""

LONGEST_NAME = 255
"""Characters of a photo's name that an answer repeats."""


@dataclass(frozen=True)
class Upload:
    """A photo as it came: what it is called, if anything, and its bytes."""

    name: str | None
    content: bytes


@dataclass(frozen=True)
class Prepared:
    """A photo as the network sees it.

    Attributes:
        id: names it among references.
        pixels: uint8 ``[S, S, 3]`` or 4.
        quality: what is wrong with the photo itself.
    """

    id: str
    pixels: NDArray[np.uint8]
    quality: tuple[str, ...]


async def uploads(photos: Sequence[UploadFile], limits: Limits) -> list[Upload]:
    """The photos of a request.

    Raises:
        HTTPException: there are too many.
    """
    if len(photos) > limits.photos:
        raise HTTPException(413, f"there are {len(photos)} photos; send at most {limits.photos} at once")
    return [Upload(_name(photo.filename), await photo.read()) for photo in photos]


def parse_box(text: str | None) -> Box | None:
    """The box that a form names as ``left,top,right,bottom``.

    Raises:
        HTTPException: it is none.
    """
    if not text:
        return None
    try:
        left, top, right, bottom = map(float, text.strip("[]() ").split(","))
    except ValueError:
        raise HTTPException(422, f"box is {text[:100]!r}; it must be four numbers: left,top,right,bottom") from None
    box = kept_box((left, top, right, bottom))
    if not has_area(box):
        raise HTTPException(422, f"box is {text[:100]!r}; it must have left < right and top < bottom, in pixels")
    return box


def meant_label(index: Index, text: str, limits: Limits) -> str:
    """The label that is meant: as references have it, else as a new one is kept.

    Raises:
        HTTPException: as for ``clean_label``.
    """
    find = index.spellings.find
    return find(text) or find(label := clean_label(text, limits)) or label


def clean_label(text: str, limits: Limits) -> str:
    """A label as it is kept: text in Unicode's composed form, without spaces around it.

    Raises:
        HTTPException: it is empty, too long, or holds characters that cannot be seen.
    """
    label = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(one)[0] in SEEN for one in label):
        raise HTTPException(422, "the label is empty; give one")
    if len(label) > limits.label:
        raise HTTPException(422, f"the label has {len(label)} characters; it may have at most {limits.label}")
    if not is_plain(label):
        raise HTTPException(422, "the label holds a line break or another character that cannot be seen; leave it out")
    return label


def is_plain(text: str) -> bool:
    """Whether a text has only characters that are seen, where they stand: no control, line break, turn of direction."""
    return not any(unicodedata.category(one) in HIDDEN or one in UNSEEN for one in text)


@contextmanager
def decoding(content: bytes, limits: Limits) -> Iterator[str]:
    """Yield the format of a photo that is not larger than it may be, to decode it; its memory is then given back.

    Raises:
        BadImage: it is no photo, or too large.
    """
    header = checked(content, limits)
    try:
        yield header.format
    finally:
        if header.width * header.height > HUGE:
            give_back_freed_memory()


def checked(content: bytes, limits: Limits) -> Header:
    """What a photo says of itself that is not larger than it may be, told before it is decoded.

    Raises:
        BadImage: it is no photo, or too large.
    """
    header = read_header(content)
    if header.width * header.height > limits.pixels:
        raise BadImage(
            None,
            f"has {header.width} x {header.height} pixels, more than {limits.megapixels:g} million; make it smaller",
        )
    return header


def prepared(snapshot: Snapshot, upload: Upload, box: Box | None, limits: Limits, cores: int = 1) -> Prepared:
    """Take a photo, or the part of it in a box, to what the network sees; nothing else of it stays.

    Raises:
        BadImage: it cannot be used.
    """
    index = snapshot.index
    view = index.embedder.preprocessing
    floor = None if index.calibration is None else index.calibration.least_sharp
    with decoding(upload.content, limits):
        image = open_image(upload.content, box, view.enough)
        pixels, quality = view(image, cores, box is not None), tuple(remarks(None, image, view.seen, floor))
        del image
    return Prepared(photo_id(upload.content, box), pixels, quality)


def stripped(content: bytes, limits: Limits) -> tuple[bytes, str]:
    """A photo as it is kept, with the ending of its file's name: upright, its pixels and nothing else.

    Raises:
        BadImage: it cannot be used.
    """
    with decoding(content, limits) as name:
        image = open_image(content)
        if name in LOSSLESS:
            return encoded(image, "PNG"), ".png"
        return encoded(image, "JPEG", quality=95, subsampling=0), ".jpg"


def kept_id(content: bytes, box: Box | None, limits: Limits) -> str:
    """What names a photo, or its part in a box, once it is kept."""
    return photo_id(stripped(content, limits)[0], box)


def encoded(image: Image.Image, name: str, **options: int) -> bytes:
    """A picture as a file of a format."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def _name(name: str | None) -> str | None:
    """What a photo is called, as it is repeated: its file's name without folders."""
    shown = "".join(one for one in (name or "").replace("\\", "/").rpartition("/")[2] if is_plain(one))
    return shown[:LONGEST_NAME] or None
