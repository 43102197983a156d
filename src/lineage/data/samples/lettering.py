"""Letters of pictures: a text, and a font that has its letters; a letter that no font here has becomes a plain one."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

DEJAVU = Path("mpl-data", "fonts", "ttf", "DejaVuSans.ttf")  # of matplotlib, which other packages may have brought
NO_LETTER = "\U0010ffff"  # what a font draws in place of a letter that it lacks
UNKNOWN = "?"


def choose_letters(text: str, size: int) -> tuple[str, Font]:
    """Return the text as it can be drawn, and the font: Pillow's own if it has all letters, else DejaVu if it is here.

    An accent that the font lacks is left out (é becomes e); any other letter that it lacks becomes a question mark.
    """
    font: Font = load_font(size)
    if all(_has(letter, size, wide=False) for letter in text):
        return text, font
    wide = find_wide_font() is not None
    return "".join(_spell(letter, size, wide) for letter in text), load_font(size, wide)


@lru_cache(maxsize=32)
def load_font(size: int, wide: bool = False) -> Font:
    """Return Pillow's own font, or the one that has more letters."""
    path = find_wide_font() if wide else None
    return ImageFont.truetype(str(path), size) if path else ImageFont.load_default(size)


@lru_cache(maxsize=1)
def find_wide_font() -> Path | None:
    """Return the file of DejaVu Sans without importing matplotlib, or None if it is not installed."""
    spec = find_spec("matplotlib")
    path = Path(spec.origin).parent / DEJAVU if spec and spec.origin else None
    return path if path and path.is_file() else None


def _spell(letter: str, size: int, wide: bool) -> str:
    if _has(letter, size, wide):
        return letter
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    if unicodedata.combining(letter):
        return ""
    return plain if plain and all(_has(part, size, wide) for part in plain) else UNKNOWN


@lru_cache(maxsize=4096)
def _has(letter: str, size: int, wide: bool) -> bool:
    font = load_font(size, wide)
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask(NO_LETTER))
