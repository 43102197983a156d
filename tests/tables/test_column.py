"""A column by hand: each row minus the baseline, the best row, the difference to the paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineage.results.entry import Entry
from lineage.tables.column import Column, Delta, build_columns
from lineage.tables.numbers import count_decimals, find_unit
from lineage.tables.statistics.sequential import compute_share
from lineage.tables.statistics.student_t import t_isf, t_sf
from lineage.tables.table import Table
from lineage.tables.verdicts import SAME_RUN, judge
from tests.tables import made


def runs(row: str, *values: float, first: int = 0, tier: str = "mini", **changes: object) -> list[Entry]:
    return [made.entry(row, value, first + seed, tier=tier, **changes) for seed, value in enumerate(values)]


def column(entries: list[Entry], table: Table | None = None) -> Column:
    table = table or made.table()
    (found,) = (one for one in build_columns(table, entries, judge(table, entries)) if one.metric == "mask/AP")
    return found


def test_without_known_noise_a_delta_is_a_difference_alone() -> None:
    """One run of each at a small tier, for which no noise is published."""
    deltas = column(runs("old", 12.0) + runs("new", 14.5)).deltas()
    assert deltas == {"new": Delta(2.5)}
    assert deltas["new"].format(1) == "+2.5"
    fewer = column(runs("old", 12.0) + runs("new", 11.5)).deltas()
    assert fewer["new"].format(2) == "-0.50"


def test_one_run_of_each_has_the_published_noise() -> None:
    """Mask AP on COCO: 0.185 of each run, with 8 degrees of freedom; a first reading has 0.089 of the level."""
    delta = column(runs("old", 27.0, tier="paper") + runs("new", 30.3, tier="paper")).deltas()["new"]
    assert delta.difference == pytest.approx(3.3)
    assert delta.margin == pytest.approx(t_isf(0.025 * 0.8 / 9, 8) * 0.185 * 2**0.5, rel=1e-5)
    assert delta.format(1) == "+3.3 ± 1.0*"
    close = column(runs("old", 27.0, tier="paper") + runs("new", 27.4, tier="paper")).deltas()["new"]
    assert close.format(1) == "+0.4 ± 1.0"


def test_few_seeds_are_compared_with_pooled_noise() -> None:
    """Of two rows with three seeds each: sd 3, t with 4 degrees of freedom, at the level that the third reading has."""
    delta = column(runs("old", 10.0, 13.0, 16.0) + runs("new", 12.0, 15.0, 18.0)).deltas()["new"]
    assert delta.difference == pytest.approx(2.0)
    share = compute_share(3, 0.025)
    assert delta.margin == pytest.approx(t_isf(0.025 * share, 4) * 3.0 * (2 / 3) ** 0.5)
    assert t_isf(0.025, 2) == pytest.approx(4.302653, rel=1e-6)
    assert not delta.format(1).endswith("*")


def test_equal_seeds_are_compared_pair_by_pair_where_seeds_have_an_effect() -> None:
    """Differences 2, 2.1, 1.9, 2, 2: sd 0.0707, margin of t with 4 degrees of freedom x 0.0707 / sqrt(5)."""
    old, new = (10.0, 13.0, 16.0, 11.0, 12.0), (12.0, 15.1, 17.9, 13.0, 14.0)
    delta = column(runs("old", *old) + runs("new", *new)).deltas()["new"]
    assert delta.difference == pytest.approx(2.0)
    level = 0.025 * compute_share(5, 0.025)
    assert delta.margin == pytest.approx(t_isf(level, 4) * 0.005**0.5 / 5**0.5)
    assert delta.format(1).endswith("*")


def test_p_is_corrected_for_the_number_of_rows() -> None:
    """Holm: of two comparisons the smaller p is doubled. The noise is that of all three rows, with 6 degrees."""
    values = {"old": (10.0, 10.2, 10.1), "new": (10.6, 10.5, 10.4), "more": (12.1, 12.0, 12.2)}
    three = made.table()
    three = replace(three, rows=three.rows | {"more": replace(three.rows["new"], name="more")})
    deltas = column([entry for row, of_row in values.items() for entry in runs(row, *of_row)], three).deltas()
    share = compute_share(3, 0.0125)
    for row, difference, count in (("new", 0.4, 1), ("more", 2.0, 2)):
        p = 2 * t_sf(difference / (0.1 * (2 / 3) ** 0.5), 6)
        assert deltas[row].p == pytest.approx(count * p / share)


def test_a_row_that_repeats_the_baseline_has_no_difference() -> None:
    deltas = column(runs("old", 12.0, cell_digest="same") + runs("new", 14.5, cell_digest="same")).deltas()
    assert deltas["new"].same
    assert deltas["new"].format(1) == SAME_RUN
    assert column(runs("new", 14.5)).deltas() == {}  # nothing of the baseline


def test_the_best_row_is_better_than_each_other_with_certainty() -> None:
    old = runs("old", 27.0, tier="paper")
    assert column(old + runs("new", 29.0, tier="paper")).best() == "new"
    assert column(old + runs("new", 27.3, tier="paper")).best() is None
    lower = replace(made.table(), lower=frozenset(["mask/AP"]))
    assert column(old + runs("new", 29.0, tier="paper"), lower).best() == "old"
    assert column(old).best() is None
    three = made.table()
    three = replace(three, rows=three.rows | {"more": replace(three.rows["new"], name="more")})
    tie = old + runs("new", 29.0, tier="paper") + runs("more", 28.9, tier="paper")
    assert column(tie, three).best() is None


def test_the_difference_to_the_paper_is_of_its_own_setting_alone() -> None:
    row = made.table().rows["new"]
    assert column(runs("new", 30.3, tier="paper")).difference(row) == pytest.approx(0.3)
    assert column(runs("new", 30.3)).difference(row) is None
    assert column(runs("new", 30.3, tier="paper", deviations=["roi=pool"])).difference(row) is None
    assert column(runs("new", 30.3, tier="paper")).difference(replace(row, published={})) is None


@pytest.mark.parametrize(("value", "decimals"), [(30.0, 1), (30.25, 2), (30.1234, 3), (0.1 + 0.2, 1)])
def test_decimals_are_those_that_the_paper_prints(value: float, decimals: int) -> None:
    rows = {name: replace(row, published={"mask/AP": value}) for name, row in made.table().rows.items()}
    assert column(runs("new", 30.3), replace(made.table(), rows=rows)).decimals == decimals


def test_a_cell_without_a_run_says_why() -> None:
    rows = {
        name: replace(made.table().rows["old"], name=name, **changes)
        for name, changes in {
            "ran": {}, "absent": {}, "broke": {}, "halted": {},
            "later": {"unsupported": "no head"}, "theirs": {"quoted": "another system"},
        }.items()
    }  # fmt: skip
    table = replace(made.table(), rows=rows, effects=[], baseline="ran")
    lost = [made.entry("broke", None, status="failed"), made.entry("halted", None, status="stopped")]
    words = column(runs("ran", 27.0, tier="paper") + lost, table).verdicts
    assert [words[name] for name in ("absent", "broke", "halted", "later", "theirs")] == [
        "missing", "failed", "stopped", "unsupported", "quoted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "unit", "decimals"),
    [("box/AP", "%", 1), ("calibration/NLL", "nats", 3), ("explain/seconds", "s", 3), ("frame/PSNR", "dB", 2)],
)
def test_units_and_decimals_of_metrics(metric: str, unit: str, decimals: int) -> None:
    assert (find_unit(metric), count_decimals(metric)) == (unit, decimals)


def test_a_column_is_titled_with_its_metric_its_unit_and_its_direction() -> None:
    lower = replace(made.table(), lower=frozenset(["mask/AP"]))
    entries = runs("new", 30.3, parameters=44_000_000)
    titles = {}
    for table in (made.table(), lower):
        for one in build_columns(table, entries, judge(table, entries)):
            titles[one.title()] = (one.sign, one.cost, one.decimals)
    assert titles == {
        "AP (mask/AP, %, higher is better)": (1, False, 1),
        "AP (mask/AP, %, lower is better)": (-1, False, 1),
        "params (M) (cost/parameters_m, parameters, millions, lower is better)": (-1, True, 1),
    }


def test_columns_are_those_of_the_paper_s_setting_first_and_costs_where_they_were_measured() -> None:
    entries = [
        *runs("new", 12.0, tier="smoke", peak_memory=2_000_000_000), *runs("new", 30.0, 30.1, 29.9, tier="paper"),
        *runs("new", 20.0, tier="mini"), *runs("old", 20.0, tier="mini", deviations=["roi=pool"]),
        made.entry("old", None, tier="paper", status="failed"),
    ]  # fmt: skip
    table = made.table()
    columns = list(build_columns(table, entries, judge(table, entries)))
    shown = [(one.metric, str(one.setting), one.samples.keys(), one.verdicts) for one in columns]
    assert shown == [
        ("mask/AP", "paper", {"new"}, {"old": "failed", "new": "reproduced"}),
        ("mask/AP", "mini", {"new"}, {"old": "missing", "new": "off protocol"}),
        ("mask/AP", "mini roi=pool", {"old"}, {"old": "off protocol", "new": "missing"}),
        ("mask/AP", "smoke", {"new"}, {"old": "missing", "new": "no verdict"}),
        ("cost/memory_gb", "smoke", {"new"}, {}),
    ]  # fmt: skip


def test_the_best_row_is_the_first_by_its_p_value_at_this_reading() -> None:
    """0.185 of each run with 8 degrees of freedom, for one run of each row."""
    lower = replace(made.table(), lower=frozenset(["mask/AP"]))
    outcomes = set()
    for step in range(-40, 41):
        difference = step / 20
        entries = runs("old", 27.0, tier="paper") + runs("new", 27.0 + difference, tier="paper")
        p = 2 * t_sf(abs(difference) / (0.185 * 2**0.5), 8) / compute_share(1, 0.025)
        better, worse = ("new", "old") if difference > 0 else ("old", "new")
        assert column(entries).best() == (better if p <= 0.05 else None)
        assert column(entries, lower).best() == (worse if p <= 0.05 else None)
        outcomes.add(column(entries).best())
        if p > 0:
            assert column(entries).deltas()["new"].p == pytest.approx(min(1.0, p))
    assert outcomes == {"old", "new", None}


def test_an_empty_table_has_a_column_per_metric_and_none_of_costs() -> None:
    table = made.table()
    (empty,) = build_columns(table, [], judge(table, []))
    assert (empty.metric, empty.setting, empty.samples, empty.noise.single) == ("mask/AP", None, {}, None)
    assert empty.verdicts == {"old": "missing", "new": "missing"}
    failed = [made.entry("old", None, status="failed"), made.entry("old", None, 1, status="stopped")]
    (empty,) = build_columns(table, failed, judge(table, failed))
    assert empty.verdicts == {"old": "failed", "new": "missing"}
