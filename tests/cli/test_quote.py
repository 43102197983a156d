"""`lineage quote` as a user types it, on a store of three runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.tables import check_text, quote
from lineage.results import store
from tests.tables import made

KEY = "mask_rcnn/table2c/roi_align/mask_AP"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    digest = made.find_digest("mask_rcnn/table2c", "roi_align")
    for seed, value in enumerate((30.1, 30.3, 30.5)):
        entry = made.entry("roi_align", value, seed, table="mask_rcnn/table2c", cell_digest=digest)
        store.write(entry, tmp_path / "results")
    return tmp_path / "results"


def test_a_table_is_printed_as_macros(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert quote.main(["mask_rcnn/table2c", "--results", str(results)]) == 0
    text = capsys.readouterr().out
    assert f"lineage@{KEY}}}{{30.3}}" in text
    assert f"lineage@{KEY}/n}}{{3}}" in text
    assert quote.main(["mask_rcnn/table2c.yaml", "--results", str(results)]) == 0
    assert capsys.readouterr().out == text


def test_all_tables_are_written_to_a_file(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "paper" / "numbers.tex"
    assert quote.main(["--all", "--results", str(results), "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8")
    assert f"lineage@{KEY}}}{{30.3}}" in text
    assert "lineage@faster_rcnn/" in text
    assert f": {text.count('namedef'):,} numbers of " in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["mask_rcnn/table2c", "--all"]])
def test_a_table_or_all(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        quote.main(argv)
    assert "give one TABLE or --all" in capsys.readouterr().err


def test_code_of_markdown_holds_examples(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "notes.md"
    wrong = rf"\lineage{{{KEY}}}{{31.0}}"
    text.write_text(f"`{wrong}` and ``a ` {wrong}``\n```tex\n{wrong}\n```\n", encoding="utf-8")
    assert check_text.main([str(text), "--results", str(results)]) == 0
    assert capsys.readouterr().err == "0 quotes, 0 wrong; 3 more stand in code, as examples, and were not checked\n"
    with text.open("a", encoding="utf-8") as file:
        file.write(f"It is {wrong}.\n")
    assert check_text.main([str(text), "--results", str(results)]) == 1
    assert capsys.readouterr().out.startswith(f"{text}:5: ")
