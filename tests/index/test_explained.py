from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eval.lettering import EMPTY
from index import explained as room
from index.explain import Explanation, Side
from index.explained import Card, draw, marked


def side(shares, size=(64, 64)):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Side(Image.fromarray(pixels), (0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0), shares, None)


def explanation(label="wren", size=(64, 64), **changes):
    pairs = np.random.default_rng(1).random((5, 5, 5, 5)) / 625
    both = {"query": side(pairs.sum((2, 3)), size), "reference": side(pairs.sum((0, 1)), size)}
    plain = {"generation": 1, "row": 0, "id": "0", "label": label, "similarity": float(pairs.sum()), "exact": True}
    return Explanation(**{**plain, "reference_seen": "photo", **both, "pairs": pairs, **changes})


def with_rival(**changes):
    return explanation(rival=explanation("robin"), difference=np.linspace(-1, 1, 25).reshape(5, 5), **changes)


@pytest.fixture
def lines(monkeypatch):
    """What is written, and the marks that are drawn."""
    written, marks = [], []
    drawn, mark = room.draw_lines, room._mark
    monkeypatch.setattr(room, "draw_lines", lambda card, some, at: (written.extend(some), drawn(card, some, at)))
    monkeypatch.setattr(room, "_mark", lambda picture, one, *more: (marks.append(one), mark(picture, one, *more)))
    return lambda: ([line[0] for line in written], marks)


def test_the_strongest_pairs_are_marked_and_none_beside_another() -> None:
    pairs = np.full((5, 6, 5, 6), -1.0)
    pairs[1, 1, 3, 3] = 1.0
    pairs[2, 1, 0, 0] = 0.9  # beside it in the photo
    pairs[4, 4, 4, 4] = 0.8  # beside it in the reference
    pairs[4, 5, 0, 5] = 0.7
    pairs[4, 0, 1, 0] = 0.1  # too weak
    assert marked(pairs) == [((1, 1), (3, 3)), ((4, 5), (0, 5))]


def test_no_more_than_three_pairs_are_marked_and_none_that_add_nothing() -> None:
    even = marked(np.ones((7, 7, 7, 7)))
    assert len(even) == 3
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for photo in (0, 1):
            assert np.abs(np.subtract(even[one][photo], even[other][photo])).max() > 1
    assert marked(np.full((3, 3, 3, 3), -0.1)) == []


def test_marks_leave_the_pairs_as_they_are() -> None:
    found = explanation()
    before = found.pairs.copy()
    draw([Card("a", "b", [found])])
    np.testing.assert_array_equal(found.pairs, before)


def test_captions(lines) -> None:
    one = with_rival()
    other = explanation("wren", exact=False, reference_seen="thumbnail", similarity=-0.25)
    draw([Card("Wren", "90% of the vote", [one, other])])
    written, marks = lines()
    assert {"Wren", "90% of the vote", "wren", "robin", f"similarity {one.similarity:.3f}, exact"} <= {*written}
    assert "similarity -0.250, approximate, by thumbnail" in written
    assert "what speaks for the answer, and for this rival" in written
    assert any(line.startswith("approximate: ") for line in written)
    places = marked(one.pairs)
    assert sorted(marks) == sorted(2 * 2 * "123"[: len(places)] + 2 * "abc"[: len(places)] + "1")


def test_captions_are_no_wider_than_their_photo(lines, monkeypatch) -> None:
    """Also in a wider typeface than Pillow's own, and where nothing is as short as it may be."""
    drawn = []
    plain = room.draw_lines
    monkeypatch.setattr(
        room, "draw_lines", lambda card, some, at: (drawn.append((card, some, at)), plain(card, some, at))
    )
    rival = explanation("robin", exact=False, reference_seen="thumbnail")
    one = explanation("зяблик, " * 9, rival=rival, difference=np.linspace(-1, 1, 25).reshape(5, 5))
    draw([Card("Wren", "", [one])])
    below = [(card, some, at) for card, some, at in drawn if card.width == 2 * room.PHOTO + room.SEAM]
    assert len(below) == 4
    for card, some, (_, top) in below:
        assert all(font.getlength(line) <= room.PHOTO for line, font, _ in some)
        assert top + sum(room.line_height(font) for _, font, _ in some) <= card.height
    written, _ = lines()
    assert "what speaks for the answer, and for this rival" in " ".join(written)
    assert "approximate, by thumbnail" in " ".join(written)


