"""Plain tables of a .tex file: each number against the cell that it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.cli.main import main
from lineage.tables.format.latex_tables import check_unnamed, clean, find_tables

ROOT = Path(__file__).parents[2]
TEX = r"""
% lineage: mask_rcnn/table2c
\begin{table}
\begin{tabular}{l@{\hspace{2pt}}ccc}
\toprule
 & \multicolumn{3}{c}{mask} \\
\cmidrule(lr){2-4}
layer & AP & AP$_{50}$ & AP$_{75}$ \\
\midrule
RoIPool max & 26.9 & 48.8 & 26.4 \\
RoIAlign ave & \textbf{30.3} & $51.2 \pm 0.1$ & 31.9 \\  % not what the paper has
RoIMagic & 99.9 & -- & \emph{98.8} \\
\bottomrule
\end{tabular}
\end{table}
"""


def test_numbers_are_read_with_their_row_and_column() -> None:
    (table,) = find_tables(TEX)
    assert table.name == "mask_rcnn/table2c"
    assert [(one.line, one.text, one.row, one.column) for one in table.numbers][:5] == [
        (10, "26.9", "RoIPool max", "AP"), (10, "48.8", "RoIPool max", "AP_50"), (10, "26.4", "RoIPool max", "AP_75"),
        (11, "30.3", "RoIAlign ave", "AP"), (11, "51.2", "RoIAlign ave", "AP_50"),
    ]  # fmt: skip
    assert [one.text for one in table.numbers][5:] == ["31.9", "99.9", "98.8"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"$\mathbf{30.3} \pm 0.2$", "30.3 ± 0.2"),
        (r"\textbf{\underline{1.5}}", "1.5"),
        (r"50\,\%", "50%"),
        ("--", "--"),
    ],
)
def test_typesetting_is_removed(text: str, plain: str) -> None:
    assert clean(text) == plain


def test_a_wrong_number_and_one_without_a_cell_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.tex"
    path.write_text(TEX)
    assert main(["check-text", str(path), "--results", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == f"{path}:11: 31.9 (RoIAlign ave, AP_75): the store says 31.5"
    assert lines[1].startswith(f"{path}:12: 98.8 (RoIMagic, AP_75): mask_rcnn/table2c has no row 'RoIMagic'")
    assert len(lines) == 3
    assert "0 quotes, 8 numbers of tables, 3 wrong" in captured.err
    path.write_text(TEX.replace("31.9", "31.5").replace("RoIMagic & 99.9 & -- & \\emph{98.8} \\\\\n", ""))
    assert main(["check-text", str(path), "--results", str(tmp_path)]) == 0


def test_a_table_without_a_name_is_read_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.tex"
    path.write_text(TEX.replace("% lineage: mask_rcnn/table2c", ""))
    assert main(["check-text", str(path), "--results", str(tmp_path)]) == 0
    (typed,) = find_tables(path.read_text())
    told = [message for _, message in check_unnamed(typed, {"26.9", "48.8", "26.4", "30.3", "51.2", "31.9", "98.8"})]
    assert told == ["99.9 (RoIMagic, AP): in no cell of any table"]


def test_a_name_that_does_not_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.tex"
    path.write_text(TEX.replace("table2c", "table2cc"))
    assert main(["check-text", str(path), "--results", str(tmp_path)]) == 1
    assert "Did you mean mask_rcnn/table2c" in capsys.readouterr().out
