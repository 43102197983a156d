"""Text from entries, tables and files of other people, made harmless for a terminal and for Markdown.

A terminal obeys control characters: an escape sequence can rewrite what was printed before, change the title, or answer
as if the reader had typed. Markdown obeys `<`, links and images. HTML and LaTeX have escapes of their own
(`html.escape`, tables/format/latex.py).
"""

from __future__ import annotations

import re
from typing import Any, TextIO

COLOUR = r"\x1b\[[0-9;]*m"  # the only sequence that lineage prints itself
CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 and C1 without tab and newline
DIRECTION = r"[\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # they make text read in another order than it is stored
UNSAFE = re.compile(f"(?P<colour>{COLOUR})|{CONTROL}|{DIRECTION}")
MARKUP = re.compile(r"<|\](?=[(\[])|[\n\r]+")


def show_controls(text: str) -> str:
    """Replace control characters, other than newline, tab and colours, by their Python escapes, e.g. `\\x1b`."""
    return UNSAFE.sub(lambda match: match["colour"] or ascii(match[0])[1:-1], text)


def escape_markdown(text: str) -> str:
    """Return the text as one line in which tags, links and images are text; emphasis and code stay."""
    replacements = {"<": "&lt;", "]": "\\]"}
    return MARKUP.sub(lambda match: replacements.get(match[0], " "), show_controls(text))


class PrintableStream:
    """A text stream to a terminal that prints control characters as escapes; all else is the wrapped stream's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(show_controls(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
