"""The report of a run as one HTML file: no network, no script, readable in ten years.

It holds the entry (numbers, deviations, config, machine, command), the curves, and the pictures.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from lineage.report.chart import Line, render_chart
from lineage.report.facts import render_commands, render_details, render_deviations, render_facts
from lineage.report.scores import Values, render_classes, render_metrics
from lineage.results.atomic import atomic_write
from lineage.results.run_folder import RunFolder
from lineage.tables.numbers import format_number

AXES = ("step", "epoch")
METERS = ("lr", "images_per_second", "data_wait", "grad_norm")  # columns that are no losses
QUALITY = 88  # JPEG


def write_report(
    folder: Path,
    entry: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
    pictures: Sequence[Path],
    per_class: Mapping[str, Values],
    published: Values | None = None,
    site: Path | None = None,
) -> Path:
    """Write report.html.

    curves: rows of metrics.csv. published: the paper's numbers of the run's row. site: page of all runs, to link to.
    """
    path = RunFolder(folder).report
    comparable = entry.get("tier") == "paper" and not entry.get("deviations")
    sections = [
        _header(entry, _link_to_site(entry, folder, site)),
        _headline(entry["metrics"], (published or {}) if comparable else {}),
        _section("Results", render_metrics(entry["metrics"], published or {}, comparable)),
        _section("Predictions", "".join(map(_picture, pictures))),
        _section("Training", _charts(curves)),
        _section("Classes", render_classes(per_class)),
        _section("Run", render_facts(entry)),
        _section("Again", render_commands(entry)),
        _section("In full", render_details(entry)),
    ]
    style = resources.files("lineage.report").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join(section for section in sections if section)
    atomic_write(
        path,
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(_name(entry))} · lineage</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>Written by lineage. This file needs nothing else.</footer>\n"
        "</main>\n</body>\n</html>\n",
    )
    return path


def _name(entry: Mapping[str, Any]) -> str:
    if entry.get("table"):
        return f"{entry['table']} · {entry['row']}"
    return str(entry.get("choices", {}).get("model") or "run")


def _link_to_site(entry: Mapping[str, Any], folder: Path, site: Path | None) -> str:
    if site is None:
        return ""
    address = f"{quote(Path(os.path.relpath(site, folder)).as_posix())}#/run/{quote(str(entry.get('id', '')))}"
    return f' · <a href="{escape(address, quote=True)}">this run beside all others</a>'


def _header(entry: Mapping[str, Any], link: str = "") -> str:
    choices = entry.get("choices", {})
    options = " · ".join(f"{group} {option}" for group, option in choices.items() if group not in ("model", "logger"))
    error = f'<p class="error">{escape(entry["error"])}</p>' if entry.get("error") else ""
    status = escape(str(entry.get("status", "")))
    return (
        f'<header><p class="eyebrow">{escape(str(entry.get("id", "")))}{link}</p><h1>{escape(_name(entry))}</h1>'
        f'<p class="lede"><span class="status {status}">{status}</span> &nbsp; {escape(options)}</p>'
        f"{error}{render_deviations(entry)}</header>"
    )


def _headline(values: Values, published: Values) -> str:
    """Print the AP of every task in large type."""
    items = []
    for name in (name for name in values if name.endswith("/AP")):
        paper = published.get(name)
        beside = f" · paper {paper:.1f}" if paper is not None else ""
        items.append(f"<li><b>{format_number(values[name])}</b><span>{escape(name)}{beside}</span></li>")
    return f'<ul class="headline">{"".join(items)}</ul>' if items else ""


def _charts(curves: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in curves for name in row if name not in AXES))
    lines = {name: Line(name, _points(curves, name)) for name in names}
    scored = [name for name in names if name.endswith("/AP") and len(lines[name].points) > 1]
    losses = [name for name in names if "/" not in name and name not in METERS]
    diagnostics = [name for name in names if "/" in name and name.partition("/")[0] in losses]
    counts = [name for name in diagnostics if name.partition("/")[2].startswith("num_")]
    shares = [name for name in diagnostics if name not in counts]
    charts = [
        render_chart("Losses", [lines[name] for name in losses], smooth=True),
        render_chart("AP", [lines[name] for name in scored]),
        render_chart("Accuracies", [lines[name] for name in shares], smooth=True),
        render_chart("Samples per image", [lines[name] for name in counts], smooth=True),
        render_chart("Gradient norm", _existing(lines, "grad_norm"), smooth=True),
        render_chart("Learning rate", _existing(lines, "lr")),
        render_chart("Images per second", _existing(lines, "images_per_second"), smooth=True),
    ]
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _existing(lines: Mapping[str, Line], name: str) -> list[Line]:
    return [lines[name]] if name in lines else []


def _points(curves: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """Return a column over the steps; cells of a CSV are text, and empty if nothing was logged."""
    rows = [row for row in curves if row.get("step") not in (None, "") and row.get(name) not in (None, "")]
    return [(float(row["step"]), float(row[name])) for row in rows]


def _picture(path: Path) -> str:
    """Embed a picture as JPEG, a fifth of the size of a PNG."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, "JPEG", quality=QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<figure class="picture"><img alt="{escape(path.stem)}" src="data:image/jpeg;base64,{data}"></figure>'


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>\n{content}</section>" if content else ""
