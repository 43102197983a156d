"""No letter of a class name is drawn as an empty box."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lineage.data.samples import lettering
from lineage.data.samples.lettering import NO_LETTER, choose_letters, load_font
from lineage.report.draw import Mark, paint


def test_plain_letters_keep_the_font() -> None:
    assert choose_letters("traffic light 0.93", 14) == ("traffic light 0.93", load_font(14))


@pytest.mark.skipif(lettering.find_wide_font() is None, reason="matplotlib is not installed")
@pytest.mark.parametrize("text", ["box \u00e9", "\u0448\u0430\u0440", "\u03b1\u03b2", "Stra\u00dfe"])
def test_other_letters_are_drawn(text: str) -> None:
    spelt, font = choose_letters(text, 14)
    assert spelt == text
    box = bytes(font.getmask(NO_LETTER))
    assert all(bytes(font.getmask(letter)) != box for letter in text if letter != " ")


@pytest.mark.parametrize(
    ("text", "spelt"), [("box \u00e9", "box e"), ("e\u0301", "e"), ("\u7bb1", "?"), ("\ufb01g", "fig")]
)
def test_without_another_font_accents_are_left_out(monkeypatch: pytest.MonkeyPatch, text: str, spelt: str) -> None:
    monkeypatch.setattr(lettering, "find_wide_font", lambda: None)
    assert choose_letters(text, 14)[0] in (spelt, text)  # a newer Pillow's font may have more letters
    assert choose_letters("\u7bb1", 14)[0] == "?"


def test_two_names_that_differ_in_such_a_letter_differ_in_the_picture() -> None:
    image = Image.new("RGB", (96, 64))
    pictures = [
        np.asarray(paint(image, [Mark((8, 30, 60, 60), name, (255, 99, 99))], 2.0)) for name in ("\u0448", "\u0440")
    ]
    assert not np.array_equal(*pictures)
