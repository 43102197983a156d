"""Does the paper's claim hold here? Table x entries -> verdicts. A pure function: it reads no file and no clock.

A paper's number is compared only with runs of exactly its protocol: tier `paper`, no deviations, committed code. An
ablation claims a difference between rows, and that can be checked at any cost: two rows are compared if they deviate
equally, were measured on the same thing and ran at the same tier. Below tier `paper` a verdict has words of its own,
which name the tier; at tier `smoke` there is none. docs/tables.md has the whole method.

All questions of a table, over tiers, relations and numbers, are one family of tests (Holm): in 5 % of tables without
an effect one verdict is false, however many seeds were added. Runs with deviations are families of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lineage.results.entry import Entry
from lineage.results.image_noise import Replicates
from lineage.tables.claim_tests import (
    INSIDE,
    OUTSIDE,
    WORSE,
    CorrectedAnswer,
    Question,
    Reading,
    build_size_question,
    correct_family,
    describe_noise,
    describe_seeds,
    estimate_seeds,
    list_questions,
)
from lineage.tables.learned import LearningFacts, choose_measures, explain_unlearned
from lineage.tables.samples import RowName, Setting, group_by_row
from lineage.tables.statistics.pooled_noise import NoiseEstimate
from lineage.tables.statistics.seed_noise import SeedSample
from lineage.tables.statistics.sequential import PLANNED, compute_share, list_looks
from lineage.tables.statistics.significance import (
    PublishedNumber,
    RequiredSeeds,
    compare,
    compare_to_number,
)
from lineage.tables.statistics.student_t import ALPHA
from lineage.tables.table import Claim, Effect, Table
from lineage.tables.table_noise import NoiseKey, SampleTable
from lineage.tables.tiers import PAPER

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
SAME_SIGN = "same sign"  # of a gain whose size is not settled; below tier paper: "same sign at mini"
OPPOSITE_SIGN = "opposite sign"
NO_DIFFERENCE = "no difference seen"
DIFFERENCE = "difference seen"
UNDERPOWERED = "underpowered"  # the noise is as large as the difference: more seeds are needed
NOT_LEARNED = "not learned"  # a row is not above random weights, or all are far below what their model learns
NO_VERDICT = "no verdict"  # at tier smoke
OFF_PROTOCOL = "off protocol"  # there are runs, all of them with another protocol than the paper's
FAILED = "failed"  # there are runs, and all of them failed or stopped
NOT_MEASURED = "not measured"  # there are finished runs, and their evaluator does not give the metric
MISSING = "missing"  # there are no runs
SAME_RUN = "same run"  # at this tier the two rows are one experiment, so no run can show their difference

SMOKE = "smoke"
UNKNOWN_NOISE = "the noise of this metric is unknown here: run three seeds of each row"
ON_PROTOCOL = {True: (REPRODUCED, CONTRADICTED), False: (REPRODUCED, CONTRADICTED)}
ELSEWHERE = {True: (NO_DIFFERENCE, DIFFERENCE), False: (SAME_SIGN, OPPOSITE_SIGN)}  # whether the claim is an equality


@dataclass(frozen=True, slots=True)
class Background:
    """All that verdicts depend on beside a table and its entries."""

    learning: LearningFacts = field(default_factory=dict)  # what models learn
    measured: Mapping[NoiseKey, NoiseEstimate] = field(default_factory=dict)  # noise of other tables of the store
    images: Mapping[str, Replicates] = field(default_factory=dict)  # id of an entry -> metrics on resampled test images


@dataclass(frozen=True)
class Verdict:
    word: str
    setting: Setting | None = None  # None: nothing to judge
    ours: SeedSample | None = None  # of a claim's cell, or of the better row of an effect
    other: SeedSample | None = None  # of the worse row of an effect
    difference: float | None = None  # ours minus the paper's number, or better minus worse
    margin: float | None = None  # half the interval at the level at which the claim was tested
    reason: str = ""
    p: float | None = None  # of the question that decided, corrected for readings and for other questions
    test: str = ""  # paired or unpaired
    noise: str = ""  # the noises that the interval contains, with the standard deviation of a run and its source
    seeds: RequiredSeeds | None = None  # of each row, to settle it


class Family(NamedTuple):
    """Questions that are corrected together."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts of a table."""

    numbers: list[Verdict]  # in the order of table.claims
    effects: list[list[Verdict]]  # in the order of table.effects: a verdict per setting, or one with the reason
    families: list[Family]
    samples: SampleTable


@dataclass(frozen=True, slots=True)
class _Case:
    """A claim in a setting with its questions; without any, `verdict` is final."""

    verdict: Verdict
    questions: tuple[Question, ...] = ()
    readings: tuple[Reading, ...] = ()
    is_equality: bool = False
    is_number: bool = False


