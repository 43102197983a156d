from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lineage.tables import read
from lineage.tables.format import quote
from lineage.tables.format.html import render_page
from lineage.tables.format.latex import escape, render_latex
from lineage.tables.format.markdown import render_markdown
from lineage.tables.format.overview import render_free_runs
from lineage.tables.format.terminal import WIDEST, render_csv, render_terminal
from lineage.tables.format.view import OWN, TableView, build_view
from lineage.tables.statistics.student_t import t_isf
from tests.tables import made

ENTRIES = [
    *(made.entry("new", value, seed) for seed, value in enumerate((30.1, 30.0, 29.9))),
    made.entry("old", 12.4, tier="mini", deviations=["schedule=smoke"]),
]
SHEET = build_view(made.table(), ENTRIES)


def test_terminal() -> None:
    text = render_terminal(SHEET)
    assert "new  30.0  0.10  3       30.0  +0.0  reproduced" in text
    assert "old  12.4   -  1       27.0     -  off protocol" in text
    assert "new > old by 3" in text
    assert max(map(len, text.splitlines())) <= WIDEST


def test_seeds_beyond_the_plan_of_the_table_stand_apart() -> None:
    planned = replace(made.table(), seeds=2)
    text = render_terminal(build_view(planned, [*ENTRIES, made.entry("old", 27.0)]))
    assert "new  30.0 (best)  0.10  2+1       30.0  +0.0  underpowered" in text
    assert "old         27.0     -    1       27.0" in text
    assert "2+1, 1" in text
    assert "n = 3+2: the seeds that the table plans, and extra ones" in text
    assert "+1" not in render_terminal(build_view(replace(planned, seeds=3), ENTRIES))


def test_claims_show_their_margin_and_what_was_published() -> None:
    """One run of each on COCO: of four questions the first, at a first reading. Without a known noise no margin."""
    lines = [
        render_terminal(build_view(made.table(), [made.entry(row, value, tier=tier) for row, value in runs]))
        for tier, runs in (("paper", (("old", 27.0), ("new", 30.3))), ("mini", (("old", 7.0), ("new", 10.3))))
    ]
    (paper,), (mini,) = ([line for line in text.splitlines() if "new > old by 3" in line] for text in lines)
    margin = t_isf(0.05 / 4 / 2 * 0.8 / 9, 8) * 0.185 * 2**0.5
    assert f"+3.30 ± {margin:.2f}" in paper
    assert "same sign" in paper
    assert "+3.30" in mini
    assert "±" not in mini


def test_terminal_cuts_labels_where_it_is_narrow() -> None:
    table = made.table()
    rows = {name: replace(row, label=f"{row.label} and a long explanation") for name, row in table.rows.items()}
    text = render_terminal(build_view(replace(table, rows=rows), ENTRIES), width=72)
    assert max(map(len, text.splitlines())) <= 72
    assert "new and a lo..." in text


def test_colour_changes_nothing_but_colour() -> None:
    text = render_terminal(SHEET, colour=True)
    assert "\x1b[32mreproduced\x1b[0m" in text
    for code in (0, 1, 31, 32, 33, 36, 90):
        text = text.replace(f"\x1b[{code}m", "")
    assert text == render_terminal(SHEET)


def test_markdown_rows_have_equal_columns() -> None:
    text = render_markdown(SHEET)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in lines[:4]} == {lines[0].count("|")}
    assert "read in source" in text


def test_latex_is_balanced_and_escapes() -> None:
    text = render_latex(SHEET)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert escape("50% a_b ± 1") == r"50\% a\_b $\pm$ 1"
    unescaped = text.replace(r"\{", "").replace(r"\}", "")
    assert unescaped.count("{") == unescaped.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("name", ["mask_rcnn/table2c", "faster_rcnn/table2", "cascade_rcnn/table6", "detectron2/lsj"])
def test_latex_compiles_and_fits_the_page(tmp_path: Path, name: str) -> None:
    """With an ordinary text width: no error, nothing more than a hair too wide, no float longer than a page."""
    table = read.load_table(Path(__file__).parents[2] / "experiments", name)
    runs = [
        made.entry(row.name, 0, seed, table=name, metrics=dict(row.published) | {"x_y": 1.0}, tier=tier, macs=4e11)
        for tier in ("paper", "mini") for row in table.rows.values() for seed in range(3)
    ]  # fmt: skip
    quoted = rf"\lineage{{{name}/{next(iter(table.rows))}/{next(iter(table.metrics)).replace('/', '_')}}}"
    numbers = quote.render_macros(quote.collect_cells(table, runs))
    head = rf"\documentclass{{article}}\usepackage{{booktabs}}{numbers}"
    text = rf"{head}\begin{{document}}{quoted}\input{{t}}\end{{document}}"
    (tmp_path / "t.tex").write_text(render_latex(build_view(table, runs)))
    (tmp_path / "main.tex").write_text(text)
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"], cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(wide, default=0) < 10
    assert "Float too large" not in done.stdout


