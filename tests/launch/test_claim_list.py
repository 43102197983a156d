"""Lists of claims for `lineage run --claims`, and the daily sample of `lineage claims`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lineage.cli.tables import claims
from lineage.launch.cells import CellName
from lineage.launch.current_rows import make_finder
from lineage.launch.selection import list_claim_cells
from lineage.tables.format.load import TableLoader
from lineage.tables.table import TableError
from tests.tables.test_claim_regression import make_before, run_again

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def write(path: Path, *lines: str, head: str = "tier: mini\nseeds: 2\n") -> Path:
    file = path / "claims.yaml"
    file.write_text(head + "claims:\n" + "".join(f"  - {line}\n" for line in lines))
    return file


def test_a_list_of_claims_is_the_cells_of_both_rows_each_once(tmp_path: Path) -> None:
    lines = [f"{{table: fpn/table1, better: fpn, worse: {row}, metric: box/AR1000}}" for row in ("c4", "finest")]
    cells = list_claim_cells(write(tmp_path, *lines), EXPERIMENTS, None, None)
    expected = [("fpn", 0), ("c4", 0), ("fpn", 1), ("c4", 1), ("finest", 0), ("finest", 1)]
    assert cells == [CellName("fpn/table1", row, "mini", seed) for row, seed in expected]
    assert {cell.tier for cell in list_claim_cells(write(tmp_path, *lines), EXPERIMENTS, "smoke", 1)} == {"smoke"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{table: fpn/table1, better: c4, worse: fpn, metric: box/AR1000}", "does not claim c4 > fpn"),
        ("{table: fpn/table1, better: fpn, worse: c44, metric: box/AR1000}", "Did you mean fpn > c4 by box/AR1000"),
        ("{table: fpn/table1, better: fpn, worse: c4, metric: box/AP}", "by box/AP"),
        ("{table: fpn/table1, better: fpn, worse: c4}", "metric: missing"),
        ("{table: fpn/table77, better: fpn, worse: c4, metric: box/AP}", "no table"),
        ("{table: fpn/table1, better: fpn, worse: c4, metric: box/AR1000, seed: 1}", "seed: unknown key"),
    ],
)
def test_a_claim_that_no_table_has_is_refused(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        list_claim_cells(write(tmp_path, line), EXPERIMENTS, None, None)


@pytest.mark.parametrize(
    ("head", "message"),
    [("teir: mini\n", "teir: unknown key. Did you mean tier"), ("tier: min\n", "there is no tier 'min'")],
)
def test_a_list_with_a_wrong_key_is_refused(tmp_path: Path, head: str, message: str) -> None:
    line = "{table: fpn/table1, better: fpn, worse: c4, metric: box/AR1000}"
    with pytest.raises(TableError, match=message):
        list_claim_cells(write(tmp_path, line, head=head), EXPERIMENTS, None, None)
    with pytest.raises(TableError, match="claims: missing"):
        list_claim_cells(write(tmp_path), EXPERIMENTS, None, None)


def test_the_shipped_list_has_the_seeds_that_its_tables_plan() -> None:
    cells = list_claim_cells(EXPERIMENTS / "first_claims.yaml", EXPERIMENTS, None, None)
    assert len({cell.table for cell in cells}) == 21
    assert {cell.seed for cell in cells} == {0, 1, 2, 3, 4}


@dataclass
class Costs:
    """Half an hour for each cell, all of them open."""

    plan: Any = None

    def sum_hours(self, cells: Sequence[CellName]) -> float:
        return 0.5 * len(cells)


def test_the_sample_fits_into_the_time_and_rotates_with_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "list_open", lambda plan, name: {name})
    cells = [CellName("paper/table", f"r{i}", "mini", 0) for i in range(20)]
    shown = [make_before() for _ in range(10)]
    monkeypatch.setattr(claims, "list_cells", lambda one, tier, day: cells[2 * number(one) :][:2])

    def number(before: Any) -> int:
        return next(i for i, one in enumerate(shown) if one is before)

    days = [[number(one) for one in claims.choose_sample(shown, Costs(), 3.0, "mini", day)] for day in range(10)]  # type: ignore[arg-type]
    assert all(len(sample) == 3 for sample in days)
    assert {claim for sample in days for claim in sample} == set(range(10))


def test_shown_claims_whose_noise_of_one_run_is_unknown_are_counted(tmp_path: Path) -> None:
    for file in (EXPERIMENTS.parent / "results/calibration/maps").rglob("2*.json"):
        if json.loads(file.read_text())["seed"] < 3:  # 2 degrees of freedom, for the differences of rows of one seed
            copy = tmp_path / file.relative_to(EXPERIMENTS.parent / "results")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    loader = TableLoader(EXPERIMENTS, tmp_path, make_finder(EXPERIMENTS.parent, EXPERIMENTS))
    assert claims.find_shown(loader, ["calibration/maps"], "mini") == ([], 5)


def test_a_lost_claim_and_an_unfinished_cell_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert claims.report([make_before()], run_again(30.2, 20.1), 0) == 0
    assert "claims: 1 held, 0 lost; cells drifted: 0" in capsys.readouterr().out
    assert claims.report([make_before()], run_again(20.2, 20.1), 0) == 1
    text = capsys.readouterr().out
    assert "LOST" in text
    assert "drift: paper/table/new mask/AP is 20.20, was 30.00" in text
    assert claims.report([make_before()], {}, 1) == 1
    assert "nothing ran" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seeds: 1.0e+300\nclaims: []", "is not a number of seeds"),
        (b"\xff\xfe", "not YAML"),
        (b"tier: minni\nclaims: []", "no tier 'minni'. Did you mean mini?"),
        (b"tier: mini\nclaims:\n  []", "claims: missing"),
        (b"claims: " + b"[" * 9999, "deep"),
    ],
)
def test_a_list_of_claims_that_is_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "claims.yaml").write_bytes(content.replace(b": []", b": [{table: a, better: b, worse: c, metric: d}]"))
    with pytest.raises(TableError, match=message):
        list_claim_cells(tmp_path / "claims.yaml", EXPERIMENTS, None, None)
    with pytest.raises(TableError, match="cannot be read: No such file"):
        list_claim_cells(tmp_path / "absent.yaml", EXPERIMENTS, None, None)
