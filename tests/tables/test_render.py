from __future__ import annotations

import csv
import io
import time
from pathlib import Path

from lineage.tables import read, render
from lineage.tables.overview import free_runs
from tests.tables import made

ENTRIES = [
    *(made.entry("new", value, seed) for seed, value in enumerate((30.1, 30.3, 30.5))),
    made.entry("old", 12.4, tier="mini", deviations=["schedule=smoke"]),
]


def test_terminal() -> None:
    text = render.terminal(made.table(), ENTRIES)
    assert "new  30.3 ± 0.2   30.0  +0.3  reproduced       3  paper" in text
    assert "old  12.4         27.0     -  off protocol     1  mini schedule=smoke" in text
    assert "new > old by 3.0" in text


def test_colour_changes_nothing_but_colour() -> None:
    text = render.terminal(made.table(), ENTRIES, colour=True)
    assert "\x1b[32mreproduced\x1b[0m" in text
    for code in (0, 31, 32, 33, 36, 90):
        text = text.replace(f"\x1b[{code}m", "")
    assert text == render.terminal(made.table(), ENTRIES)


def test_markdown_rows_have_equal_columns() -> None:
    text = render.markdown(made.table(), ENTRIES)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in lines[:4]} == {lines[0].count("|")}
    assert "read in source" in text


def test_csv_gives_numbers_in_full() -> None:
    rows = list(csv.DictReader(io.StringIO(render.comma_separated(made.table(), ENTRIES))))
    assert [(row["row"], row["tier"], row["n"], row["verdict"]) for row in rows] == [
        ("old", "mini", "1", "off protocol"),
        ("new", "paper", "3", "reproduced"),
    ]
    assert float(rows[1]["mean"]) == sum((30.1, 30.3, 30.5)) / 3


def test_ten_thousand_entries_render_fast() -> None:
    many = [made.entry(("old", "new")[seed % 2], 27.0 + seed % 7 / 10, seed) for seed in range(10_000)]
    started = time.process_time()
    assert "5000" in render.terminal(made.table(), many)
    assert time.process_time() - started < 2


def test_every_table_of_the_project_renders_empty() -> None:
    experiments = Path(__file__).parents[2] / "experiments"
    for name in read.names(experiments):
        assert "missing" in render.terminal(read.load(experiments, name), [])


def test_free_runs_are_listed_newest_last() -> None:
    text = free_runs([made.entry(None, 20.0, seed) for seed in range(30)])
    assert "newest 10 of 30" in text
    assert text.count("mask_rcnn") == 10
