"""The truth table of verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lineage.results.entry import Entry
from lineage.tables import samples
from lineage.tables import verdicts as judge
from lineage.tables.model_facts import Measure
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.table import Effect
from lineage.tables.table_noise import NoiseKey, measure_noise
from lineage.tables.verdicts import (
    CONTRADICTED,
    FAILED,
    MISSING,
    NO_VERDICT,
    NOT_LEARNED,
    NOT_MEASURED,
    OFF_PROTOCOL,
    REPRODUCED,
    SAME_SIGN,
    UNDERPOWERED,
)
from tests.tables import made

LINES = {"mask_rcnn": {"mask/AP": Measure(untrained=0.1, reached=27.3, floor=13.7)}}


def runs(row: str, *values: float, **changes: object) -> list[Entry]:
    return [made.entry(row, value, seed, **changes) for seed, value in enumerate(values)]


@pytest.mark.parametrize(
    ("entries", "word"),
    [
        ([], MISSING),
        (runs("old", 27.0), MISSING),
        (runs("new", 30.0), UNDERPOWERED),  # the noise of one run and of the paper's is as wide as the tolerance
        (runs("new", 30.0, 30.1, 29.9), REPRODUCED),
        (runs("new", 29.5, 29.6, 29.4), UNDERPOWERED),  # inside or outside by luck: no point estimate decides
        (runs("new", 29.0), UNDERPOWERED),
        (runs("new", 28.0, 28.1, 27.9), CONTRADICTED),
        (runs("new", 33.0, 33.1, 32.9), CONTRADICTED),  # much better is another experiment
        (runs("new", 27.0, 31.0, 29.2), UNDERPOWERED),  # our own runs are noisier than the published ones
        (runs("new", 27.0, 31.0, 32.0), UNDERPOWERED),  # their mean is right by luck
        (runs("new", 30.0, deviations=["schedule=smoke"]), OFF_PROTOCOL),
        (runs("new", 30.0, tier="mini"), OFF_PROTOCOL),
        (runs("new", 30.0, dirty=True), OFF_PROTOCOL),
        (runs("new", 30.0, status="failed"), FAILED),
        (runs("new", 30.0, status="stopped"), FAILED),
        (runs("new", 30.0, metrics={}), NOT_MEASURED),
        (runs("new", 30.0, tier="mini") + runs("new", 30.1, 30.0, 30.0), REPRODUCED),
        (runs("new", 0.0, 0.0, 0.0), NOT_LEARNED),
    ],
)
def test_claims(entries: list[Entry], word: str) -> None:
    assert number(entries).word == word


@pytest.mark.parametrize(
    ("old", "new", "kind", "gain", "word"),
    [
        ([27.0], [30.0], "gain", 3.0, SAME_SIGN),  # of one run each the sign is clear, the size is not
        ([27.0], [27.3], "gain", 3.0, UNDERPOWERED),
        ([27.0], [25.0], "gain", 3.0, CONTRADICTED),
        ([27.0, 27.1, 26.9], [28.0, 28.1, 27.9], "gain", 3.0, CONTRADICTED),  # better, but not by that much
        ([27.0, 27.1, 26.9], [28.0, 28.1, 27.9], "order", None, REPRODUCED),
        ([27.0], [27.0], "order", None, UNDERPOWERED),
        ([27.0], [27.0], "equal", None, UNDERPOWERED),
        ([27.0, 27.1, 26.9], [27.0, 27.0, 27.1], "equal", None, REPRODUCED),
        ([27.0], [27.3], "equal", None, UNDERPOWERED),
        ([27.0, 27.1, 26.9], [28.0, 28.1, 27.9], "equal", None, CONTRADICTED),
        ([27.0, 27.1, 26.9], [30.0, 30.1, 29.9], "gain", 3.0, REPRODUCED),
        ([24.0, 27.0, 30.0, 27.5, 26.5], [27.0, 30.0, 33.0, 30.6, 29.4], "gain", 3.0, REPRODUCED),  # by seed
        ([24.0, 27.0, 30.0, 27.5, 26.5], [33.0, 30.0, 27.0, 29.4, 30.6], "gain", 3.0, UNDERPOWERED),
    ],
)
def test_effects_on_protocol(old: list[float], new: list[float], kind: str, gain: float | None, word: str) -> None:
    (verdict,) = verdicts(runs("old", *old) + runs("new", *new), kind, gain)
    assert verdict.word == word


def test_below_tier_paper_the_words_name_the_tier() -> None:
    few = runs("old", 10.0, tier="mini") + runs("new", 15.0, tier="mini")
    assert verdicts(few)[0].word == UNDERPOWERED
    many = runs("old", 10.0, 10.2, 9.9, tier="mini") + runs("new", 15.0, 15.1, 15.3, tier="mini")
    (verdict,) = verdicts(many)
    assert (verdict.word, verdict.setting and verdict.setting.tier) == ("same sign at mini", "mini")
    assert "noise of seeds" in verdict.noise
    turned = runs("new", 10.0, 10.2, 9.9, tier="mini") + runs("old", 15.0, 15.1, 15.3, tier="mini")
    assert verdicts(turned)[0].word == "opposite sign at mini"
    assert verdicts(turned, "equal", None)[0].word == "difference seen at mini"
    equal = [e for row in ("old", "new") for e in runs(row, *(10.0 + i % 5 / 100 for i in range(10)), tier="mini")]
    assert verdicts(equal, "equal", None)[0].word == "no difference seen at mini"
    assert judge.strip_tier("same sign at mini") == SAME_SIGN


def test_a_tolerance_shrinks_with_the_metric_of_the_tier() -> None:
    """0.5 of 28.5 AP at tier paper is 0.09 of 5 AP at tier mini: a difference of 0.3 there is one."""
    entries = [
        e for row, mean in (("old", 5.0), ("new", 5.3)) for e in runs(row, mean, mean + 0.04, mean - 0.04, tier="mini")
    ]
    (verdict,) = verdicts(entries, "equal", None)
    assert verdict.word == "difference seen at mini"
    assert "tolerance 0.09 here" in verdict.reason


def test_there_is_no_verdict_at_tier_smoke() -> None:
    entries = runs("old", 10.0, 10.2, 9.9, tier="smoke") + runs("new", 15.0, 15.1, 15.3, tier="smoke")
    assert verdicts(entries)[0].word == NO_VERDICT


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        (0.0, 0.0, NOT_LEARNED),  # 4 steps: equal in every digit
        (0.1, 20.0, NOT_LEARNED),  # one row is at the level of random weights
        (4.0, 5.0, NOT_LEARNED),  # both below two fifths of the floor
        (4.0, 6.0, "same sign at mini"),
    ],
)
def test_rows_that_have_not_learned_show_nothing(old: float, new: float, word: str) -> None:
    entries = [made.entry(row, value + shift, seed, tier="mini") for row, value in (("old", old), ("new", new))
               for seed, shift in enumerate((0.0, 0.0 if value < 1 else 0.05, 0.0))]  # fmt: skip
    table = made.table("order", None)
    ((verdict,),) = judge.judge(table, entries, judge.Background(LINES)).effects
    assert verdict.word == word
    assert (word != NOT_LEARNED) == (not verdict.reason or "settle" in verdict.reason)
    if (old, new) == (4.0, 5.0):
        assert verdict.reason == (  # 0.1 + 0.4 * (13.7 - 0.1)
            "mask/AP is 5.0 at most, below 5.5: 40% of the way from random weights (0.1) to the floor of its model "
            "(13.7), which counts at this tier"
        )


def test_more_seeds_weaken_a_verdict_only_by_more_noise() -> None:
    """The rows come closer with each seed; what was shown with three stays, unless the noise was underestimated."""
    old, new = [27.0, 27.1, 26.9], [28.0, 28.1, 27.9]
    words = []
    for _ in range(4):
        words.append(verdicts(runs("old", *old) + runs("new", *new), "order", None)[0].word)
        old, new = [*old, 27.3], [*new, 27.6]
    assert words == [REPRODUCED] * 4
    assert verdicts(runs("old", *old, 30.0) + runs("new", *new, 25.0), "order", None)[0].word == UNDERPOWERED


def test_rows_are_compared_only_where_they_deviate_equally() -> None:
    apart = runs("old", 27.0, deviations=["seed_of=a"]) + runs("new", 30.0)
    assert [verdict.word for verdict in verdicts(apart)] == [OFF_PROTOCOL]
    measured_otherwise = runs("old", 27.0, evaluation_digest="f") + runs("new", 30.0)
    assert [verdict.word for verdict in verdicts(measured_otherwise)] == [OFF_PROTOCOL]
    assert verdicts(runs("new", 30.0))[0].word == MISSING
    assert verdicts(runs("new", 30.0) + runs("old", 27.0, status="failed"))[0].word == FAILED
    without = verdicts(runs("new", 30.0) + runs("old", 27.0, metrics={}))[0]
    assert (without.word, without.reason) == (NOT_MEASURED, "no run at tier paper measures mask/AP")


def test_rows_that_are_one_experiment_at_a_tier_show_nothing() -> None:
    """Equal in every digit, or a little apart where a device is not deterministic: neither is a result."""
    for kind, gain in (("equal", None), ("order", None), ("gain", 3.0)):
        for shift in (0.0, 0.4):
            same = [made.entry(row, value + shift * (row == "new"), seed, tier="mini", cell_digest="r")
                    for row in ("old", "new") for seed, value in enumerate((10.0, 10.2, 9.9))]  # fmt: skip
            (verdict,) = verdicts(same, kind, gain)
            assert (verdict.word, verdict.reason) == (judge.SAME_RUN, "the rows are one experiment at this tier")
    apart = [made.entry(row, 27 + v / 10, seed, cell_digest=row) for row in ("old", "new")
             for seed, v in enumerate((0, 1, 0))]  # fmt: skip
    assert verdicts(apart, "equal", None)[0].word == REPRODUCED


def test_without_known_noise_a_single_run_decides_nothing() -> None:
    verdict = number(runs("new", 30.0), dataset="cityscapes")
    assert verdict.word == UNDERPOWERED
    assert "three seeds" in verdict.reason


def test_all_questions_of_a_table_are_one_family_and_deviations_are_another() -> None:
    paper = runs("old", 27.0, 27.1, 26.9) + runs("new", 30.0, 30.1, 29.9)
    mini = [e for row in ("old", "new") for e in runs(row, 10.0, 10.1, 10.3, tier="mini")]
    other = [e for row in ("old", "new") for e in runs(row, 10.0, 10.1, 10.3, deviations=["optimizer.lr=1"])]
    families = judge.judge(made.table(), paper + mini + other).families
    assert [(family.name, family.size) for family in families] == [("", 2 + 2 + 1), ("paper optimizer.lr=1", 1)]


def test_an_undecided_claim_has_an_estimate_with_its_uncertainty() -> None:
    (verdict,) = verdicts(runs("old", 27.0, 27.3, 26.8) + runs("new", 27.4, 27.6, 27.2), "order", None)
    assert verdict.word == UNDERPOWERED
    assert verdict.seeds is not None
    best, low, high = verdict.seeds
    assert 3 < low < best < high  # type: ignore[operator]
    assert f"about {best - 3} more seeds" in verdict.reason  # type: ignore[operator]
    assert f"({low - 3} to {high - 3}" in verdict.reason  # type: ignore[operator]


def test_noise_that_the_store_has_measured_counts_before_published_noise() -> None:
    elsewhere = [made.entry(row, value, seed, table="other/table", choices={"model": "mask_rcnn", "dataset": "coco"})
                 for row in "abcd" for seed, value in enumerate((30.0, 31.0, 29.0))]  # fmt: skip
    measured = measure_noise(elsewhere, ["mask/AP"])
    (noise,) = measured.values()
    assert (noise.sd, noise.df) == (pytest.approx(1.0), 8)
    assert measured.keys() == {NoiseKey("mask/AP", "two-stage", "coco", "paper")}
    ours = [replace(entry, choices=elsewhere[0].choices) for entry in runs("old", 27.0) + runs("new", 28.5)]
    ((verdict,),) = judge.judge(made.table("order", None), ours, judge.Background(measured=measured)).effects
    assert verdict.word == UNDERPOWERED
    assert "other tables of this store (8 df)" in verdict.noise
    mini = {key._replace(tier="mini"): NoiseEstimate(0.1, 8, "mini") for key in measured}
    entries = [replace(entry, tier="mini") for entry in ours]
    ((verdict,),) = judge.judge(made.table("order", None), entries, judge.Background(measured=mini)).effects
    assert verdict.word == "same sign at mini"


def test_a_repeated_seed_counts_once_with_the_mean_of_its_runs() -> None:
    """Whatever the clocks of the machines say."""
    again = made.entry("new", 31.0, 0, id="20361124T000000Z-a3d31b8b-ffffff")
    entries = [again, made.entry("new", 30.0, 0), made.entry("new", 29.0, 1)]
    for held in (entries, entries[::-1]):
        (sample,) = samples.collect_samples(samples.group_finished(held)["new"], "mask/AP").values()
        assert (sample.values, sample.seeds) == ((30.5, 29.0), (0, 1))
        ((row, _, seed, repetitions),) = samples.find_repetitions(held)
        assert (row, seed, len(repetitions)) == ("new", 0, 2)


def test_no_clock_decides_which_experiment_counts() -> None:
    """A run whose clock is a year ahead does not push out three good ones; nor does another folder of the data."""
    good = runs("new", 30.0, 30.1, 29.9, cell_digest="row", dataset={"train": "a"})
    ahead = made.entry("new", 99.0, 7, id="20271124T000000Z-ffffffff-ffffff", cell_digest="other")
    moved = replace(good[2], config_digest="b" * 64)  # another dataset.root, the same images
    (sample,) = samples.collect_samples(samples.group_finished([*good[:2], moved, ahead])["new"], "mask/AP").values()
    assert sample.values == (30.0, 30.1, 29.9)
    ((row, _, left_out),) = samples.find_left_out([*good, ahead])
    assert (row, left_out) == ("new", [ahead])
    other_images = made.entry("new", 99.0, 8, cell_digest="row", dataset={"train": "b"})
    (sample,) = samples.collect_samples(samples.group_finished([*good, other_images])["new"], "mask/AP").values()
    assert sample.n == 3


def test_a_corrected_entry_does_not_count() -> None:
    wrong = made.entry("new", 99.0, 0)
    assert samples.drop_superseded([wrong, made.entry("new", 30.0, 1, supersedes=wrong.id)])[0].metrics == {
        "mask/AP": 30.0
    }


def verdicts(entries: list[Entry], kind: str = "gain", gain: float | None = 3.0) -> list[judge.Verdict]:
    """Judge the relation alone; the numbers of the table are of the same family."""
    table = replace(made.table(kind, gain), rows=made.table().rows | {})
    assert all(isinstance(effect, Effect) for effect in table.effects)
    return judge.judge(table, entries).effects[0]


def number(entries: list[Entry], dataset: str = "coco") -> judge.Verdict:
    """Of the row `new`, for which the paper has 30.0 with a tolerance of 0.5."""
    return judge.judge(made.table(dataset=dataset), entries).numbers[1]


def test_published_noise_is_that_of_the_paper_s_own_setting() -> None:
    """A run that deviates may have any noise: of one run of each, none is known."""
    deviating = [made.entry(row, value, deviations=["optimizer.lr=1"]) for row, value in (("old", 20.0), ("new", 30.0))]
    (verdict,) = verdicts(deviating, "order", None)
    assert (verdict.word, verdict.margin) == (UNDERPOWERED, None)
    uncommitted = [made.entry(row, value, dirty=True) for row, value in (("old", 20.0), ("new", 30.0))]
    assert verdicts(uncommitted, "order", None)[0].word == SAME_SIGN
