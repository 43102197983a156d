"""Does the paper's claim hold here? Table x entries -> verdicts. A pure function: it reads no file and no clock.

A paper's number is compared only with runs of exactly its protocol: tier `paper`, no deviations, committed code. An
ablation claims a difference between rows, and that can be checked at any cost: two rows are compared if they deviate
equally, were measured on the same thing and ran at the same tier. The verdict names that setting.

A verdict holds with 95 % confidence for all claims of a table together (Holm's correction): one family of tests for the
relations between rows in one setting, one for the published numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lineage.results.entry import Entry
from lineage.tables.samples import RowName, Setting, collect_samples, group_by_row, group_finished
from lineage.tables.statistics.seed_noise import ENOUGH, SeedSample
from lineage.tables.statistics.significance import Comparison, adjust_holm, compare, compare_to_number
from lineage.tables.statistics.student_t import ALPHA, MAX_PAIRS
from lineage.tables.table import Claim, Effect, Table
from lineage.tables.tiers import PAPER

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
UNDERPOWERED = "underpowered"  # the noise is as large as the difference: more seeds are needed
OFF_PROTOCOL = "off protocol"  # there are runs, all of them with another protocol than the paper's
FAILED = "failed"  # there are runs, and all of them failed or stopped
MISSING = "missing"  # there are no runs
SAME_RUN = "same run"  # at this tier the two rows are one experiment, so no run can show their difference

UNKNOWN_NOISE = f"seed noise unknown here: run {ENOUGH} seeds of each row"

Samples = Mapping[tuple[str, str], Mapping[Setting, SeedSample]]  # (row, metric) -> setting -> values


class Hypothesis(NamedTuple):
    """A null hypothesis with its p, and the verdict if it is rejected."""

    p: float
    word: str
    reason: str = ""


class ClaimTest(NamedTuple):
    """The hypotheses that decide one claim, in order: the second counts only if the first is rejected."""

    comparison: Comparison
    hypotheses: list[Hypothesis]
    effect: float  # the smallest difference that more seeds have to find


class PowerAnalysis(NamedTuple):
    comparison: Comparison
    effect: float
    level: float


@dataclass(frozen=True)
class Verdict:
    word: str
    setting: Setting | None = None  # None: nothing to judge
    ours: SeedSample | None = None  # of a claim's cell, or of the better row of an effect
    other: SeedSample | None = None  # of the worse row of an effect
    difference: float | None = None  # ours minus the paper's number, or better minus worse
    margin: float | None = None  # half the 95 % interval of the difference, by itself
    explanation: str = ""
    p: float | None = None  # of the hypothesis that decided, corrected for the other claims of the table
    test: str = ""  # paired, unpaired or published noise
    power_analysis: PowerAnalysis | None = None  # of an underpowered verdict

    @cached_property
    def additional_runs(self) -> int | None:
        """The number of further seeds of each row that decide an underpowered claim, with 80 % power."""
        analysis = self.power_analysis
        return analysis.comparison.additional_runs(analysis.effect, analysis.level) if analysis else None

    @property
    def reason(self) -> str:
        return self.explanation or _format_seeds(self.additional_runs)


def judge_claims(table: Table, entries: list[Entry]) -> list[Verdict]:
    """Judge the paper's numbers, in the order of `table.claims`.

    Two-sided: a much better number contradicts a claim as well, because it comes from another experiment.
    """
    tests: dict[int, tuple[ClaimTest, Verdict]] = {}
    verdicts: list[Verdict] = []
    rows, runs = group_by_row(entries), group_finished(entries)
    for i, claim in enumerate(table.claims):
        samples = collect_samples(runs[claim.row], claim.metric)
        exact = [(setting, sample) for setting, sample in samples.items() if setting.on_protocol]
        if not exact:
            verdicts.append(_verdict_without_sample(rows[claim.row], samples))
            continue
        setting, ours = max(exact, key=lambda pair: pair[1].n)
        comparison = compare_to_number(ours, claim.value, claim.detail.sd, claim.detail.runs, table.dataset)
        verdicts.append(Verdict(UNDERPOWERED, setting, ours, None, ours.mean - claim.value, None, UNKNOWN_NOISE))
        if comparison is not None:
            tests[i] = (_test_number(claim, comparison), verdicts[i])
    for i, verdict in zip(tests, _decide([*tests.values()]), strict=True):
        verdicts[i] = verdict
    return verdicts


def _test_number(claim: Claim, comparison: Comparison) -> ClaimTest:
    """Within the tolerance is the same number, unless noise is wider than that; beyond, chance has to be ruled out."""
    beyond = abs(comparison.difference) - claim.tolerance
    if beyond <= 0:
        p = 0.0 if comparison.standard_error <= claim.tolerance else 1.0
        return ClaimTest(comparison, [Hypothesis(p, REPRODUCED)], claim.tolerance)
    p = comparison.p_beyond_tolerance(0.0, claim.tolerance)
    return ClaimTest(comparison, [Hypothesis(p, CONTRADICTED)], beyond)


def judge_effects(table: Table, entries: list[Entry]) -> list[list[Verdict]]:
    """Judge the relations between rows, in the order of `table.effects`.

    Each has one verdict per setting in which both rows ran, the paper's own setting first; if there is none, a single
    verdict with the reason. All relations of a setting are one family of tests.
    """
    rows, runs = group_by_row(entries), group_finished(entries)
    cells = {(row, effect.metric): None for effect in table.effects for row in (effect.better, effect.worse)}
    samples = {(row, metric): collect_samples(runs[row], metric) for row, metric in cells}
    verdicts: list[dict[Setting, Verdict]] = [{} for _ in table.effects]
    for setting in sorted({setting for by_setting in samples.values() for setting in by_setting}):
        for by_setting, verdict in zip(verdicts, _judge_setting(table, setting, samples), strict=True):
            if verdict is not None:
                by_setting[setting] = verdict
    return [
        [by_setting[setting] for setting in sorted(by_setting, key=lambda setting: (not setting.on_protocol, setting))]
        or [_verdict_without_pair(effect, rows, samples)]
        for effect, by_setting in zip(table.effects, verdicts, strict=True)
    ]


def _judge_setting(table: Table, setting: Setting, samples: Samples) -> list[Verdict | None]:
    """Return a verdict per effect of the table; None if a row of it did not run in this setting."""
    tests: dict[int, tuple[ClaimTest, Verdict]] = {}
    verdicts: list[Verdict | None] = [None] * len(table.effects)
    dataset = table.dataset if setting.tier == PAPER else ""  # the published noise is that of full-size runs
    for i, effect in enumerate(table.effects):
        better, worse = (samples[row, effect.metric].get(setting) for row in (effect.better, effect.worse))
        if better is None or worse is None:
            continue
        if better.repeats(worse):
            explanation = "the rows are one experiment at this tier"
            verdicts[i] = Verdict(SAME_RUN, setting, better, worse, explanation=explanation)
            continue
        sign = -1 if effect.metric in table.lower else 1
        difference = sign * (better.mean - worse.mean)
        undecided = Verdict(UNDERPOWERED, setting, better, worse, difference, None, UNKNOWN_NOISE)
        verdicts[i] = undecided
        comparison = compare(*((better, worse) if sign > 0 else (worse, better)), dataset)
        if comparison is not None:
            tests[i] = (_test_relation(effect, setting, comparison), undecided)
    for i, verdict in zip(tests, _decide([*tests.values()]), strict=True):
        verdicts[i] = verdict
    return verdicts


def _test_relation(effect: Effect, setting: Setting, comparison: Comparison) -> ClaimTest:
    """Test the sign in every setting, the size of a gain only in the paper's own."""
    difference, tolerance = comparison.difference, effect.tolerance
    if effect.kind == "equal":
        equivalent = Hypothesis(comparison.p_equivalent(0.0, tolerance), REPRODUCED)
        beyond = Hypothesis(comparison.p_beyond_tolerance(0.0, tolerance), CONTRADICTED)
        likelier = equivalent if equivalent.p < beyond.p else beyond
        return ClaimTest(comparison, [likelier], abs(tolerance - abs(difference)) or tolerance)
    p = comparison.p_different()
    if difference <= 0:
        sought = effect.gain if effect.gain and setting.on_protocol else abs(difference)
        return ClaimTest(comparison, [Hypothesis(p, CONTRADICTED, "the other way round")], sought)
    if effect.gain is None:
        return ClaimTest(comparison, [Hypothesis(p, REPRODUCED)], abs(difference))
    if not setting.on_protocol:
        return ClaimTest(comparison, [Hypothesis(p, REPRODUCED, "same sign")], abs(difference))
    size = comparison.p_beyond_tolerance(effect.gain, tolerance)
    hypotheses = [Hypothesis(p, REPRODUCED), Hypothesis(size, CONTRADICTED, "same sign, another size")]
    return ClaimTest(comparison, hypotheses, effect.gain or abs(difference))


