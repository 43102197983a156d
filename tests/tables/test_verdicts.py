"""The truth table of verdicts."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lineage.results.entry import Entry
from lineage.tables import samples
from lineage.tables import verdicts as judge
from lineage.tables.verdicts import CONTRADICTED, FAILED, MISSING, OFF_PROTOCOL, REPRODUCED, UNDERPOWERED
from tests.tables import made


def runs(row: str, *values: float, **changes: object) -> list[Entry]:
    return [made.entry(row, value, seed, **changes) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([], MISSING),
        (runs("old", 27.0), MISSING),
        (runs("new", 30.3), REPRODUCED),
        (runs("new", 29.5), REPRODUCED),
        (runs("new", 29.3), UNDERPOWERED),  # outside the tolerance by less than the noise of two single runs
        (runs("new", 28.0), CONTRADICTED),
        (runs("new", 33.0), CONTRADICTED),  # much better is another experiment
        (runs("new", 29.0, 29.1, 29.0), CONTRADICTED),
        (runs("new", 27.0, 31.0, 29.2), UNDERPOWERED),  # our own runs are noisier than the published ones
        (runs("new", 27.0, 31.0, 32.0), UNDERPOWERED),  # their mean is right by luck
        (runs("new", 30.0, deviations=["schedule=smoke"]), OFF_PROTOCOL),
        (runs("new", 30.0, tier="mini"), OFF_PROTOCOL),
        (runs("new", 30.0, dirty=True), OFF_PROTOCOL),
        (runs("new", 30.0, status="failed"), FAILED),
        (runs("new", 30.0, status="stopped"), FAILED),
        (runs("new", 30.0, tier="mini") + runs("new", 30.1), REPRODUCED),
    ],
)
def test_claims(entries: list[Entry], word: str) -> None:
    assert number(entries).word == word


@pytest.mark.parametrize(
    ("old", "new", "kind", "gain", "word"),
    [
        ([27.0], [30.0], "gain", 3.0, REPRODUCED),
        ([27.0], [27.3], "gain", 3.0, UNDERPOWERED),
        ([27.0], [26.0], "gain", 3.0, CONTRADICTED),
        ([27.0], [28.0], "gain", 3.0, CONTRADICTED),  # better, but not by that much
        ([27.0], [28.0], "order", None, REPRODUCED),
        ([27.0], [27.0], "order", None, UNDERPOWERED),
        ([27.0], [27.0], "equal", None, REPRODUCED),
        ([27.0], [27.3], "equal", None, UNDERPOWERED),
        ([27.0], [28.0], "equal", None, CONTRADICTED),
        ([27.0, 27.1, 26.9], [30.0, 30.1, 29.9], "gain", 3.0, REPRODUCED),
        ([20.0, 27.0, 34.0], [23.0, 30.0, 37.0], "gain", 3.0, REPRODUCED),  # what a seed does to both cancels
        ([20.0, 27.0, 34.0], [37.0, 30.0, 23.0], "gain", 3.0, UNDERPOWERED),
    ],
)
def test_effects_on_protocol(old: list[float], new: list[float], kind: str, gain: float | None, word: str) -> None:
    (verdict,) = verdicts(runs("old", *old) + runs("new", *new), kind, gain)
    assert verdict.word == word


def test_at_another_tier_only_the_sign_counts_and_only_with_seeds() -> None:
    few = runs("old", 10.0, tier="mini") + runs("new", 15.0, tier="mini")
    assert verdicts(few)[0].word == UNDERPOWERED
    many = runs("old", 10.0, 10.2, 9.9, tier="mini") + runs("new", 15.0, 15.1, 15.3, tier="mini")
    (verdict,) = verdicts(many)
    assert (verdict.word, verdict.reason, verdict.setting and verdict.setting.tier) == (REPRODUCED, "same sign", "mini")


def test_rows_are_compared_only_where_they_deviate_equally() -> None:
    apart = runs("old", 27.0, deviations=["seed_of=a"]) + runs("new", 30.0)
    assert [verdict.word for verdict in verdicts(apart)] == [OFF_PROTOCOL]
    measured_otherwise = runs("old", 27.0, evaluation_digest="f") + runs("new", 30.0)
    assert [verdict.word for verdict in verdicts(measured_otherwise)] == [OFF_PROTOCOL]
    assert verdicts(runs("new", 30.0))[0].word == MISSING
    assert verdicts(runs("new", 30.0) + runs("old", 27.0, status="failed"))[0].word == FAILED


def test_rows_that_are_one_experiment_at_a_tier_show_nothing() -> None:
    """Equal in every digit, or a little apart where a device is not deterministic: neither is a result."""
    for kind, gain in (("equal", None), ("order", None), ("gain", 3.0)):
        for shift in (0.0, 0.4):
            same = [made.entry(row, value + shift * (row == "new"), seed, tier="mini", cell_digest="r")
                    for row in ("old", "new") for seed, value in enumerate((10.0, 10.2, 9.9))]  # fmt: skip
            (verdict,) = verdicts(same, kind, gain)
            assert (verdict.word, verdict.reason) == (judge.SAME_RUN, "the rows are one experiment at this tier")
    apart = [made.entry(row, v, seed, cell_digest=row) for row in ("old", "new") for seed, v in enumerate((27, 28, 27))]
    assert verdicts(apart, "equal", None)[0].word == REPRODUCED


def test_without_known_noise_a_single_run_decides_nothing() -> None:
    verdict = number(runs("new", 30.0), dataset="cityscapes")
    assert verdict.word == UNDERPOWERED
    assert "3 seeds" in verdict.reason


def test_a_seed_counts_once_and_the_newest_run_is_its_value() -> None:
    again = made.entry("new", 31.0, 0, id="20261124T000000Z-a3d31b8b-ffffff")
    runs = samples.group_finished([again, made.entry("new", 30.0, 0), made.entry("new", 29.0, 1)])
    (sample,) = samples.collect_samples(runs["new"], "mask/AP").values()
    assert sorted(sample.values) == [29.0, 31.0]


def test_a_corrected_entry_does_not_count() -> None:
    wrong = made.entry("new", 99.0, 0)
    assert samples.drop_superseded([wrong, made.entry("new", 30.0, 1, supersedes=wrong.id)])[0].metrics == {
        "mask/AP": 30.0
    }


def test_equal_rows_are_called_different_about_as_rarely_as_stated() -> None:
    """95 % intervals: of 600 simulated tables without an effect, about 5 % may claim one."""
    chance = random.Random(0)
    words = Counter(
        verdicts(
            runs("old", *(chance.gauss(27, 0.3) for _ in range(3)))
            + runs("new", *(chance.gauss(27, 0.3) for _ in range(3))),
            "order",
            None,
        )[0].word
        for _ in range(600)
    )
    assert 0.93 <= words[UNDERPOWERED] / 600 <= 0.97


def verdicts(entries: list[Entry], kind: str = "gain", gain: float | None = 3.0) -> list[judge.Verdict]:
    table = made.table(kind, gain)
    return judge.judge_effects(table, entries)[0]


def number(entries: list[Entry], dataset: str = "coco") -> judge.Verdict:
    """Of the row `new`, for which the paper has 30.0 with a tolerance of 0.5."""
    return judge.judge_claims(made.table(dataset=dataset), entries)[1]
