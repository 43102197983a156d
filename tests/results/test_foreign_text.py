"""Text of other people commands neither a terminal nor a Markdown reader."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.results import store
from lineage.results.foreign_text import PrintableStream, escape_markdown, show_controls
from lineage.tables.format.markdown import render_markdown
from lineage.tables.format.view import build_view
from tests.tables import made


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x1b[2J\x1b[1;1H", r"\x1b[2J\x1b[1;1H"),
        ("AP 1.0\rAP 99.9", r"AP 1.0\rAP 99.9"),
        ("\x9b6n", r"\x9b6n"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("a\tb\n", "a\tb\n"),
        ("\x1b[32mreproduced\x1b[0m", "\x1b[32mreproduced\x1b[0m"),
        ("Große 表", "Große 表"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert show_controls(text) == shown
    stream = io.StringIO()
    assert PrintableStream(stream).write(text) == len(text)
    assert stream.getvalue() == shown


def test_markdown_has_no_tags_links_or_images() -> None:
    assert escape_markdown("<img src=x onerror=alert(1)>") == "&lt;img src=x onerror=alert(1)>"
    assert escape_markdown("![x](http://a) [y][z]\n# title") == "![x\\](http://a) [y\\][z] # title"
    assert escape_markdown("sizes [64, 64] of `image`") == "sizes [64, 64] of `image`"


def test_a_foreign_entry_is_inert_in_markdown() -> None:
    hostile = "<script>alert(1)</script>![x](http://a)\n\n# title"
    entries = [made.entry("new", 30.1), made.entry("old", 12.4, deviations=[hostile])]
    text = render_markdown(build_view(replace(made.table(), message=hostile), entries))
    assert "alert" in text
    assert "<script" not in text
    assert r"\](http" in text
    assert re.search(r"(?<!\\)\]\(", text) is None
    assert "\n# title" not in text


def test_a_foreign_entry_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    path = store.write(made.entry(None, 12.0, tier="mini", deviations=["\x1b]0;owned\x07"]), tmp_path)
    reader, writer = pty.openpty()
    code = f"from lineage.cli.main import main; main(['show', {str(path)!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=writer) as process:
        os.close(writer)
        printed = b""
        while chunk := _read(reader):
            printed += chunk
    assert process.returncode == 0
    assert rb"\x1b]0;owned\x07" in printed
    assert b"\x1b" not in printed


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: the last writer has gone
        return b""