def _decide(tests: list[tuple[ClaimTest, Verdict]]) -> list[Verdict]:
    """Correct all hypotheses of a family together, and decide each test; `tests` holds the undecided verdicts."""
    p_values = [hypothesis.p for test, _ in tests for hypothesis in test.hypotheses]
    corrected, level = iter(adjust_holm(p_values)), ALPHA / max(1, len(p_values))
    return [
        _decide_one(test, undecided, [next(corrected) for _ in test.hypotheses], level) for test, undecided in tests
    ]


def _decide_one(test: ClaimTest, undecided: Verdict, corrected: list[float], level: float) -> Verdict:
    """The last hypothesis that is rejected gives the verdict, if the first is rejected too."""
    comparison, hypotheses, effect = test
    shared = (undecided.setting, undecided.ours, undecided.other, comparison.difference, comparison.margin())
    rejected = [(hypothesis, p) for hypothesis, p in zip(hypotheses, corrected, strict=True) if p <= ALPHA]
    if rejected and rejected[0][0] is hypotheses[0]:  # no size without a sign
        hypothesis, p = rejected[-1]
        return Verdict(hypothesis.word, *shared, hypothesis.reason, p, comparison.test)
    analysis = PowerAnalysis(comparison, effect, level)
    return Verdict(UNDERPOWERED, *shared, "", corrected[0], comparison.test, analysis)


def _format_seeds(count: int | None) -> str:
    if count is None:
        return ""
    most = MAX_PAIRS // 10
    return f"{count} more seeds would tell" if count < most else f"more than {most} more seeds would tell"


def _verdict_without_pair(effect: Effect, rows: Mapping[RowName, list[Entry]], samples: Samples) -> Verdict:
    """Return why no setting has both rows."""
    pair = (effect.better, effect.worse)
    if all(samples[row, effect.metric] for row in pair):
        return Verdict(OFF_PROTOCOL, explanation="the two rows never ran in the same setting")
    return Verdict(FAILED) if all(rows[row] for row in pair) else Verdict(MISSING)


def _verdict_without_sample(runs: list[Entry], samples: Mapping[Setting, SeedSample]) -> Verdict:
    """Return why no run has the paper's protocol."""
    if not runs:
        return Verdict(MISSING)
    return Verdict(OFF_PROTOCOL if samples else FAILED)
