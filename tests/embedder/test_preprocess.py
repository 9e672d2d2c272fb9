import io

import numpy as np
import pytest
from PIL import Image

from embedder.preprocess import Preprocessing
from eval.errors import InputError
from eval.images import open_image


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("width", "height"), [(256, 256), (512, 256), (300, 900), (128, 64), (64, 64)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_one_resize_equals_resizing_the_shorter_side_and_cutting_the_centre(width, height, interpolation):
    """Sizes where both ways fall on whole pixels: 64 / 0.8 = 80, and the longer side stays whole and even.

    Pillow rounds after the rows and after the columns, so that a tie may fall either way twice.
    """
    preprocessing = Preprocessing(64, crop_share=0.8, interpolation=interpolation)
    image = noise(width, height)
    scale = 80 / min(width, height)
    whole = image.resize((round(width * scale), round(height * scale)), Image.Resampling[interpolation.upper()])
    left, top = (whole.width - 64) // 2, (whole.height - 64) // 2
    expected = np.asarray(whole.crop((left, top, left + 64, top + 64))).astype(int)
    difference = np.abs(preprocessing(image) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.2


def test_the_default_crop_is_the_usual_one_of_224_pixels():
    """224 / 0.875 = 256: a photo of 256 pixels is cut and not resampled at all."""
    image = noise(256, 256)
    assert np.array_equal(Preprocessing(224)(image), np.asarray(image)[16:240, 16:240])


def test_squash_shows_the_whole_photo():
    image = Image.new("RGB", (300, 100))
    image.paste((255, 0, 0), (0, 0, 20, 100))
    image.paste((0, 0, 255), (280, 0, 300, 100))
    squashed = Preprocessing(30, fit="squash")(image)
    assert tuple(squashed[15, 0]) == (255, 0, 0)
    assert tuple(squashed[15, 29]) == (0, 0, 255)
    assert Preprocessing(30)(image).max() == 0


def test_a_share_of_one_keeps_the_whole_shorter_side():
    image = noise(80, 40)
    assert np.array_equal(Preprocessing(40, crop_share=1.0)(image), np.asarray(image)[:, 20:60])


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 1), (20_000, 2), (1, 10_000)])
def test_odd_shapes_keep_their_colour(fit, size):
    pixels = Preprocessing(16, fit=fit)(Image.new("RGB", size, (10, 200, 30)))
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (10, 200, 30)).all()


def test_shrinking_averages_instead_of_picking_pixels():
    """One-pixel stripes become even grey; a filter that is not widened would give stripes or black."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    pixels = Preprocessing(16)(Image.fromarray(stripes))
    assert np.abs(pixels.astype(int) - 127).max() < 10


def test_stack_is_the_photos_in_order():
    preprocessing = Preprocessing(8)
    images = [noise(20, 30, seed) for seed in range(3)]
    batch = preprocessing.stack(images)
    assert batch.shape == (3, 8, 8, 3)
    assert all(np.array_equal(pixels, preprocessing(image)) for pixels, image in zip(batch, images, strict=True))


def test_a_fourth_channel_says_what_is_cut_out_by_a_box():
    plain, marked = Preprocessing(8), Preprocessing(8, marked=True)
    assert (plain.shape, marked.shape) == ((8, 8, 3), (8, 8, 4))
    image = noise(20, 30)
    assert np.array_equal(plain(image, boxed=True), plain(image))
    for boxed in (False, True):
        pixels = marked(image, boxed=boxed)
        assert np.array_equal(pixels[..., :3], plain(image))
        assert (pixels[..., 3] == 255 * boxed).all()
        assert pixels.dtype == np.uint8


def test_json_and_back():
    preprocessing = Preprocessing(160, fit="squash", crop_share=0.95, interpolation="bilinear")
    assert {*preprocessing.to_json()} == {"size", "fit", "crop_share", "interpolation"}
    for one in (preprocessing, Preprocessing(160, detail=2, marked=True)):
        assert Preprocessing.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": 8, "crop_shar": 0.5}, "did you mean 'crop_share'"),
        ({"size": 0}, "size is 0"),
        ({"size": 8, "crop_share": 1.5}, "crop_share is 1.5"),
        ({"size": 8, "crop_share": 0.0}, "crop_share is 0.0"),
        ({"size": 8, "fit": "squish"}, "did you mean 'squash'"),
        ({"size": 8, "interpolation": "nearest"}, "unknown interpolation 'nearest'"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Preprocessing.from_json(settings)


def photo_of(width, height, seed=0):
    """As much detail as a camera's: smooth shapes of all sizes, and noise."""
    draw = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for side in (3, 12, 48, 192):
        coarse = Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
        image += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 4
    image += draw.normal(0, 6, image.shape)
    content = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=90)
    return content.getvalue()


@pytest.mark.parametrize("preprocessing", [Preprocessing(224), Preprocessing(160, fit="squash")])
@pytest.mark.parametrize(("size", "scale"), [((4000, 3000), 4), ((3000, 4000), 4), ((1920, 1536), 2), ((640, 480), 1)])
def test_a_photo_decoded_at_a_reduced_size_gives_the_same_pixels(preprocessing, size, scale):
    content = photo_of(*size)
    whole, small = open_image(content), open_image(content, enough=preprocessing.enough)
    assert small.size == (size[0] // scale, size[1] // scale)
    differences = np.abs(preprocessing(whole).astype(int) - preprocessing(small))
    assert differences.max() <= (3 if scale > 1 else 0)
    assert (differences > 1).mean() < 0.02
    assert differences.mean() < 0.4
    assert (differences.mean() > 0) == (scale > 1)


@pytest.mark.parametrize("cores", [2, 3, 16])
@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("size", [(500, 375), (333, 1201), (70_000, 1), (1, 70_000), (3000, 2000)])
def test_strips_make_the_pixels_of_the_whole(fit, size, cores):
    preprocessing = Preprocessing(224, fit=fit)
    image = noise(*size)
    differences = np.abs(preprocessing(image, cores).astype(int) - preprocessing(image))
    assert differences.max() <= 1
    assert (differences > 0).mean() < 1e-3


def test_more_cores_than_rows():
    assert Preprocessing(8)(noise(3000, 2000), cores=64).shape == (8, 8, 3)