def judge(table: Table, entries: list[Entry], background: Background | None = None) -> Judgement:
    """Judge the numbers and the relations of a table."""
    background, planned = background or Background(), table.seeds or PLANNED
    samples, rows = SampleTable(table, entries, background.measured), group_by_row(entries)
    # 1. Cases: a number has one, a relation one per setting in which both rows ran.
    numbers = [_open_number(claim, rows[claim.row], samples, background) for claim in table.claims]
    relations = [_open_relations(effect, rows, samples, background) for effect in table.effects]
    # 2. Families of their questions.
    families: dict[str, list[_Case]] = defaultdict(list)
    for case in [*numbers, *(case for cases in relations for case in cases)]:
        if case.questions:
            families[_name_family(case)].append(case)
    # 3. Verdicts.
    decided = {id(case): verdict for cases in families.values() for case, verdict in _decide_family(cases, planned)}
    sizes = [Family(name, sum(len(case.questions) for case in cases)) for name, cases in families.items()]
    return Judgement(
        [decided.get(id(case), case.verdict) for case in numbers],
        [[decided.get(id(case), case.verdict) for case in cases] for cases in relations],
        sizes,
        samples,
    )


def _name_family(case: _Case) -> str:
    """Runs with deviations explore: they do not weaken the verdicts of the table's own settings."""
    setting = case.verdict.setting
    return "" if setting is None or not setting.deviations else str(setting)


def _open_number(claim: Claim, runs: list[Entry], samples: SampleTable, background: Background) -> _Case:
    """Two-sided: a much better number contradicts a claim as well, because it comes from another experiment."""
    by_setting = samples.find(claim.row, claim.metric)
    exact = [setting for setting in by_setting if setting.on_protocol]
    if not exact:
        return _Case(Verdict(OFF_PROTOCOL) if by_setting else _explain_absence(claim.metric, runs))
    setting = min(exact, key=lambda setting: (-by_setting[setting].n, setting))
    ours = by_setting[setting]
    undecided = Verdict(UNDERPOWERED, setting, ours, None, ours.mean - claim.value, None, UNKNOWN_NOISE)
    if reason := _explain_unlearned((claim.row,), claim.metric, setting, samples, background):
        return _Case(replace(undecided, word=NOT_LEARNED, reason=reason))
    noise = samples.noise(claim.metric, setting)
    number = PublishedNumber(claim.value, claim.detail.sd, claim.detail.runs)
    readings = []
    for n in list_looks(ours.n):  # mostly the noise of the published run, which is the same at each reading
        comparison = compare_to_number(ours, number, noise, n)
        readings += [Reading(n, comparison, comparison)] if comparison is not None else []
    questions = (build_size_question(0.0, claim.tolerance),) if readings else ()
    return _Case(undecided, questions, tuple(readings), is_number=True)


def _open_relations(
    effect: Effect, rows: Mapping[RowName, list[Entry]], samples: SampleTable, background: Background
) -> list[_Case]:
    """Return a case per setting in which both rows ran, the paper's own setting first."""
    better, worse = (samples.find(row, effect.metric) for row in (effect.better, effect.worse))
    settings = sorted(better.keys() & worse.keys(), key=lambda setting: (not setting.on_protocol, setting))
    if not settings:
        return [_Case(_verdict_without_pair(effect, rows, bool(better and worse)))]
    return [_open_relation(effect, setting, samples, background) for setting in settings]


def _open_relation(effect: Effect, setting: Setting, samples: SampleTable, background: Background) -> _Case:
    pair = (effect.better, effect.worse)
    better, worse = (samples.find(row, effect.metric)[setting] for row in pair)
    sign = -1 if effect.metric in samples.table.lower else 1
    undecided = Verdict(UNDERPOWERED, setting, better, worse, sign * (better.mean - worse.mean), None, UNKNOWN_NOISE)
    # 1. What cannot be judged.
    if better.repeats(worse):
        return _Case(
            replace(undecided, word=SAME_RUN, difference=None, reason="the rows are one experiment at this tier")
        )
    if setting.tier == SMOKE:
        return _Case(replace(undecided, word=NO_VERDICT, reason="tier smoke shows that rows run, not what they reach"))
    if reason := _explain_unlearned(pair, effect.metric, setting, samples, background):
        return _Case(replace(undecided, word=NOT_LEARNED, reason=reason))
    # 2. The comparison after each seed.
    variance = samples.estimate_image_variance(pair, effect.metric, setting, background.images)
    noise, readings = samples.noise(effect.metric, setting), []
    ordered, (a, b) = (pair, (better, worse)) if sign > 0 else (pair[::-1], (worse, better))
    for n in list_looks(max(better.n, worse.n)):
        now = compare(a, b, noise, ordered, n)
        then = compare(a.first(n), b.first(n), samples.noise(effect.metric, setting, n), ordered)
        if now is not None and then is not None:
            readings.append(Reading(n, now.add_images(variance), then.add_images(variance)))
    # 3. The questions.
    scale = samples.scale_tolerance(effect.metric, setting)
    questions = list_questions(effect, setting.on_protocol, scale) if readings else []
    return _Case(undecided, tuple(questions), tuple(readings), effect.kind == "equal")