def test_page_asks_for_nothing_from_elsewhere() -> None:
    text = render_page(SHEET)
    assert 'class="badge reproduced"' in text
    assert "http" not in text
    assert "<link" not in text


def test_only_a_page_with_an_index_leads_to_it() -> None:
    assert "index.html" not in render_page(SHEET)
    assert '<a href="../index.html">All tables</a>' in render_page(SHEET, has_index=True)


def test_a_dash_stands_below_the_title_of_its_column() -> None:
    text = render_page(SHEET)
    assert "<th tabindex=0>verdict</th>" in text
    assert '<td class="faint">-</td>' in render_page(build_view(made.table(), []))
    assert '<td class="number faint">-</td>' in text


@pytest.mark.parametrize("render", [render_terminal, render_markdown, render_latex, render_page])
def test_a_table_of_ones_own_speaks_of_no_paper(render: Callable[[TableView], str]) -> None:
    """Columns that can hold nothing are left out; claims keep their verdicts."""
    table = made.table()
    rows = {name: replace(row, published={}) for name, row in table.rows.items()}
    of_paper, own = (render(build_view(shown, ENTRIES)) for shown in (table, replace(table, source="", rows=rows)))
    assert "What the paper concludes, and whether it holds here" in of_paper
    assert "What is claimed, and whether it holds here" in own
    said = own.replace(OWN, "")
    assert "published" in of_paper
    assert not {"published", "diff"} & {*re.findall(r"\w+", said)}
    assert "verdict" in said


@pytest.mark.parametrize("render", [render_terminal, render_markdown, render_latex, render_page])
def test_what_a_file_notes_stands_below_its_table(render: Callable[[TableView], str]) -> None:
    """`note` of a table and of a row is for the reader, whatever the format."""
    table = made.table()
    rows = table.rows | {"new": replace(table.rows["new"], note="Its threshold changed too.")}
    text = render(build_view(replace(table, note="Two trainings have this name.", rows=rows), ENTRIES))
    assert text.count("Two trainings have this name.") == 1
    assert text.count("new: Its threshold changed too.") == 1
    assert "old: " not in text


def test_bold_only_beyond_chance() -> None:
    near = [made.entry("old", 30.0 + 0.4 * seed, seed) for seed in (0, 2, 5)]
    near += [made.entry("new", value, seed) for seed, value in ((0, 30.1), (2, 30.9), (5, 33.0))]
    far = [made.entry("old", 27.0 + 0.01 * seed**2, seed) for seed in range(3)]
    far += [made.entry("new", 30.0 + 0.02 * seed**2, seed) for seed in range(3)]
    assert "(best)" not in render_terminal(build_view(made.table(), near))
    assert "(best)" in render_terminal(build_view(made.table(), far))


def test_csv_gives_numbers_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(made.table(), ENTRIES))))
    assert [(row["row"], row["tier"], row["n"], row["verdict"]) for row in rows] == [
        ("old", "paper", "0", "missing"),
        ("new", "paper", "3", "reproduced"),
        ("old", "mini", "1", "off protocol"),
        ("new", "mini", "0", "missing"),
    ]
    assert float(rows[1]["mean"]) == sum((30.1, 30.0, 29.9)) / 3
    assert {row["best"] for row in rows} == {"0"}


def test_ten_thousand_entries_render_fast() -> None:
    many = [made.entry(("old", "new")[seed % 2], 27.0 + seed % 7 / 10, seed) for seed in range(10_000)]
    started = time.process_time()
    assert "5000" in render_terminal(build_view(made.table(), many))
    assert time.process_time() - started < 2


def test_every_table_of_the_project_renders_empty() -> None:
    experiments = Path(__file__).parents[2] / "experiments"
    for name in read.list_tables(experiments):
        table = read.load_table(experiments, name)
        assert (OWN if table.is_own else "Published numbers") in render_terminal(build_view(table, []))


def test_free_runs_are_listed_newest_last() -> None:
    text = render_free_runs([made.entry(None, 20.0, seed) for seed in range(30)])
    assert "newest 10 of 30" in text
    assert text.count("mask_rcnn") == 10
