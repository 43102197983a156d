"""Broken table files: the message names the line, and commands about all tables go on without the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lineage.cli.tables.lint import _lint, format_findings
from lineage.launch.selection import select_rows
from lineage.tables import read
from lineage.tables.lint.rules import Finding
from lineage.tables.paper.page import list_papers
from lineage.tables.table import TableError
from tests.tables.test_read import MINIMAL, tables


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rows: [1,\n", "line 2: did not find expected node content while parsing a flow node"),
        ("rows:\n  a: {x: 1\n  b: {}\n", "line 3: did not find expected ',' or '}' while parsing a flow mapping, "),
        (
            "rows:\n\ta: {}\n",
            "line 2: found character that cannot start any token while scanning for the next token; a tab",
        ),
        ("rows:\n  a: {}\n  b: {}\n  a: {label: x}\n", "line 4: the key 'a' stands twice, first on line 2"),
        ("claims: [{better: a, better: b}]\n", "line 1: the key 'better' stands twice, first on line 1"),
    ],
)
def test_broken_yaml_names_file_and_line_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.yaml").write_text(text)
    with pytest.raises(TableError) as error:
        read.load_table(tmp_path, "a/b")
    assert str(error.value).startswith(f"{tmp_path / 'a/b.yaml'}: not YAML: {says}")
    assert "\n" not in str(error.value)


def test_a_broken_draft_is_left_out_of_what_is_about_all_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables(tmp_path, whole={"rows": {"r": {}}})
    (tmp_path / "a/draft.yaml").write_text(yaml.safe_dump(MINIMAL | {"rows": {"r": {"start": "r"}}}))
    (tmp_path / "a/typo.yaml").write_text("papr: x")
    assert read.list_readable(tmp_path) == read.list_readable(tmp_path, "a") == ["a/whole"]
    assert list_papers(tmp_path) == ["a"]
    assert [selection.table.name for selection in select_rows(tmp_path, [], everything=True)] == ["a/whole"]
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" is left out: ")[0] for line in lines] == ["a/draft", "a/typo"]
    assert lines[1].endswith("; `lineage lint a/typo` checks it")


def test_the_linter_says_of_a_broken_file_that_it_is_no_table(tmp_path: Path) -> None:
    """It said that an ablation declares its kind and its factor."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/typo.yaml").write_text("papr: x")
    findings = _lint(tmp_path, tmp_path, "a/typo", "paper", is_named=True)
    assert [finding.rule for finding in findings] == ["T0"]
    assert "  error T0  the file is a table\n" in format_findings("a/typo", findings, colour=False)


def test_a_finding_of_two_lines_is_indented_as_a_whole() -> None:
    text = format_findings("a/b", [Finding("T15", "there is no key 'x'.\nall keys are printed", "r")], colour=False)
    assert text.splitlines()[2:] == ["      r: there is no key 'x'.", "      all keys are printed"]
