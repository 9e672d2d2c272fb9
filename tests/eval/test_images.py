import io
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, features

from embedder.data.drawing.bird import draw_bird
from embedder.data.drawing.field_guide import SPECIES
from eval import images
from eval.images import BadImage, open_image, open_photo, photo_id, picture_hash, thumbnail

RED, GREEN, BLUE, WHITE = (220, 30, 40), (30, 160, 60), (40, 60, 200), (255, 255, 255)
FORMATS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"] + [
    name for name, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000")) if features.check(feature)
]

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


def flag(mode: str = "RGB", side: int = 32) -> Image.Image:
    """Quarters of red, green, blue and white, clockwise from the upper left."""
    image = Image.new("RGB", (side, side), WHITE)
    draw, half = ImageDraw.Draw(image), side // 2
    draw.rectangle((0, 0, half - 1, half - 1), RED)
    draw.rectangle((half, 0, side, half - 1), GREEN)
    draw.rectangle((half, half, side, side), BLUE)
    return image.quantize(8) if mode == "P" else image.convert(mode)


def written(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def test_what_is_transparent_in_16_bits_is_white() -> None:
    made = written(Image.fromarray(np.array([[0, 30000], [65535, 500]], np.uint16)), "PNG", transparency=500)
    assert np.asarray(open_image(made))[..., 0].tolist() == [[0, 117], [255, 255]]


def quarters(image: Image.Image) -> list[tuple[int, ...]]:
    """The colour in the middle of each quarter, clockwise from the upper left."""
    assert image.mode == "RGB"
    near, far_x, far_y = 0.25, 0.75 * image.width, 0.75 * image.height
    places = [(near * image.width, near * image.height), (far_x, near * image.height), (far_x, far_y)]
    places.append((near * image.width, far_y))
    return [image.getpixel((int(x), int(y))) for x, y in places]


def close(found: list[tuple[int, ...]], expected: list[tuple[int, ...]], within: int = 12) -> bool:
    return bool(np.abs(np.array(found, int) - np.array(expected, int)).max() <= within)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_opens_from_file_and_bytes(tmp_path: Path, name: str) -> None:
    content = written(flag(), name)
    (tmp_path / "photo.xyz").write_bytes(content)
    for source in (content, tmp_path / "photo.xyz", str(tmp_path / "photo.xyz"), flag()):
        assert close(quarters(open_image(source)), [RED, GREEN, BLUE, WHITE], within=40 if name == "GIF" else 12)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("P", "PNG"),
        ("CMYK", "JPEG"),
        *((mode, "TIFF") for mode in ("CMYK", "YCbCr", "LAB", "RGBX")),
    ],
)
def test_colour_modes_keep_their_colours(mode: str, name: str) -> None:
    content = written(flag(mode), name)
    assert close(quarters(open_image(content)), [RED, GREEN, BLUE, WHITE], within=25)


@pytest.mark.parametrize(
    "mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "RGBX", "RGBa", "LA", "PA"]
)
def test_images_in_memory_of_every_mode(mode: str) -> None:
    source = flag("L").convert(mode) if mode in {"LA", "PA"} else flag(mode)
    expected = flag("L").convert("RGB") if mode in {"L", "1", "LA", "PA"} else flag()
    within = 255 if mode == "1" else 60 if mode == "P" else 20
    assert close(quarters(open_image(source)), quarters(expected), within)


def test_an_adobe_cmyk_jpeg_is_not_a_negative() -> None:
    content = written(Image.new("CMYK", (16, 16), (0, 0, 0, 0)), "JPEG")
    assert b"Adobe" in content
    assert close([open_image(content).getpixel((8, 8))], [WHITE])