def test_all_that_is_exact_is_called_so(lines) -> None:
    draw([Card("Wren", "", [explanation()])])
    written, _ = lines()
    assert "exact: all places together add up to the similarity" in " ".join(written)
    assert not any(line.startswith("approximate") for line in written)
    assert "what speaks for the answer, and for this rival" not in written


def test_the_legend_tells_of_the_frame_where_there_is_one(lines) -> None:
    draw([Card("Wren", "", [explanation()])])
    draw([Card("Wren", "", [explanation(query=replace(side(np.ones((5, 5))), region=(0.0, 0.5, 0.5)))])])
    written, _ = lines()
    assert written.count("frame: what the network looks at") == 1


def test_pairs_stand_two_abreast_and_cards_below_one_another() -> None:
    sizes = [draw([Card("a", "b", [explanation()] * count)]).size for count in (1, 2, 3, 4)]
    assert sizes[0][0] < sizes[1][0] == sizes[2][0] == sizes[3][0]
    assert sizes[0][1] == sizes[1][1] < sizes[2][1] == sizes[3][1]
    assert draw([Card("a", "b", [with_rival()])]).width == sizes[1][0]
    assert draw([Card("a", "b", [explanation()])] * 2).height > sizes[0][1]


def test_wide_photos_need_less_height() -> None:
    one = explanation(size=(64, 32))
    assert draw([Card("a", "b", [one] * 6)]).height < draw([Card("a", "b", [explanation()] * 6)]).height
    mixed = draw([Card("a", "b", [explanation(reference=side(np.ones((5, 5)), (64, 32)))])])
    empty = (np.asarray(mixed) == np.asarray(Image.new("RGB", (1, 1), EMPTY))).all(2).sum()
    assert empty == pytest.approx(room.PHOTO**2 / 2, rel=0.05)


def test_a_reference_that_is_not_at_hand_is_a_plain_panel() -> None:
    sheet = draw([Card("a", "b", [explanation(reference=None, pairs=None, reference_seen="none")])])
    plain = (np.asarray(sheet) == np.asarray(Image.new("RGB", (1, 1), EMPTY))).all(2).sum()
    assert plain == pytest.approx(room.PHOTO**2, rel=0.05)


def test_marks_at_the_edge_stay_inside() -> None:
    shown = []
    for at in ((30, 30), (0, 60), (60, -5)):
        picture = Image.new("RGB", (60, 60), "black")
        room._mark(picture, "1", at, room.FOR, room.font_of(None, 13))
        shown.append(int((np.asarray(picture) > 0).any(2).sum()))
    assert shown[0] == shown[1] == shown[2] > 300


def with_parts(count):
    """An explanation by one part a column of places, of a grey photo."""
    parts = np.zeros((count, 5, count), np.float32)
    parts[range(count), :, range(count)] = 1.0
    grey = replace(explanation().query, image=Image.new("RGB", (64, 64), (128, 128, 128)), parts=parts)
    return explanation(query=grey, reference=grey)


def test_parts_are_shown_in_their_order_below_the_pairs(lines) -> None:
    plain, few, many, alone = (
        draw([Card("wren", "", [one] * 3)])
        for one in (explanation(), with_parts(4), with_parts(9), replace(with_parts(4), reference=None, pairs=None))
    )
    written, marks = lines()
    assert [one for one in marks if int(one) > 3] == ["4", "4", "5", "6", "7", "8", "9", "4"]
    assert sum(one.startswith("parts that the embedder has found") for one in written) == 3
    assert sum("below it in the first reference" in one for one in written) == 2
    assert plain.height < alone.height < few.height < many.height
    tile = (2 * (2 * room.PHOTO + room.SEAM) + room.GAP + room.TILE) // room.PARTS - room.TILE
    left, bottom = 2 * room.MARGIN + room.COLUMN + room.GAP, 2 * room.MARGIN
    row = np.asarray(few.convert("L"), float)[-bottom - tile // 2]
    for part in range(4):
        start = left + part * (tile + room.TILE)
        places = [one.mean() for one in np.array_split(row[start : start + tile], 4)]
        assert np.argmax(places) == part


def test_labels_of_other_alphabets_and_a_card_without_an_explanation() -> None:
    found = replace(with_rival(), label="Зимородок")
    assert draw([Card("Зимородок", "", []), Card("Łabędź", "", [found])]).size == draw([Card("a", "", [found])]).size
