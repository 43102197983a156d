"""The choice of runs: by chance per hour, shared trainings counted once; power against closed forms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scipy import stats

from lineage.cli.main import main
from lineage.launch.cells import CellName
from lineage.launch.claim_costs import ClaimCost, CostPlan
from lineage.launch.cost_estimate import CostEstimate
from lineage.launch.next_claims import choose_next, estimate_chance, list_cells
from lineage.tables.paper.status import find_status
from lineage.tables.samples import Setting
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.table import Effect
from lineage.tables.table_noise import NoiseKey
from lineage.tables.verdicts import Verdict
from tests.tables import made

ROOT = Path(__file__).parents[2]
CHOICES = {"model": "mask_rcnn", "dataset": "shapes"}


def names(*rows: str, seeds: int = 3) -> list[CellName]:
    return [CellName("paper/table", row, "mini", seed) for seed in range(seeds) for row in rows]


def cost(better: str, worse: str, gain: float | None = 3.0, kind: str = "gain", obstacle: str = "") -> ClaimCost:
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


@pytest.mark.parametrize("count", [1, 4])
def test_chances_are_those_of_the_normal_distribution(count: int) -> None:
    """Three seeds with sd .5, at the level that Holm's correction leaves the first of the table's claims."""
    error, level = 0.5 * (2 / 3) ** 0.5, 0.05 / count

    def chance(priced: ClaimCost) -> float:
        table = replace(priced.claim.table, effects=priced.claim.table.effects * count)
        return estimate_chance(replace(priced, claim=replace(priced.claim, table=table)), shared(), {})[0]

    for gain in (0.0, 0.5, -2.0, 3.0):
        z, critical = abs(gain) / 2 / error, stats.norm.isf(level / 2)
        assert chance(cost("a", "b", gain)) == pytest.approx(stats.norm.sf(critical - z) + stats.norm.sf(critical + z))
    for tolerance in (1.0, 2.0, 4.0):
        pair = cost("a", "b", kind="equal")
        pair = replace(pair, claim=replace(pair.claim, effect=replace(pair.claim.effect, tolerance=tolerance)))
        expected = max(0.0, 2 * stats.norm.cdf(tolerance / 2 / error - stats.norm.isf(level)) - 1)
        assert chance(pair) == pytest.approx(expected)


def test_the_expected_effect_is_measured_at_the_tier_else_half_of_what_is_stated_or_published() -> None:
    def basis(priced: ClaimCost, verdict: Verdict | None = None) -> str:
        return estimate_chance(replace(priced, claim=replace(priced.claim, verdict=verdict)), shared(), {})[1]

    order = cost("a", "b", None, "order")
    published = replace(order.claim.table, rows={name: replace(row, published={"mask/AP": float(ord(name))})
                                                 for name, row in order.claim.table.rows.items()})  # fmt: skip
    stated = replace(order, claim=replace(order.claim, table=published))
    silent = {name: replace(row, published={}) for name, row in published.rows.items()}
    unstated = replace(order, claim=replace(order.claim, table=replace(published, rows=silent)))
    assert basis(cost("a", "b", 3.0)).startswith("effect 1.5 expected")
    assert basis(stated).startswith("effect 0.5 expected")  # of a letter
    assert basis(unstated).startswith("effect 0.5 expected")  # of one point
    measured = [Verdict("underpowered", Setting(tier, (), "e"), difference=-0.7) for tier in ("mini", "paper")]
    assert basis(stated, measured[0]).startswith("effect 0.7 measured")
    assert basis(stated, measured[1]).startswith("effect 0.5 expected")
    assert basis(cost("a", "b", kind="equal")).startswith("equal within 0.25")


def test_the_noise_is_of_equal_models_else_the_largest_of_others() -> None:
    key = NoiseKey("mask/AP", "two-stage", "shapes", "mini")
    other, third = key._replace(family="retinanet"), key._replace(dataset="voc")
    elsewhere = {one: NoiseEstimate(9.0, 9, "") for one in (key._replace(tier="paper"), key._replace(metric="box/AP"))}

    def basis(noise: dict[NoiseKey, float]) -> str:
        estimates = {one: NoiseEstimate(sd, 9, "") for one, sd in noise.items()}
        return estimate_chance(cost("a", "b"), shared(), elsewhere | estimates)[1].partition(", ")[2]

    assert basis({key: 0.3, other: 0.7}) == "sd 0.3 measured"
    assert basis({key: 0.0, other: 0.7, third: 0.8}) == "sd 0.8 of other models"
    assert basis({other: 0.0}) == basis({}) == "sd 0.5 assumed"


def test_a_paper_on_an_empty_and_on_a_half_filled_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "next runs.json"
    assert main(["next", "mask_rcnn/table2c", "--hours", "3h", "--results", str(tmp_path), "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("5 claims open")
    assert text.splitlines()[-1] == f"next     lineage run --cells '{out}'"
    cells = json.loads(out.read_text())
    assert ["mask_rcnn/table2c", "roi_align", "mini", 0] in cells
    assert main(["run", "--cells", str(out), "--plan", "--results", str(tmp_path)]) == 0
    assert "0 cells done" in capsys.readouterr().out
    assert main(["next", "mask_rcnn/table2c", "--hours", "3h", "--results", str(ROOT / "results")]) == 0
    open_claims = int(capsys.readouterr().out.split()[0])
    assert 0 < open_claims < 5