@pytest.mark.parametrize(
    ("array", "name"),
    [
        (np.linspace(0, 65535, 4096).astype("<u2"), "PNG"),
        (np.linspace(0, 65535, 4096).astype("<u2"), "TIFF"),
        (np.linspace(0, 65535, 4096).astype(">u2"), "TIFF"),
        (np.linspace(0, 65535, 4096).astype("<u2"), "PPM"),
        (np.linspace(0, 65535, 4096).astype("<i4"), "TIFF"),
        (np.linspace(0, 3e9, 4096).astype("<f4"), "TIFF"),
        (np.linspace(0, 65535, 4096).astype("<f4"), "TIFF"),
        (np.linspace(0, 255, 4096).astype("<f4"), "TIFF"),
        (np.linspace(0, 1, 4096).astype("<f4"), "TIFF"),
        (np.linspace(-65535, 65535, 4096).astype("<i4"), "TIFF"),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped(array: np.ndarray, name: str) -> None:
    opened = np.asarray(open_image(written(Image.fromarray(array.reshape(64, 64)), name)))
    expected = np.linspace(0, 255, 4096).reshape(64, 64, 1)
    assert np.abs(opened - expected).max() <= 1


def test_float_pixels_that_are_no_numbers_are_black() -> None:
    array = np.full((4, 4), 0.5, np.float32)
    array[0] = [np.nan, np.inf, -np.inf, 1.0]
    assert np.asarray(open_image(Image.fromarray(array)))[0, :, 0].tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    opened = open_image(image.quantize(4).convert(mode) if mode in {"P", "PA"} else image.convert(mode))
    assert (opened.getpixel((1, 1)), opened.getpixel((6, 1))) == ((0, 0, 0), WHITE)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_is_white(mode: str) -> None:
    image = Image.new("RGB", (8, 8), (9, 9, 9)).convert(mode)
    key = image.getpixel((0, 0))
    assert open_image(written(image, "PNG", transparency=key)).getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_counts(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    content = written(frames[0], name, save_all=True, append_images=frames[1:])
    assert close([open_image(content).getpixel((4, 4))], [RED])


# What the standard says: on which side of the upright photo the first row and the first column of the file lie.
FIRST_ROW_AND_COLUMN = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", FIRST_ROW_AND_COLUMN)
def test_photos_stand_upright(name: str, orientation: int) -> None:
    stored = np.asarray(flag().resize((48, 32)))
    row, column = FIRST_ROW_AND_COLUMN[orientation]
    if row in {"left", "right"}:
        stored = stored.swapaxes(0, 1)
    stored = stored[:: -1 if row in {"bottom", "right"} else 1, :: -1 if column in {"bottom", "right"} else 1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = open_image(written(Image.fromarray(np.ascontiguousarray(stored)), name, exif=exif))
    assert opened.size == (48, 32)
    assert close(quarters(opened), [RED, GREEN, BLUE, WHITE], within=30)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0not what it should be", b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\xfe" * 40])
def test_broken_exif_does_not_cost_the_photo(name: str, exif: bytes) -> None:
    content = written(flag(), name, exif=exif)
    assert close(quarters(open_image(content)), [RED, GREEN, BLUE, WHITE], within=30)


def test_no_metadata_is_carried_along() -> None:
    content = written(flag(), "JPEG", comment=b"secret", dpi=(72, 72))
    assert open_image(content).info == {}
    assert b"secret" not in thumbnail(open_image(content))


def test_the_given_image_is_left_as_it_is() -> None:
    source = flag("P")
    source.info["note"] = 1
    before = source.tobytes()
    open_image(source).paste((0, 0, 0), (0, 0, 9, 9))
    assert (source.mode, source.size, source.tobytes(), source.info["note"]) == ("P", (32, 32), before, 1)


def test_boxes_are_cut_out_after_turning() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its left side
    content = written(flag().transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert open_image(content, (0, 0, 16, 16)).getcolors() == [(256, RED)]
    assert open_image(content, (16.0, 0.0, 32.0, 16.0)).getcolors() == [(256, GREEN)]


def test_boxes_are_clipped_and_widened_to_whole_pixels() -> None:
    assert open_image(flag(), (-5, -5, 1000, 9.2)).size == (32, 10)
    assert open_image(flag(), (3.9, 3.9, 4.1, 4.1)).size == (2, 2)
    assert open_image(flag(), (-np.inf, 0, np.inf, 4)).size == (32, 4)


@pytest.mark.parametrize("box", [(32, 0, 40, 5), (5, 5, 5, 9), (9, 0, 3, 9), (-9, -9, -1, -1), (np.nan, 0, 5, 5)])
def test_empty_boxes_are_refused(box: images.Box) -> None:
    with pytest.raises(BadImage, match=r"^image: has nothing in box .+: it has 32 x 32 pixels"):
        open_image(flag(), box)


def test_photo_ids_are_the_digest_of_bytes_and_box() -> None:
    assert photo_id(b"bytes") == sha256(b"bytes").hexdigest()[:32]
    box = (1.0, 2.0, 3.5, 4.0)
    assert photo_id(b"bytes", box) == sha256(b"bytes" + np.array(box, "<f8").tobytes()).hexdigest()[:32]
    assert len({photo_id(b"bytes"), photo_id(b"bytes", box), photo_id(b"bytes2"), photo_id(b"", box)}) == 4


def test_a_box_names_a_photo_as_tables_keep_it() -> None:
    box = (10.3, 20.7, 200.1, 180.9)
    kept = tuple(pa.array([box], pa.list_(pa.float32(), 4)).to_pylist()[0])
    assert kept != box
    assert images.photo_id(b"photo", box) == images.photo_id(b"photo", kept)
    assert images.photo_id(b"photo", box) != images.photo_id(b"photo", (10.4, *box[1:]))


@pytest.mark.parametrize(("size", "expected"), [((500, 250), (256, 128)), ((9, 4000), (1, 256)), ((20, 30), (20, 30))])
def test_thumbnails_fit_and_are_never_enlarged(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = Image.new("RGB", size, RED)
    opened = Image.open(io.BytesIO(thumbnail(image)))
    assert (opened.format, opened.size, image.size) == ("JPEG", expected, size)


def test_several_threads_get_what_one_gets() -> None:
    contents = [written(flag(side=side), name) for side in (30, 41, 52) for name in FORMATS] * 4
    with ThreadPoolExecutor(8) as pool:
        assert [one.tobytes() for one in pool.map(open_image, contents)] == [
            open_image(content).tobytes() for content in contents
        ]


def test_copies_look_the_same_and_others_do_not() -> None:
    one, other = (draw_bird(next(iter(SPECIES.values())), number).image for number in (0, 1))
    for copy in (one.resize((170, 150)), open_image(written(one, "JPEG", quality=30)), one.convert("L")):
        assert (picture_hash(one) ^ picture_hash(copy)).bit_count() <= 3
    assert (picture_hash(one) ^ picture_hash(other)).bit_count() > 10
    assert picture_hash(Image.linear_gradient("L").rotate(90)) == 2**64 - 1 - picture_hash(Image.new("RGB", (9, 8)))


def striped(width: int, height: int, name: str = "JPEG", **options: object) -> bytes:
    """Red on the left, blue on the right, with the border at a quarter."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 4, height))
    return written(image, name, **options)


@pytest.mark.parametrize(
    ("size", "enough", "scale"),
    [
        ((800, 400), 50, 8),
        ((800, 400), 51, 4),
        ((400, 800), 100, 4),
        ((800, 400), 101, 2),
        ((800, 400), 201, 1),
        ((804, 404), 50, 4),  # an eighth would have a column and a row of half a pixel
        ((801, 400), 50, 1),
    ],
)
def test_a_jpeg_is_decoded_at_a_reduced_size_where_that_is_enough(
    size: tuple[int, int], enough: int, scale: int, tmp_path: Path
) -> None:
    content = striped(*size)
    (tmp_path / "photo.jpg").write_bytes(content)
    for source in (content, tmp_path / "photo.jpg"):
        image = open_image(source, enough=enough)
        assert image.size == (size[0] // scale, size[1] // scale)
        assert close([image.getpixel((1, 1)), image.getpixel((image.width - 2, 1))], [RED, BLUE], within=12)
    name, image = open_photo(tmp_path / "photo.jpg", enough=enough)
    assert (name, image.size) == (photo_id(content), (size[0] // scale, size[1] // scale))
    assert open_image(content).size == size


def test_only_jpeg_is_decoded_at_a_reduced_size() -> None:
    for name in ("PNG", "WEBP", "GIF", "TIFF"):
        assert open_image(striped(800, 400, name), enough=10).size == (800, 400)
    assert open_image(Image.open(io.BytesIO(striped(800, 400))), enough=10).size == (800, 400)


def test_a_box_is_the_same_part_of_a_photo_of_reduced_size() -> None:
    content = striped(800, 400)
    assert open_image(content, (192, 0, 400, 400), enough=100).size == (104, 200)  # the box itself has to be enough
    left, right = open_image(content, (0, 0, 200, 400), 50), open_image(content, (200, 0, 400, 400), 50)
    assert left.size == right.size == (50, 100)
    assert close([left.getpixel((25, 50)), right.getpixel((25, 50))], [RED, BLUE], within=12)
    with pytest.raises(BadImage, match="it has 800 x 400 pixels"):
        open_image(content, (900, 0, 1700, 800), enough=50)


def test_a_turned_photo_of_reduced_size_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = open_image(striped(800, 400, exif=exif), enough=50)
    assert image.size == (50, 100)
    assert close([image.getpixel((25, 2)), image.getpixel((25, 97))], [RED, BLUE], within=12)


def test_a_box_beyond_the_border_is_as_large_as_its_part_of_the_photo() -> None:
    content = striped(1600, 800)
    assert open_image(content, (1400, 0, 3000, 800), enough=100).size == (100, 400)
    assert open_image(content, (-3000, -3000, 200, 200), enough=100).size == (100, 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = striped(1600, 800, exif=exif)  # 800 x 1600 as people see it
    assert open_image(turned, (0, 1400, 800, 3000), enough=100).size == (400, 100)
    assert open_image(turned, (0, 0, 800, 1600), enough=400).size == (400, 800)


def test_photos_of_a_phone_are_opened_where_the_package_is_there(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 48:] = 255
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "phone.heic", quality=95)
    image = open_image(tmp_path / "phone.heic")
    assert image.size == (96, 64)
    assert np.abs(np.asarray(image, int) - pixels)[:, [10, 90]].max() < 20
