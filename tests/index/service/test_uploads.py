"""What comes out of a request, and what is kept of it."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from starlette.exceptions import HTTPException

from eval.images import BadImage, open_image
from index.service.settings import Limits
from index.service.uploads import Upload, clean_label, parse_box, prepared, stripped
from tests.index.service.conftest import jpeg

LIMITS = Limits()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Passer domesticus ", "Passer domesticus"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("../../etc/passwd", "../../etc/passwd"),
        (
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("x" * 200, "x" * 200),
    ],
)
def test_labels_are_text(given, kept):
    assert clean_label(given, LIMITS) == kept


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("x" * 10_000, "has 10000 characters; it may have at most 200"),
        ("two\nlines", "cannot be seen"),
        ("nul\0", "cannot be seen"),
        ("turned \u202e round", "cannot be seen"),
    ],
)
def test_labels_that_are_none_are_refused(given, sentence):
    with pytest.raises(HTTPException) as error:
        clean_label(given, LIMITS)
    assert error.value.status_code == 422
    assert sentence in error.value.detail


def test_boxes_are_four_numbers_as_an_index_keeps_them():
    assert parse_box(None) is None
    assert parse_box("") is None
    assert parse_box("[1, 2.5, 3, 4e1]") == (1.0, 2.5, 3.0, 40.0)
    assert parse_box("0.1,0,1,1")[0] == float(np.float32(0.1))
    for wrong in ("1,2,3", "a,b,c,d", "inf,0,1,1", "3,0,1,1", "1e300,0,2e300,1"):
        with pytest.raises(HTTPException):
            parse_box(wrong)


def secret():
    """A photo that tells where, by what and when it was taken, lying on its side."""
    image = Image.effect_noise((80, 40), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "SECRET CAMERA", "SECRET PROGRAM"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    return image, exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_is_kept_is_upright_and_tells_nothing_else(kind):
    image, exif = secret()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SECRET PLACE")
    buffer = io.BytesIO()
    options = {"pnginfo": text} if kind == "PNG" else {}
    image.save(buffer, kind, exif=exif, icc_profile=b"SECRET PROFILE" * 10, **options)
    content, ending = stripped(buffer.getvalue(), LIMITS)
    assert ending == {"PNG": ".png", "TIFF": ".png"}.get(kind, ".jpg")
    kept = Image.open(io.BytesIO(content))
    assert kept.size == (40, 80)
    assert not kept.getexif()
    assert {*kept.info} <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"SECRET" not in content
    assert b"2026" not in content
    shown, original = (np.asarray(one, np.int16) for one in (kept.convert("RGB"), open_image(buffer.getvalue())))
    assert np.abs(shown - original).max() <= (0 if ending == ".png" else 40)
    assert stripped(buffer.getvalue(), LIMITS) == (content, ending)


def test_a_photo_has_no_more_pixels_than_it_may_have(client):
    with pytest.raises(BadImage, match=r"more than 0.0001 million"):
        stripped(jpeg(), Limits(megapixels=0.0001))
    with pytest.raises(BadImage, match=r"more than 0.0001 million"):
        prepared(client.service.current.snapshot, Upload("a", jpeg()), None, Limits(megapixels=0.0001))


def test_names_are_repeated_without_folders_and_turns(client):
    names = {
        "C:\\photos\\a.jpg": "a.jpg",
        "../../a.jpg": "a.jpg",
        "a\u202ejpg.exe": "ajpg.exe",
        "x" * 400: "x" * 255,
        "<img>.jpg": "<img>.jpg",
    }
    for given, shown in names.items():
        answer = client.post("/search", files=[("photo", (given, jpeg()))])
        assert answer.json()["answers"][0]["query"] == shown


def test_uploads_never_touch_a_disk(client, monkeypatch):
    """However large they are; starlette would write what is above a megabyte to a file."""
    large = jpeg(size=(1500, 1500), quality=100) + b"\0" * 3_000_000

    def written(self):
        raise AssertionError("an upload is written to a file")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", written)
    assert client.post("/search", files=[("photo", ("a.jpg", large))]).status_code == 200
