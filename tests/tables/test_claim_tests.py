"""The questions of claims: how they are decided and what they still need, against closed forms."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest
from scipy import stats

from lineage.results.entry import Entry
from lineage.tables import claim_tests
from lineage.tables.claim_tests import (
    Reading,
    build_sign_question,
    build_size_question,
    describe_seeds,
    estimate_seeds,
    find_answer,
)
from lineage.tables.samples import Setting
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.statistics.sequential import compute_share
from lineage.tables.statistics.significance import Comparison, RequiredSeeds
from lineage.tables.table import Claim, Effect
from lineage.tables.table_noise import NoiseKey, SampleTable, measure_noise
from lineage.tables.verdicts import Background, Verdict, judge
from tests.tables import made

NOISE = NoiseEstimate(0.25, 6, "here")


def runs(row: str, *values: float, **changes: object) -> list[Entry]:
    return [made.entry(row, value, seed, **changes) for seed, value in enumerate(values)]


def judge_effect(entries: list[Entry], effect: Effect, lower: bool = False, **changes: object) -> list[Verdict]:
    """Judge one relation of a table without numbers."""
    table = made.table()
    rows = {name: replace(row, published={}) for name, row in table.rows.items()}
    table = replace(table, rows=rows, effects=[effect], lower=frozenset(["mask/AP"] if lower else []), **changes)
    return judge(table, entries).effects[0]


ORDER, EQUAL, GAIN = (Effect(kind, "new", "old", "mask/AP", gain, 0.5)
                      for kind, gain in (("order", None), ("equal", None), ("gain", 3.0)))  # fmt: skip


def test_distances_are_to_the_edge_that_decides() -> None:
    sign, size = build_sign_question(), build_size_question(3.0, 0.5)
    assert [(sign.distance(d), sign.is_two_sided(d)) for d in (-0.4, 0.4)] == [(0.4, True)] * 2
    answers = [(size.distance(d), size.is_two_sided(d)) for d in (2.0, 2.5, 2.75, 3.25, 3.5, 4.5)]
    assert answers == [(0.5, True), (0.0, False), (0.25, False), (0.25, False), (0.0, False), (1.0, True)]
    for difference, outcome in ((0.1, "better"), (-0.1, "worse"), (0.0, "worse")):
        comparison = Comparison(difference, 0.3, 6, 3, NOISE)
        assert sign.test(comparison) == {outcome: comparison.p_different()}


def test_a_gain_has_a_size_in_the_paper_s_own_setting_alone() -> None:
    def describe(effect: Effect, on_protocol: bool) -> list[tuple[float, float | None]]:
        return [(one.target, one.tolerance) for one in claim_tests.list_questions(effect, on_protocol, 0.25)]

    assert describe(GAIN, True) == [(0.0, None), (3.0, 0.5)]
    assert describe(GAIN, False) == describe(ORDER, True) == describe(ORDER, False) == [(0.0, None)]
    assert describe(EQUAL, True) == describe(EQUAL, False) == [(0.0, 0.125)]


def test_the_answer_is_the_most_significant_outcome_of_all_readings() -> None:
    """The larger p of the noise of now and of then, divided by what the reading may spend for 3 questions."""
    now = [Comparison(difference, error, 6, n, NOISE) for n, difference, error in ((1, 1.0, 0.4), (2, 1.4, 0.3))]
    then = [Comparison(1.0, 0.2, 6, 1, NOISE), Comparison(1.4, 0.35, 6, 2, NOISE)]
    readings = [Reading(n + 1, *pair) for n, pair in enumerate(zip(now, then, strict=True))]
    for planned in (3, 5):
        shares = [compute_share(n, 0.05 / (2 * 3), planned) for n in (1, 2)]
        expected = [2 * stats.t.sf(1.0 / 0.4, 6) / shares[0], 2 * stats.t.sf(1.4 / 0.35, 6) / shares[1]]
        answer = find_answer(build_sign_question(), readings, 3, planned)
        assert (answer.outcome, answer.n) == ("better", 2)
        assert answer.p == pytest.approx(min(1.0, *expected))


@pytest.mark.parametrize(("n", "planned", "share_at"), [(1, 3, 3), (2, 3, 3), (3, 3, 4), (7, 3, 8), (4, 5, 5)])
def test_seeds_are_estimated_for_the_next_reading(n: int, planned: int, share_at: int) -> None:
    comparison = Comparison(0.06, 0.3, 6, n, NOISE)
    share = compute_share(share_at, 0.05 / (2 * 2), planned)
    for question, distance, sides in (
        (build_sign_question(), 0.06, 2), (build_size_question(0.0, 0.14), 0.08, 1),
        (build_size_question(0.15, 0.02), 0.07, 2),
    ):  # fmt: skip
        expected = comparison.compute_required_seeds(distance, 0.04 * share / sides)
        seeds = estimate_seeds(question, Reading(n, comparison, comparison), 0.04, 2, planned)
        assert seeds == expected


def test_missing_seeds_are_described() -> None:
    tail = "the noise itself is an estimate)"
    some, open_end, none = RequiredSeeds(7, 5, 30), RequiredSeeds(4, 2, None), RequiredSeeds(None, 2, None)
    assert describe_seeds(some, 3, False) == f"about 4 more seeds would settle it (2 to 27: {tail}"
    assert describe_seeds(open_end, 3, True) == f"about 1 more seeds would settle it (1 to no end: {tail}"
    assert describe_seeds(none, 3, False) == "too close to settle"
    assert describe_seeds(none, 3, True).startswith("no number of seeds settles it: the published run")
    assert judge_effect(runs("old", 27.0) + runs("new", 27.0), ORDER)[0].reason == "too close to settle"
    (number,) = judge(replace(made.table(), effects=[]), runs("new", 30.0)).numbers[1:]
    assert number.reason == describe_seeds(RequiredSeeds(None, None, None), 1, True)


@pytest.mark.parametrize("planned", [None, 5])
def test_a_number_is_judged_with_the_noise_of_both_sides(planned: int | None) -> None:
    """Three runs with sd .1 and the published noise of .185 with 8 degrees of freedom."""
    entries = runs("new", 30.2, 30.3, 30.1)
    verdict = judge(replace(made.table(), effects=[], seeds=planned), entries).numbers[1]
    sd = sqrt((2 * 0.01 + 8 * 0.185**2) / 10)
    shares = {n: compute_share(n, 0.025, planned or 3) for n in (1, 2, 3)}
    error = sd * sqrt(1 / 3 + 1)
    assert verdict.difference == pytest.approx(0.2)
    assert verdict.margin == pytest.approx(stats.t.isf(0.025 * shares[3], 10) * error)
    inside = [stats.t.sf((0.5 - mean) / (sd * sqrt(1 / n + 1)), 10) / shares[n]
              for n, mean in ((1, 0.2), (2, 0.25), (3, 0.2))]  # fmt: skip
    assert verdict.p == pytest.approx(min(1.0, *inside))
    assert verdict.noise.startswith(f"noise of seeds: sd {sd:.2g} from all rows here (2 df) and arXiv:1706.02677")


def test_the_setting_with_the_most_seeds_counts_and_of_equals_the_first() -> None:
    def evaluation(*entries: list[Entry]) -> str:
        verdict = judge(made.table(), [one for of_test in entries for one in of_test]).numbers[1]
        assert verdict.setting is not None
        return verdict.setting.evaluation

    first, second = runs("new", 30.0, evaluation_digest="a"), runs("new", 30.0, 30.1, evaluation_digest="b")
    assert evaluation(first, second) == evaluation(second, first) == "b"
    assert evaluation(second[:1], first) == evaluation(first, second[:1]) == "a"


def test_the_paper_s_own_setting_is_judged_first() -> None:
    entries = [
        one for row in ("old", "new") for tier in ("mini", "smoke", "paper") for one in runs(row, 27.0, tier=tier)
    ]
    entries += [one for row in ("old", "new") for one in runs(row, 27.0, deviations=["roi=pool"])]
    settings = [verdict.setting for verdict in judge_effect(entries, ORDER)]
    assert list(map(str, settings)) == ["paper", "mini", "paper roi=pool", "smoke"]


@pytest.mark.parametrize("lower", [False, True])
def test_better_is_less_where_the_table_says_so(lower: bool) -> None:
    low, high = (27.0, 27.1, 26.9), (30.0, 30.1, 29.9)
    better, worse = (low, high) if lower else (high, low)
    for effect in (ORDER, GAIN):
        (verdict,) = judge_effect(runs("new", *better) + runs("old", *worse), effect, lower)
        assert (verdict.word, verdict.difference, verdict.reason) == ("reproduced", pytest.approx(3.0), "")
        (turned,) = judge_effect(runs("old", *better) + runs("new", *worse), effect, lower)
        assert (turned.word, turned.difference) == ("contradicted", pytest.approx(-3.0))
        assert turned.reason == "the other way round"
    mini = runs("old", *better, tier="mini") + runs("new", *worse, tier="mini")
    assert [(one.word, one.reason) for one in judge_effect(mini, GAIN, lower)] == [("opposite sign at mini", "")]
    (apart,) = judge_effect(runs("old", *better) + runs("new", *worse), EQUAL, lower)
    assert (apart.word, apart.reason) == ("contradicted", "")
    (same,) = judge_effect(runs("old", 27.0, 27.1, 26.9) + runs("new", 27.0, 27.0, 27.1), EQUAL, lower)
    assert (same.word, same.reason) == ("reproduced", "")
    (size,) = judge_effect(runs("new", *better) + runs("old", *worse), replace(GAIN, gain=1.0), lower)
    assert (size.word, size.reason) == ("contradicted", "same sign, another size")


def test_test_images_are_noise_too_if_every_run_has_replicates() -> None:
    entries = runs("old", 27.0, 27.2) + runs("new", 30.0, 30.4)
    draws = [[27.0, 28.0, 26.0], [27.0, 27.0, 27.0], [30.0, 32.0, 28.0], [30.0, 30.0, 31.0]]
    images = {entry.id: {"mask/AP": values} for entry, values in zip(entries, draws, strict=True)}
    table = replace(made.table("order", None), effects=[ORDER])
    setting, samples = Setting("paper", (), "e"), SampleTable(table, entries, {})
    variance = samples.estimate_image_variance(("new", "old"), "mask/AP", setting, images)
    assert variance == pytest.approx(0.25 / 3)  # of 3, 3.5 and 3
    assert variance != samples.estimate_image_variance(("new", "new"), "mask/AP", setting, images) == 0.0
    plain, both = (judge(table, entries, Background(images=one)).effects[0][0] for one in ({}, images))
    assert plain.noise.startswith("noise of seeds: ")
    assert both.noise.startswith("noise of seeds and images: ")
    assert both.margin is not None
    assert plain.margin is not None
    assert both.margin > plain.margin + 0.1
    del images[entries[0].id]
    assert samples.estimate_image_variance(("new", "old"), "mask/AP", setting, images) is None


def test_a_tolerance_is_scaled_by_the_rows_that_have_both_numbers() -> None:
    table = made.table()
    table = replace(table, rows=table.rows | {"more": replace(table.rows["new"], name="more", published={})})

    def scale(entries: list[Entry], tier: str = "mini") -> float:
        return SampleTable(table, entries, {}).scale_tolerance("mask/AP", Setting(tier, (), "e"))

    assert scale(runs("old", 9.0, tier="mini") + runs("new", 12.0, 14.0, tier="mini")) == pytest.approx(11 / 28.5)
    assert scale(runs("old", 9.0, tier="mini") + runs("more", 20.0, tier="mini")) == pytest.approx(9 / 27)
    assert scale(runs("old", 54.0, tier="mini")) == 1.0
    assert scale(runs("old", 9.0), "paper") == scale(runs("more", 9.0, tier="mini")) == 1.0


def test_the_prior_is_what_this_store_measured_if_it_measured_enough() -> None:
    choices = {"model": "mask_rcnn", "dataset": "coco"}
    key = NoiseKey("mask/AP", "two-stage", "coco", "paper")

    def prior(df: int, dataset: str = "coco", **changes: object) -> float | None:
        entries = runs("old", 27.0, choices=choices, **changes) + runs("new", 28.0, choices=choices, **changes)
        samples = SampleTable(made.table(dataset=dataset), entries, {key: NoiseEstimate(0.5, df, "store")})
        noise = samples.noise("mask/AP", next(iter(samples.find("old", "mask/AP")))).single
        return None if noise is None else noise.sd

    assert [prior(7), prior(8)] == [0.185, 0.5]
    assert prior(7, dataset="cityscapes") == 0.5
    assert [prior(7, dirty=True), prior(7, deviations=["roi=pool"]), prior(8, tier="mini")] == [0.185, 0.5, None]


def test_rows_of_the_store_that_test_the_same_checkpoints_count_once() -> None:
    choices = {"model": "mask_rcnn", "dataset": "coco"}
    entries = [made.entry(row, value, seed, training_digest=training, choices=choices)
               for row, training in (("a", "t"), ("b", "t"), ("c", "u"))
               for seed, value in enumerate((30.0, 31.0, 29.0))]  # fmt: skip
    (noise,) = measure_noise(entries, ["mask/AP"]).values()
    assert (noise.sd, noise.df, noise.source) == (pytest.approx(1.0), 4, "other tables of this store (4 df)")


def test_a_claim_of_the_file_has_its_own_tolerance() -> None:
    stated = Claim("new", "mask/AP", 30.0, 5.0)
    table = replace(made.table(), values={("new", "mask/AP"): stated}, effects=[])
    assert [claim.tolerance for claim in table.claims] == [0.5, 5.0]
    assert [judge(one, runs("new", 29.0)).numbers[1].word for one in (table, made.table())] == [
        "reproduced", "underpowered",
    ]  # fmt: skip
