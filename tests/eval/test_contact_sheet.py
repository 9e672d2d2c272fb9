from collections.abc import Iterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageColor

from eval import contact_sheet as room
from eval.contact_sheet import Row, Tile, contact_sheet, kept_photo
from eval.images import open_image
from eval.lettering import CARD, EMPTY, MARGIN, PAPER, TEXT, font_of, line_height

PURPLE = (130, 10, 150)


def photo(size: tuple[int, int] = (60, 60)) -> Image.Image:
    return Image.new("RGB", size, PURPLE)


def count(sheet: Image.Image, colour: tuple[int, ...] | str) -> int:
    """How many pixels have exactly this colour."""
    wanted = ImageColor.getrgb(colour) if isinstance(colour, str) else colour
    return int((np.asarray(sheet) == wanted).all(axis=2).sum())


def row(tiles: list[Tile], title: str = "Wren") -> Row:
    return Row(photo(), title, "0.9 of the vote", tiles)


def test_every_photo_is_shown_in_its_size() -> None:
    tiles = [Tile(photo(), "Wren", 0.9) for _ in range(3)]
    shown = count(contact_sheet([row(tiles)]), PURPLE)
    assert shown == pytest.approx(room._QUERY_SIDE**2 + 3 * (room._TILE_SIDE - 2 * room._EDGE) ** 2, rel=0.01)


@pytest.mark.parametrize("size", [(60, 30), (30, 60)])
def test_photos_are_shown_whole_and_not_stretched(size: tuple[int, int]) -> None:
    side = room._QUERY_SIDE
    assert count(contact_sheet([Row(photo(size), "a", "b", [])]), PURPLE) == pytest.approx(side * side / 2, rel=0.02)


@pytest.mark.parametrize("frame", ["right", "wrong", "same", "other"])
def test_frames_have_their_colour(frame: room.Frame) -> None:
    sheet = contact_sheet([row([Tile(photo(), "Wren", 0.9, frame)])])
    for name, colour in room._FRAMES.items():
        assert (count(sheet, colour) > 1000) == (name == frame)


def test_tiles_beyond_the_columns_go_below() -> None:
    one, five, six, ten = (
        contact_sheet([row([Tile(photo(), "Wren", 0.9)] * tiles)], columns=5).size for tiles in (1, 5, 6, 10)
    )
    assert one[0] < five[0] == six[0] == ten[0]
    assert one[1] == five[1] < six[1] == ten[1]


def test_cards_stand_below_one_another_and_are_equally_wide() -> None:
    rows = [row([Tile(photo(), "Wren", 0.9)] * tiles) for tiles in (4, 0, 2)]
    sheet, first = contact_sheet(rows), contact_sheet(rows[:1])
    assert sheet.width == first.width
    middle = np.asarray(sheet)[:, sheet.width - MARGIN - 2]
    assert len(list(runs(middle, CARD))) == 3


def runs(line: np.ndarray, colour: str) -> Iterator[int]:
    """The lengths of the stretches of a colour in a line of pixels."""
    length = 0
    for same in [*(line == ImageColor.getrgb(colour)).all(axis=1), False]:
        if length and not same:
            yield length
        length = length + 1 if same else 0


def test_cards_have_room_for_their_text() -> None:
    heights = [contact_sheet([Row(photo(), "a", "word " * words, [])]).height for words in (1, 12, 20, 99)]
    assert heights == [heights[0] + lines * line_height(font_of(None, TEXT)) for lines in (0, 1, 2, 2)]


def test_no_queries_make_an_empty_sheet() -> None:
    assert count(contact_sheet([]), PAPER) == np.prod(contact_sheet([]).size)


def test_an_unreadable_photo_is_a_plain_tile_with_the_reason() -> None:
    silent = contact_sheet([Row("", "a", "b", [])])
    spoken = contact_sheet([Row("is empty", "a", "b", [])])
    near, far = 2 * MARGIN + 10, 2 * MARGIN + room._QUERY_SIDE - 10  # inside of the round corners
    inside = (near, near, far, far)
    assert silent.crop(inside).getcolors() == [((far - near) ** 2, ImageColor.getrgb(EMPTY))]
    assert len(spoken.crop(inside).getcolors() or []) > 1


def test_letters_that_no_typeface_has_are_no_error() -> None:
    contact_sheet([row([Tile(photo(), "\U0001f426 \U00013000 \n\t\0", 0.9)], title="\ud800")])


def test_real_photos(shared_data) -> None:
    folder = sorted((shared_data / "birds100" / "images").iterdir())[0]
    birds = [open_image(path) for path in sorted(folder.iterdir())[:7]]
    tiles = [Tile(bird, folder.name, 0.9 - 0.1 * rank, "same") for rank, bird in enumerate(birds[1:])]
    sheet = contact_sheet([Row(birds[0], folder.name, "photo.jpg", tiles)] * 2)
    assert len(sheet.getcolors(2**24) or []) > 10_000


def test_a_kept_picture_that_no_photo_is_made_of_is_not_opened() -> None:
    small = photo((8, 6))
    kept, other = BytesIO(), BytesIO()
    small.save(kept, "JPEG")
    small.save(other, "EPS")
    assert kept_photo(kept.getvalue()).size == (8, 6)
    assert "not an image that" in kept_photo(other.getvalue())
    assert kept_photo(b"") == "no picture"
