import numpy as np
import pytest
from PIL import Image, ImageFilter

from eval.quality import sharpness


def photo(side: int = 128) -> Image.Image:
    """Detail of all sizes, as photos have it."""
    draw = np.random.default_rng(0)
    total = np.zeros((side, side))
    for size in (8, 16, 32, 64, side):
        coarse = Image.fromarray(draw.normal(0, 30, (size, size)).astype(np.float32))
        total += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(128 + total, 0, 255).astype(np.uint8)).convert("RGB")


def test_it_is_the_variance_of_the_laplacian_by_the_variance() -> None:
    grey = np.asarray(photo(64).convert("L"), float)
    laplacian = [
        grey[y - 1, x] + grey[y + 1, x] + grey[y, x - 1] + grey[y, x + 1] - 4 * grey[y, x]
        for y in range(1, 63)
        for x in range(1, 63)
    ]
    assert sharpness(photo(64)) == pytest.approx(np.var(laplacian) / grey.var())


def test_the_more_blurred_the_less() -> None:
    found = [sharpness(photo().filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 50 * found[-1]


def test_size_and_contrast_do_not_matter() -> None:
    large = photo(1024)
    small = large.resize((256, 256), Image.Resampling.LANCZOS)
    assert sharpness(small) == pytest.approx(sharpness(large), rel=0.1)
    pale = photo().point(lambda value: 100 + value // 4)
    assert sharpness(pale) == pytest.approx(sharpness(photo()), rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (2, 90), (40, 40)])
def test_nothing_to_see(size: tuple[int, int]) -> None:
    assert sharpness(Image.new("RGB", size)) == 0
