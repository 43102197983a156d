"""A column by hand: each row minus the baseline, the best row, the difference to the paper."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineage.results.entry import Entry
from lineage.tables.column import Column, Delta, build_columns
from lineage.tables.statistics.student_t import t_isf
from lineage.tables.table import Table
from lineage.tables.verdicts import SAME_RUN
from tests.tables import made


def runs(row: str, *values: float, first: int = 0, tier: str = "mini", **changes: object) -> list[Entry]:
    return [made.entry(row, value, first + seed, tier=tier, **changes) for seed, value in enumerate(values)]


def column(entries: list[Entry], table: Table | None = None) -> Column:
    (found,) = (one for one in build_columns(table or made.table(), entries) if one.metric == "mask/AP")
    return found


def test_without_known_noise_a_delta_is_a_difference_alone() -> None:
    """One run of each at a small tier, for which no noise is published."""
    deltas = column(runs("old", 12.0) + runs("new", 14.5)).deltas()
    assert deltas == {"new": Delta(2.5)}
    assert deltas["new"].format(1) == "+2.5"
    fewer = column(runs("old", 12.0) + runs("new", 11.5)).deltas()
    assert fewer["new"].format(2) == "-0.50"


def test_one_run_of_each_has_the_published_noise() -> None:
    """COCO: 0.15 of each run, so the 95 % interval of a difference is 1.96 x 0.15 x sqrt(2) = 0.416 to either side."""
    delta = column(runs("old", 27.0, tier="paper") + runs("new", 30.3, tier="paper")).deltas()["new"]
    assert delta.difference == pytest.approx(3.3)
    assert delta.margin == pytest.approx(1.959964 * 0.15 * 2**0.5)
    assert delta.format(1) == "+3.3 ± 0.4*"
    close = column(runs("old", 27.0, tier="paper") + runs("new", 27.4, tier="paper")).deltas()["new"]
    assert close.format(1) == "+0.4 ± 0.4"


def test_equal_seeds_are_compared_pair_by_pair() -> None:
    """Differences 2.0, 2.1, 1.9: mean 2, sd 0.1, margin t(0.975, 2) x 0.1 / sqrt(3)."""
    delta = column(runs("old", 10.0, 13.0, 16.0) + runs("new", 12.0, 15.1, 17.9)).deltas()["new"]
    assert delta.difference == pytest.approx(2.0)
    assert delta.margin == pytest.approx(t_isf(0.025, 2) * 0.1 / 3**0.5)
    assert t_isf(0.025, 2) == pytest.approx(4.302653, rel=1e-6)
    assert delta.format(1).endswith("*")


def test_p_is_corrected_for_the_number_of_rows() -> None:
    """Holm: of two comparisons the smaller p is doubled, so what alone is significant need not be."""
    base, near, far = runs("old", 10.0, 10.0, 10.0), (10.5, 10.6, 10.9), (12.0, 12.01, 12.02)
    alone = column(base + runs("new", *near)).deltas()["new"]
    three = made.table()
    three = replace(three, rows=three.rows | {"more": replace(three.rows["new"], name="more")})
    both = column(base + runs("new", *near) + runs("more", *far), three).deltas()
    assert both["new"].p == pytest.approx(alone.p)  # the larger of the two
    single = column(base + runs("more", *far), three).deltas()["more"]
    assert both["more"].p == pytest.approx(2 * (single.p or 0.0))


def test_a_row_that_repeats_the_baseline_has_no_difference() -> None:
    deltas = column(runs("old", 12.0, cell_digest="same") + runs("new", 14.5, cell_digest="same")).deltas()
    assert deltas["new"].same
    assert deltas["new"].format(1) == SAME_RUN
    assert column(runs("new", 14.5)).deltas() == {}  # nothing of the baseline


def test_the_best_row_is_better_than_each_other_with_certainty() -> None:
    old = runs("old", 27.0, tier="paper")
    assert column(old + runs("new", 28.0, tier="paper")).best() == "new"
    assert column(old + runs("new", 27.3, tier="paper")).best() is None
    lower = replace(made.table(), lower=frozenset(["mask/AP"]))
    assert column(old + runs("new", 28.0, tier="paper"), lower).best() == "old"
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
