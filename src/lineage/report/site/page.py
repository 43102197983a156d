"""The HTML around the data of a site: style and script in it, and a policy that forbids every request elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib import resources

STYLES = ("vendor/uPlot.min.css", "style.css", "views.css")
SCRIPTS = (
    "vendor/uPlot.iife.min.js", "dom.js", "format.js", "data.js", "state.js", "query.js", "stats.js", "plot.js",
    "curves.js", "table.js", "copy.js", "runs.js", "differences.js", "errors.js", "compare.js", "pictures.js",
    "picture.js", "tables.js", "sweep.js", "family.js", "run.js", "main.js",
)  # fmt: skip


ICON = (  # without one, a browser asks the server for it
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' "
    "rx='7' fill='%23a8481f'/%3E%3Cpath d='M11 7v18h10' stroke='%23fff' stroke-width='4' fill='none'/%3E%3C/svg%3E"
)


@cache
def read_assets(names: tuple[str, ...]) -> str:
    """Return files of the folder assets, one after the other."""
    folder = resources.files("lineage.report.site").joinpath("assets")
    return "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)


def render_page(title: str, blocks: Mapping[str, str] | None = None, refresh: int = 0) -> str:
    """Return the page of a site.

    blocks: JSON of each part, for a site of one file; None if its parts lie beside it.
    refresh: seconds between two readings of the data by an open page; 0: it is read once.
    """
    style, script = read_assets(STYLES), f"(() => {{\n{read_assets(SCRIPTS)}\n}})();"
    data = "".join(
        f'<script type="application/json" data-part="{escape(name, quote=True)}">{text}</script>\n'
        for name, text in (blocks or {}).items()
    )
    beside = "" if blocks is not None else " 'self' file:"
    policy = (
        f"default-src 'none'; script-src {_hash(script)}{beside}; style-src {_hash(style)}; img-src data:{beside}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="{ICON}">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f'<body data-refresh="{refresh}">\n<noscript>This page draws its tables and curves with a script that it '
        "holds; it loads nothing from elsewhere.</noscript>\n"
        f"{data}<script>{script}</script>\n</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    """Return the source expression of an inline style or script in a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