def _explain_unlearned(
    rows: Iterable[str], metric: str, setting: Setting, samples: SampleTable, background: Background
) -> str:
    models = {row: samples.find(row, metric)[setting].model for row in rows}
    measures = {name: measure for model in models.values()
                for name, measure in choose_measures(background.learning, model, metric).items()}  # fmt: skip
    cells = {row: {name: cell[setting] for name in (*measures, metric)
                   if setting in (cell := samples.find(row, name))} for row in models}  # fmt: skip
    return explain_unlearned(cells, measures, metric, setting.tier)


def _decide_family(cases: list[_Case], planned: int) -> list[tuple[_Case, Verdict]]:
    """Correct all questions of a family together, and decide each case."""
    count = sum(len(case.questions) for case in cases)
    corrected = correct_family([(case.questions, case.readings) for case in cases], planned)
    return [(case, _decide(case, answers, count, planned)) for case, answers in zip(cases, corrected, strict=True)]


def _decide(case: _Case, corrections: list[CorrectedAnswer], count: int, planned: int) -> Verdict:
    """Return the verdict of a case from the corrections of its questions. count: questions of the family."""
    (n, comparison, _), first = case.readings[-1], corrections[0]
    word, reason, open_question = _choose_word(case, [correction.outcome for correction in corrections])
    reasons, seeds = [reason], None
    if open_question is not None:
        question, level = case.questions[open_question], corrections[open_question].level
        seeds = estimate_seeds(question, case.readings[-1], level, count, planned)
        reasons.append(describe_seeds(seeds, n, case.is_number))
    elif first.n < n:
        reasons.append(f"settled with {first.n} seeds")
    if case.is_equality and not _is_full_size(case):
        reasons.insert(0, f"tolerance {case.questions[0].tolerance:.2g} here")
    return replace(
        case.verdict,
        word=word,
        reason="; ".join(filter(None, reasons)),
        p=first.p,
        test=comparison.test,
        noise=describe_noise(comparison),
        seeds=seeds,
        difference=comparison.difference,
        margin=comparison.margin(first.level * compute_share(n, ALPHA / (2 * count), planned)),
    )


def _is_full_size(case: _Case) -> bool:
    return case.verdict.setting is None or case.verdict.setting.tier == PAPER


def _choose_word(case: _Case, outcomes: list[str]) -> tuple[str, str, int | None]:
    """Return the word, the reason, and the number of the question that is not settled."""
    setting = case.verdict.setting
    assert setting is not None
    words = (ON_PROTOCOL if setting.on_protocol else ELSEWHERE)[case.is_equality]
    tier = "" if setting.tier == PAPER else f" at {setting.tier}"
    first, *size = outcomes
    if not first:
        return UNDERPOWERED, "", 0
    if first in (WORSE, OUTSIDE):
        return words[1] + tier, "the other way round" if first == WORSE and setting.on_protocol else "", None
    if size == [OUTSIDE]:
        return CONTRADICTED, "same sign, another size", None
    if size and size != [INSIDE]:
        return SAME_SIGN, "its size is not settled", 1
    return words[0] + tier, "", None


def strip_tier(word: str) -> str:
    """Return a word of a verdict without its tier: `same sign at mini` is `same sign`."""
    return word.partition(" at ")[0]


def _verdict_without_pair(effect: Effect, rows: Mapping[RowName, list[Entry]], both_ran: bool) -> Verdict:
    """Return why no setting has both rows."""
    if both_ran:
        return Verdict(OFF_PROTOCOL, reason="the two rows never ran in the same setting")
    pair = (effect.better, effect.worse)
    if not all(rows[row] for row in pair):
        return Verdict(MISSING)
    return min((_explain_absence(effect.metric, rows[row]) for row in pair), key=lambda verdict: verdict.word != FAILED)


def _explain_absence(metric: str, runs: list[Entry]) -> Verdict:
    """Return why the runs of a row have no value of a metric."""
    if not runs:
        return Verdict(MISSING)
    tiers = {run.tier for run in runs if run.status == "finished"}
    return Verdict(NOT_MEASURED, reason=f"no run at tier {min(tiers)} measures {metric}") if tiers else Verdict(FAILED)
