import numpy as np
import pytest
from PIL import Image

from index.explain import Side
from index.light import AGAINST, FOR, frame, lit, middle, scale_of

WHOLE = (0.0, 0.0, 1.0, 1.0)


def side(values, region=(0.0, 0.0, 1.0), size=(80, 80), square=WHOLE):
    return Side(Image.new("RGB", size, (128, 128, 128)), square, region, np.asarray(values, np.float64), None)


def brightness(picture):
    return np.asarray(picture, np.float64).mean(2)


def spot(row, column, value=1.0, cells=4):
    values = np.zeros((cells, cells))
    values[row, column] = value
    return values


def test_light_is_where_most_is_and_dark_where_nothing() -> None:
    picture = brightness(lit(side(spot(1, 2)), spot(1, 2), 80))
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert (row // 20, column // 20) == (1, 2)
    assert picture[60:, :20].max() < 0.5 * picture.max()


def test_light_grows_evenly_with_the_value() -> None:
    columns = np.linspace(0, 1, 8)[None].repeat(8, 0)
    linear = (np.asarray(lit(side(columns), columns, 160))[80, 10::20] / 255.0) ** 2.2
    lightness = np.cbrt(linear @ (0.2126, 0.7152, 0.0722))  # as CIE L* has it
    np.testing.assert_allclose(np.diff(lightness), np.diff(lightness).mean(), rtol=0.25)


def test_light_is_smooth() -> None:
    picture = brightness(lit(side(spot(2, 1)), spot(2, 1), 320))
    assert np.abs(np.diff(picture, axis=0)).max() < 4


@pytest.mark.parametrize(("value", "hue", "other"), [(2.0, FOR, AGAINST), (-0.001, AGAINST, FOR)])
def test_positive_and_negative_values_have_hues_of_their_own(value, hue, other) -> None:
    values = spot(1, 1, value)
    pixels = np.asarray(lit(side(values), values, 80), np.float64)
    brightest = pixels.reshape(-1, 3)[brightness(pixels).argmax()]
    tint = brightest - brightest.mean()
    assert tint @ (np.array(hue) - np.mean(hue)) > 0 > tint @ (np.array(other) - np.mean(other))


def test_where_there_is_nothing_at_all_it_is_dark() -> None:
    picture = brightness(lit(side(np.zeros((3, 3))), np.zeros((3, 3)), 60))
    assert picture.max() - picture.min() < 1
    assert picture.max() < 70


def test_outside_of_the_region_it_is_dark() -> None:
    region, values = (0.5, 0.25, 0.4), np.ones((2, 2))
    picture = brightness(lit(side(values, region), values, 100))
    light = picture > 100
    assert light[25:65, 50:90].all()
    assert light.sum() == 40 * 40


def test_a_frame_says_where_a_network_looks_closer() -> None:
    pixels = np.asarray(lit(side(spot(1, 1), region=(0.25, 0.5, 0.5)), spot(1, 1), 80)).astype(int)
    for across, down in ((slice(20, 60), 40), (slice(20, 60), 79), (20, slice(40, 80)), (59, slice(40, 80))):
        assert (pixels[down, across] == 240).all()
    assert (pixels[39, 20:60] == 32).all()
    whole = np.asarray(lit(side(spot(1, 1)), spot(1, 1), 80))
    assert not (whole == 240).all(-1).any()


def test_places_are_where_their_light_is() -> None:
    for region in ((0.0, 0.0, 1.0), (0.2, 0.4, 0.5)):
        for place in ((1, 2), (2, 1)):
            photo = side(spot(*place), region)
            shone = lit(photo, photo.shares, 200)
            picture = brightness(shone).copy()
            picture[(np.asarray(shone) == 240).all(-1)] = 0  # the frame
            row, column = np.unravel_index(picture.argmax(), picture.shape)
            assert middle(photo, place, (200, 200)) == pytest.approx((column, row), abs=5)


def test_the_frame_is_the_square_that_the_network_sees_and_is_not_stretched() -> None:
    image = Image.new("RGB", (100, 50), "red")
    image.paste("blue", (25, 0, 75, 50))
    cropped = frame(Side(image, (0.25, 0, 0.75, 1), WHOLE[:3], spot(0, 0), None), 80)
    assert cropped.size == (80, 80)
    assert {cropped.getpixel((across, 40)) for across in range(5, 75)} == {(0, 0, 255)}
    assert frame(Side(image, WHOLE, WHOLE[:3], spot(0, 0), None), 80).size == (80, 40)


def test_scales_begin_and_end_in_the_hues_of_the_light() -> None:
    (one,), (two,) = np.asarray(scale_of(50, 1, 0), int), np.asarray(scale_of(51, 1, -1), int)
    assert (one[-1] == two[-1]).all()
    assert one[0].sum() == two[25].sum() < two[0].sum()
    assert two[0][2] > two[0][0]
    assert one[-1][0] > one[-1][2]
