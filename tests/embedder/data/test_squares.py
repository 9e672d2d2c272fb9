import errno
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from embedder.config import AugmentSettings, Config, DataSettings
from embedder.data import squares
from embedder.data.catalog import read_catalog
from embedder.data.photos import TrainingPhotos, check_photos, load_training_photos
from embedder.data.squares import make_squares, square_side
from eval.errors import InputError
from eval.images import BadImage, open_image, open_scaled

SIZE = 32
SIDE = 40  # 32 / sqrt(0.7), rounded up to a multiple of 8


@pytest.fixture
def folder(tmp_path):
    """Smooth photos of several shapes, one that is no photo and one that is empty."""
    place = tmp_path / "photos" / "wren"
    place.mkdir(parents=True)
    for number, (width, height) in enumerate(((90, 60), (60, 90), (64, 64), (200, 50), (61, 67))):
        across, down = np.meshgrid(np.linspace(30, 220, width), np.linspace(30, 220, height))
        pixels = np.stack([across, down, 250 - (across + down) / 2], axis=-1) * (1 - number / 10)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{number}.png")
    (place / "2b.png").write_text("none")
    (place / "empty.png").touch()
    return place.parent


def config(folder, cache, **data):
    return Config(data=DataSettings(root=str(folder), size=SIZE, cache=cache and str(cache), **data))


@pytest.mark.parametrize(
    ("size", "share", "side"), [(32, (0.4, 1.0), 40), (128, (0.4, 1.0), 160), (64, (1.0, 1.0), 64)]
)
def test_the_side_of_a_square(size, share, side):
    assert square_side(size, share) == side


def test_squares_are_the_photos_squashed(folder, tmp_path):
    catalog, told = read_catalog(folder), []
    squares, outcomes = make_squares(catalog, SIDE, tmp_path / "cache", told.append)
    assert sum(told) == len(catalog) == 7
    _, ids, left_out = check_photos(catalog)
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == ids
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, BadImage)]
    assert (
        reasons
        == [photo["reason"] for photo in left_out]
        == ["is not an image that can be read (no photo format that is known)", "is empty"]
    )
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, str):
            square, shape = squares[row]
            whole = open_image(catalog.file(row))
            assert shape == whole.size
            expected = whole.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0)
            assert np.array_equal(np.asarray(square), np.asarray(expected))


def test_what_has_been_decoded_is_not_decoded_again(folder, tmp_path, monkeypatch):
    catalog = read_catalog(folder)
    first, before = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    with monkeypatch.context() as patched:
        tried = []
        patched.setattr(squares, "open_scaled", lambda *given: tried.append(given[0].name) or open_scaled(*given))
        second, after = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    assert sorted(tried) == ["2b.png", "empty.png"]  # which could not be read
    assert second.folder == first.folder
    assert [str(outcome) for outcome in after] == [str(outcome) for outcome in before]
    assert np.array_equal(np.asarray(second[1][0]), np.asarray(first[1][0]))
    other, _ = make_squares(catalog, SIDE + 8, tmp_path / "cache", lambda _: None)
    assert other.folder != first.folder


def test_what_could_not_be_decoded_is_tried_again(folder, tmp_path, monkeypatch):
    catalog, real = read_catalog(folder), squares.open_scaled

    def without_a_package(path, *given):
        if path.name == "3.png":
            raise BadImage(path, "needs a package")
        return real(path, *given)

    with monkeypatch.context() as patched:
        patched.setattr(squares, "open_scaled", without_a_package)
        for _ in range(2):
            _, outcomes = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
            assert str(outcomes[4]).endswith("3.png: needs a package")
    made, outcomes = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    assert isinstance(outcomes[4], str)
    assert made[4][1] == (200, 50)
    assert len([*(tmp_path / "cache").glob("*/")]) == 1


def test_what_can_be_decoded_in_another_size_alone_is_not_decoded_each_time(folder, tmp_path, monkeypatch):
    catalog, real = read_catalog(folder), squares.open_scaled

    def too_large(path, box, enough):
        if path.name == "3.png" and enough > SIDE:
            raise BadImage(path, "takes more memory to decode than there is")
        return real(path, box, enough)

    monkeypatch.setattr(squares, "open_scaled", too_large)
    make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    monkeypatch.setattr(squares, "_decode", lambda *_: pytest.fail("decoded again"))
    make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)


def test_a_photo_that_has_changed_is_decoded_anew(folder, tmp_path):
    catalog = read_catalog(folder)
    first, _ = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    Image.new("RGB", (50, 50), "red").save(folder / "wren" / "0.png")
    second, _ = make_squares(catalog, SIDE, tmp_path / "cache", lambda _: None)
    assert second[0][0].getpixel((5, 5)) == (255, 0, 0) != first[0][0].getpixel((5, 5))


def test_views_of_squares_are_those_of_the_photos(folder, tmp_path):
    settings = AugmentSettings(brightness=0.0, contrast=0.0, saturation=0.0)
    views = []
    for cache in (None, tmp_path / "cache"):
        made = config(folder, cache)
        made.augment = settings
        photos, ids, left_out, dataset = load_training_photos(read_catalog(folder), made)
        assert (len(photos), len(ids), len(left_out), len(dataset)) == (5, 5, 2, 5)
        views.append(np.stack([dataset.view((epoch, row, 0)) for row in range(5) for epoch in range(6)]).astype(int))
    differences = np.abs(views[0] - views[1])
    assert differences.mean() < 1.0
    assert np.quantile(differences, 0.99) <= 6
    assert differences.max() > 0


def test_a_full_disk_is_told_before_anything_is_decoded(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "cache"
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        make_squares(read_catalog(folder), SIDE, cache, lambda _: None)
    assert not list(cache.iterdir())
    monkeypatch.undo()
    made, _ = make_squares(read_catalog(folder), SIDE, cache, lambda _: None)
    (cache / f".{made.folder.name}.123.part").mkdir()  # of a process that was killed
    shutil.rmtree(made.folder)
    make_squares(read_catalog(folder), SIDE, cache, lambda _: None)
    assert [path.name for path in cache.iterdir()] == [made.folder.name]
    assert (made.folder / "pixels.npy").stat().st_blocks * 512 >= 7 * SIDE * SIDE * 3


def test_squares_of_some_photos(folder, tmp_path):
    squares, outcomes = make_squares(read_catalog(folder), SIDE, tmp_path / "cache", lambda _: None)
    kept = np.array([isinstance(outcome, str) for outcome in outcomes])
    chosen = squares.select(kept)
    last = int(np.flatnonzero(kept)[4])
    assert last > 4
    assert np.array_equal(np.asarray(chosen[4][0]), np.asarray(squares[last][0]))
    assert chosen[4][1] == squares[last][1] == (61, 67)


def test_a_photo_may_be_gone_once_it_is_decoded(folder, tmp_path):
    _, _, _, dataset = load_training_photos(read_catalog(folder), config(folder, tmp_path / "cache"))
    for path in (folder / "wren").iterdir():
        path.unlink()
    assert dataset.view((0, 2, 0)).shape == (SIZE, SIZE, 3)
    assert isinstance(dataset, TrainingPhotos)


def test_bad_photos_may_be_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"2 of 7 photos in .* cannot be read"):
        load_training_photos(read_catalog(folder), config(folder, tmp_path / "cache", on_bad_image="error"))
