from __future__ import annotations

from lineage.tables.format import quote
from tests.tables import made

CELLS = quote.collect_cells(
    made.table(), [made.entry("new", value, seed) for seed, value in enumerate((30.1, 30.3, 30.5))]
)
KEY = "paper/table/new/mask_AP"


def test_cells_print_as_the_table_does() -> None:
    assert CELLS[KEY] == "30.3"
    parts = {part: CELLS[f"{KEY}/{part}"] for part in ("sd", "n", "published", "diff", "verdict")}
    assert parts == {"sd": "0.2", "n": "3", "published": "30.0", "diff": "+0.3", "verdict": "underpowered"}
    assert "paper/table/old/mask_AP" not in CELLS
    assert CELLS["paper/table/old/mask_AP/verdict"] == "missing"


def test_runs_that_deviate_are_not_quoted() -> None:
    held = [made.entry("new", 9.0, deviations=["roi=pool"]), made.entry("new", 8.0, 1, tier="mini")]
    found = quote.collect_cells(made.table(), held)
    assert KEY not in found
    assert found[f"mini:{KEY}"] == "8.0"


def test_a_wrong_or_unknown_number_is_reported() -> None:
    assert not quote.explain_mismatch(KEY, "30.3", CELLS)
    assert not quote.explain_mismatch(KEY, None, CELLS)
    assert "text says '30.4', the store says '30.3'" in quote.explain_mismatch(KEY, "30.4", CELLS)
    assert "no such cell" in quote.explain_mismatch("paper/table/new/mask_APP", "1", CELLS)


def test_quotes_are_found_with_their_line() -> None:
    text = "one\n\\lineage{a/b/c/d}{30.3} 5\\% \\lineage{e/f/g/h}\n% \\lineage{x/y/z/w}{1}"
    assert list(quote.find_quotes(text, comments=True)) == [(2, "a/b/c/d", "30.3"), (2, "e/f/g/h", None)]
    assert len(list(quote.find_quotes(text, comments=False))) == 3


def test_a_text_that_begins_with_an_empty_line_counts_it() -> None:
    assert list(quote.find_quotes("\n\\lineage{a/b/c/d}", comments=True)) == [(2, "a/b/c/d", None)]


def test_macros_define_every_key_once() -> None:
    text = quote.render_macros(CELLS)
    assert text.count(f"lineage@{KEY}}}") == 1
    assert text.count("namedef") == len(CELLS)
