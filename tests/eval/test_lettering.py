import subprocess
import sys

import pytest

from eval.lettering import font_of, typeface_for, wrap


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize(
    "text", ["", "Wren", "Rufous-tailed Hummingbird of the north", "Donaudampfschifffahrtsgesellschaft", "a b " * 500]
)
def test_text_is_wrapped_to_its_width(text: str, most: int) -> None:
    font = font_of(None, 15)
    lines = wrap(text, font, 120, most)
    assert len(lines) <= most
    assert all(font.getlength(line) <= 120 for line in lines)
    shown = "".join(lines).replace(" ", "")
    whole = "".join(text.split())
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
    assert (shown == whole) == (not shown.endswith("…"))


def test_lines_break_between_words() -> None:
    assert wrap("Northern Mockingbird", font_of(None, 15), 120, 2) == ["Northern", "Mockingbird"]


@pytest.mark.parametrize("label", ["Zaunkönig", "Łabędź", "Снегирь", "Κοκκινολαίμης"])
def test_letters_of_other_alphabets_are_drawn(label: str) -> None:
    typeface = typeface_for(label)
    font = font_of(typeface, 15)
    blank = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != blank for letter in label)


def test_plain_labels_are_in_pillows_own_typeface() -> None:
    assert typeface_for("Anna's Hummingbird (0.93)…") is None


def test_fonts_are_found_without_importing_matplotlib() -> None:
    script = "import sys; from eval.lettering import typeface_for; assert typeface_for('Łabędź')"
    subprocess.run([sys.executable, "-c", f"{script}; assert 'matplotlib' not in sys.modules"], check=True)
