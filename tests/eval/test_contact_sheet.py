import sys
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageColor

from eval import contact_sheet as room
from eval.contact_sheet import Row, Tile, contact_sheet
from eval.images import open_image

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
    middle = np.asarray(sheet)[:, sheet.width - room._MARGIN - 2]
    assert len(list(runs(middle, room._CARD))) == 3


def runs(line: np.ndarray, colour: str) -> Iterator[int]:
    """The lengths of the stretches of a colour in a line of pixels."""
    length = 0
    for same in [*(line == ImageColor.getrgb(colour)).all(axis=1), False]:
        if length and not same:
            yield length
        length = length + 1 if same else 0


def test_cards_have_room_for_their_text() -> None:
    heights = [contact_sheet([Row(photo(), "a", "word " * words, [])]).height for words in (1, 12, 20, 99)]
    assert heights == [heights[0] + lines * room._line_height(room._font(None, room._TEXT)) for lines in (0, 1, 2, 2)]


def test_no_queries_make_an_empty_sheet() -> None:
    assert count(contact_sheet([]), room._PAPER) == np.prod(contact_sheet([]).size)


def test_an_unreadable_photo_is_a_plain_tile_with_the_reason() -> None:
    silent = contact_sheet([Row("", "a", "b", [])])
    spoken = contact_sheet([Row("is empty", "a", "b", [])])
    near, far = 2 * room._MARGIN + 10, 2 * room._MARGIN + room._QUERY_SIDE - 10  # inside of the round corners
    inside = (near, near, far, far)
    assert silent.crop(inside).getcolors() == [((far - near) ** 2, ImageColor.getrgb(room._EMPTY))]
    assert len(spoken.crop(inside).getcolors() or []) > 1


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize(
    "text", ["", "Wren", "Rufous-tailed Hummingbird of the north", "Donaudampfschifffahrtsgesellschaft", "a b " * 500]
)
def test_text_is_wrapped_to_its_width(text: str, most: int) -> None:
    font = room._font(None, 15)
    lines = room._wrap(text, font, 120, most)
    assert len(lines) <= most
    assert all(font.getlength(line) <= 120 for line in lines)
    shown = "".join(lines).replace(" ", "")
    whole = "".join(text.split())
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
    assert (shown == whole) == (not shown.endswith("…"))


def test_lines_break_between_words() -> None:
    assert room._wrap("Northern Mockingbird", room._font(None, 15), 120, 2) == ["Northern", "Mockingbird"]


@pytest.mark.parametrize("label", ["Zaunkönig", "Łabędź", "Снегирь", "Κοκκινολαίμης"])
def test_letters_of_other_alphabets_are_drawn(label: str) -> None:
    typeface = room._typeface(label)
    font = room._font(typeface, 15)
    blank = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != blank for letter in label)


def test_plain_labels_are_in_pillows_own_typeface() -> None:
    assert room._typeface("Anna's Hummingbird (0.93)…") is None


def test_letters_that_no_typeface_has_are_no_error() -> None:
    contact_sheet([row([Tile(photo(), "\U0001f426 \U00013000 \n\t\0", 0.9)], title="\ud800")])


def test_fonts_are_found_without_importing_matplotlib() -> None:
    before = "matplotlib" in sys.modules
    room._typeface("Zaunkönig")
    assert ("matplotlib" in sys.modules) == before


def test_real_photos(shared_data) -> None:
    folder = sorted((shared_data / "birds100" / "images").iterdir())[0]
    birds = [open_image(path) for path in sorted(folder.iterdir())[:7]]
    tiles = [Tile(bird, folder.name, 0.9 - 0.1 * rank, "same") for rank, bird in enumerate(birds[1:])]
    sheet = contact_sheet([Row(birds[0], folder.name, "photo.jpg", tiles)] * 2)
    assert len(sheet.getcolors(2**24) or []) > 10_000
