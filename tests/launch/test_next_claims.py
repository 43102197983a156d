"""The choice of runs: by chance per hour, shared trainings counted once; power against closed forms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lineage.cli.main import main
from lineage.launch.cells import CellName
from lineage.launch.claim_costs import ClaimCost, CostPlan
from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.next_claims import choose_next, estimate_chance, list_cells
from lineage.tables.paper.status import find_status
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.table import Effect
from lineage.tables.table_noise import NoiseKey
from tests.tables import made

ROOT = Path(__file__).parents[2]
CHOICES = {"model": "mask_rcnn", "dataset": "shapes"}


def names(*rows: str, seeds: int = 3) -> list[CellName]:
    return [CellName("paper/table", row, "mini", seed) for seed in range(seeds) for row in rows]


def cost(better: str, worse: str, gain: float = 3.0, kind: str = "gain", obstacle: str = "") -> ClaimCost:
    table = made.table()
    rows = {name: replace(table.rows["old"], name=name) for name in "abcd"}
    effect = Effect(kind, better, worse, "mask/AP", gain, 0.5)
    table = replace(table, rows=rows, effects=[effect])
    cells = names(better, worse)
    return ClaimCost(find_status(table, effect, []), frozenset(cells), cells, 6.0, obstacle)


def shared(hours: float | None = 1.0) -> CostPlan:
    cells = names(*"abcd")
    composed = SimpleNamespace(composed=SimpleNamespace(choices=CHOICES))
    plan: Any = SimpleNamespace(cells=dict.fromkeys(cells, composed))
    return CostPlan(plan, dict.fromkeys(cells, CostEstimate(hours, "CPU", "")))


def test_cells_that_an_earlier_claim_pays_for_cost_nothing() -> None:
    chosen = choose_next([cost("a", "b"), cost("c", "d"), cost("b", "a", 1.0)], shared(), {}, hours=6.0)
    assert [one.hours for one in chosen] == [6.0, 0.0]
    assert list_cells(chosen) == names("a", "b")
    assert len(choose_next([cost("a", "b"), cost("c", "d")], shared(), {}, hours=12.0)) == 2
    assert choose_next([cost("a", "b")], shared(), {}, hours=5.0) == []


def test_the_larger_chance_per_hour_comes_first() -> None:
    chosen = choose_next([cost("a", "b", 0.8), cost("c", "d", 4.0)], shared(), {}, hours=20.0)
    assert [one.cost.claim.effect.gain for one in chosen] == [4.0, 0.8]
    assert chosen[0].chance > chosen[1].chance


def test_claims_that_no_run_settles_are_left_out() -> None:
    assert choose_next([cost("a", "b", obstacle="one experiment")], shared(), {}, hours=99.0) == []
    assert choose_next([replace(cost("a", "b"), hours=None)], shared(None), {}, hours=99.0) == []


@pytest.mark.parametrize(("gain", "chance"), [(0.0, 0.05), (1.6002, 0.5), (2.2875, 0.8)])
def test_the_chance_is_the_power_of_the_test(gain: float, chance: float) -> None:
    """Half of the gain over sd * sqrt(2/3): power .5 at 1.960 standard errors, .8 at 1.960 + 0.842."""
    found, basis = estimate_chance(cost("a", "b", gain), shared(), {})
    assert found == pytest.approx(chance, abs=0.002)
    assert basis.endswith("sd 0.5 assumed")


def test_equality_needs_small_noise() -> None:
    key = NoiseKey("mask/AP", "two-stage", "shapes", "mini")
    noisy, quiet = ({key: NoiseEstimate(sd, 10, "")} for sd in (0.5, 0.05))
    pair = cost("a", "b", kind="equal")
    assert estimate_chance(pair, shared(), noisy)[0] == 0.0
    assert estimate_chance(pair, shared(), quiet)[0] > 0.99


def test_a_paper_on_an_empty_and_on_a_half_filled_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "next.json"
    assert main(["next", "mask_rcnn/table2c", "--hours", "3h", "--results", str(tmp_path), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("5 claims open")
    cells = json.loads(out.read_text())
    assert ["mask_rcnn/table2c", "roi_align", "mini", 0] in cells
    assert main(["run", "--cells", str(out), "--plan", "--results", str(tmp_path)]) == 0
    assert "0 cells done" in capsys.readouterr().out
    assert main(["next", "mask_rcnn/table2c", "--hours", "3h", "--results", str(ROOT / "results")]) == 0
    open_claims = int(capsys.readouterr().out.split()[0])
    assert 0 < open_claims < 5
