"""Does the paper's claim hold here? Table x entries -> verdicts. Pure: reads no file, knows no clock.

A paper's number is compared only with runs of exactly its protocol: tier `paper`, no deviations, committed code. What
an ablation claims is the difference between rows, and that can be checked at any cost: two rows are compared where
they deviate equally, were measured on the same thing and ran at the same tier, and the verdict says at which.

What a verdict states, it states with 95 % confidence for all claims of a table together (Holm's correction), one
family for the relations between rows in one setting and one for the published numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from lineage.results.entry import Entry
from lineage.tables.statistics.seed_noise import ENOUGH, Sample
from lineage.tables.statistics.student_t import ALPHA, MOST
from lineage.tables.statistics.tests import Comparison, compare, holm, to_number
from lineage.tables.table import Claim, Effect, Table
from lineage.tables.tiers import PAPER

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
UNDERPOWERED = "underpowered"  # the noise is as large as the answer: more seeds would tell
OFF_PROTOCOL = "off protocol"  # there are runs, none of them with the paper's protocol
FAILED = "failed"  # there are runs, none of them finished
MISSING = "missing"  # there are no runs
SAME_RUN = "same run"  # at this tier the two rows are one experiment: what they would show, no run can show

UNCOMMITTED = "uncommitted code"  # stands among the deviations of a run whose code nobody can look up


@dataclass(frozen=True, order=True)
class Setting:
    """What must be equal for two runs to be compared."""

    tier: str
    deviations: tuple[str, ...]
    evaluation: str

    @property
    def on_protocol(self) -> bool:
        return self.tier == PAPER and not self.deviations

    def __str__(self) -> str:
        return " ".join([self.tier, *self.deviations])


@dataclass(frozen=True)
class Verdict:
    word: str
    setting: Setting | None = None  # None where there is nothing that could be judged
    ours: Sample | None = None  # a claim's cell, or the better row of an effect
    other: Sample | None = None  # the worse row of an effect
    difference: float | None = None  # ours minus the paper's number, or better minus worse
    margin: float | None = None  # half the 95 % interval of the difference, by itself
    told: str = ""
    p: float | None = None  # of what was decided, corrected for the other claims of the table
    test: str = ""  # paired, unpaired or published noise
    asked: tuple[Comparison, float, float] | None = None  # underpowered: the comparison, the effect sought, the level

    @cached_property
    def more(self) -> int | None:
        """Underpowered: so many more seeds of each row would tell, with 80 % power."""
        return self.asked[0].more(*self.asked[1:]) if self.asked else None

    @property
    def reason(self) -> str:
        return self.told or _seeds(self.more)


@dataclass(frozen=True)
class Question:
    """One hypothesis that a claim could be wrong by: its p, and the word if it is rejected."""

    p: float
    word: str
    reason: str = ""


Asked = tuple[Comparison, list[Question], float]  # and the effect that more seeds would have to find


def valid(entries: Iterable[Entry]) -> list[Entry]:
    """Without those that a later entry corrects."""
    held = list(entries)
    superseded = {entry.supersedes for entry in held}
    return [entry for entry in held if entry.id not in superseded]


def setting(entry: Entry) -> Setting:
    changed = (*entry.deviations, UNCOMMITTED) if entry.dirty else tuple(entry.deviations)
    return Setting(entry.tier, changed, entry.evaluation)


def finished(entries: Iterable[Entry]) -> dict[str | None, dict[Setting, list[Entry]]]:
    """The runs of each row that came to an end, by setting, oldest first. Most runs share a few settings."""
    known: dict[tuple[object, ...], Setting] = {}
    rows: dict[str | None, dict[Setting, list[Entry]]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda entry: entry.id):
        if entry.status == "finished":
            key = (entry.tier, *entry.deviations, entry.dirty, entry.evaluation)
            where = known.get(key) or known.setdefault(key, setting(entry))
            rows[entry.row].setdefault(where, []).append(entry)
    return rows


def samples(runs: Mapping[Setting, list[Entry]], metric: str) -> dict[Setting, Sample]:
    """Of the finished runs of a row. A seed counts once: the newest run of it is the value.

    Runs of another protocol than the newest are of a row that has changed since, and are left out.
    """
    found = {where: _sample(held, metric) for where, held in runs.items()}
    return {where: sample for where, sample in found.items() if sample is not None}


def _sample(runs: list[Entry], metric: str) -> Sample | None:
    protocols: dict[str, dict[int, float]] = {}
    newest = None
    for entry in runs:
        value = entry.metrics.get(metric)
        if value is None:
            continue
        if newest is None or entry.protocol != newest.protocol:
            protocols[entry.protocol] = protocols.pop(entry.protocol, {})  # the newest protocol stands last
        newest = entry
        protocols[entry.protocol][entry.seed] = value
    if newest is None:
        return None
    *others, values = protocols.values()
    return Sample(tuple(values.values()), tuple(values), sum(map(len, others)), newest.recipe)


def judge_claims(table: Table, entries: list[Entry]) -> list[Verdict]:
    """Are the paper's numbers what we measure? Two-sided: a much better number is another experiment."""
    asked, words = [], []
    rows, runs = _by_row(entries), finished(entries)
    for claim in table.claims:
        found = samples(runs[claim.row], claim.metric)
        exact = [(where, sample) for where, sample in found.items() if where.on_protocol]
        if not exact:
            words.append(_nothing(rows[claim.row], found))
            continue
        where, ours = max(exact, key=lambda pair: pair[1].n)
        against = to_number(ours, claim.value, claim.detail.sd, claim.detail.runs, table.dataset)
        words.append(Verdict(UNDERPOWERED, where, ours, None, ours.mean - claim.value, None, _unknown_noise()))
        if against is not None:
            asked.append((len(words) - 1, _number(claim, against), words[-1]))
    for i, verdict in zip([i for i, *_ in asked], _decide([(one, base) for _, one, base in asked]), strict=True):
        words[i] = verdict
    return words


def _number(claim: Claim, against: Comparison) -> Asked:
    """Within the tolerance is the same number, unless noise is wider than that; beyond, chance has to be ruled out."""
    beyond = abs(against.difference) - claim.tolerance
    if beyond <= 0:
        return against, [Question(0.0 if against.error <= claim.tolerance else 1.0, REPRODUCED)], claim.tolerance
    return against, [Question(against.is_far(0.0, claim.tolerance), CONTRADICTED)], beyond


def judge_effects(table: Table, entries: list[Entry]) -> list[list[Verdict]]:
    """Of each effect one verdict per setting in which both rows ran, the paper's own first; else why there is none.

    They are judged together, for each is another chance to be wrong.
    """
    rows, runs = _by_row(entries), finished(entries)
    cells = {(row, effect.metric): None for effect in table.effects for row in (effect.better, effect.worse)}
    found = {(row, metric): samples(runs[row], metric) for row, metric in cells}
    verdicts: list[dict[Setting, Verdict]] = [{} for _ in table.effects]
    for where in sorted({where for cells in found.values() for where in cells}):
        _judge_setting(table, where, found, verdicts)
    return [
        sorted(held.values(), key=lambda verdict: (not verdict.setting.on_protocol, verdict.setting))  # type: ignore
        or [_without(effect, rows, found)]
        for effect, held in zip(table.effects, verdicts, strict=True)
    ]


def _judge_setting(
    table: Table,
    where: Setting,
    found: dict[tuple[str, str], dict[Setting, Sample]],
    verdicts: list[dict[Setting, Verdict]],
) -> None:
    asked, places = [], []
    for effect, held in zip(table.effects, verdicts, strict=True):
        better, worse = (found[row, effect.metric].get(where) for row in (effect.better, effect.worse))
        if better is None or worse is None:
            continue
        if better.repeats(worse):
            held[where] = Verdict(SAME_RUN, where, better, worse, told="the rows are one experiment at this tier")
            continue
        sign = -1 if effect.metric in table.lower else 1
        base = Verdict(UNDERPOWERED, where, better, worse, sign * (better.mean - worse.mean), None, _unknown_noise())
        held[where] = base
        against = compare(
            *((better, worse) if sign > 0 else (worse, better)), table.dataset if where.tier == PAPER else ""
        )
        if against is not None:
            asked.append((_relation(effect, where, against), base))
            places.append(held)
    for held, verdict in zip(places, _decide(asked), strict=True):
        held[where] = verdict


def _relation(effect: Effect, where: Setting, against: Comparison) -> Asked:
    """The sign is judged in every setting, the size only where the paper's protocol ran."""
    d, tolerance = against.difference, effect.tolerance
    if effect.kind == "equal":
        near, far = against.is_near(0.0, tolerance), against.is_far(0.0, tolerance)
        question = Question(near, REPRODUCED) if near < far else Question(far, CONTRADICTED)
        return against, [question], abs(tolerance - abs(d)) or tolerance
    of_size = effect.gain is not None and where.on_protocol
    word, reason = (REPRODUCED, "same sign" if effect.gain is not None and not of_size else "")
    sign = (
        Question(against.differs(), word, reason)
        if d > 0
        else Question(against.differs(), CONTRADICTED, "the other way round")
    )
    sought = effect.gain if of_size and effect.gain else abs(d)
    if not of_size or d <= 0:
        return against, [sign], sought
    assert effect.gain is not None
    size = Question(against.is_far(effect.gain, tolerance), CONTRADICTED, "same sign, another size")
    return against, [sign, size], sought


def _decide(asked: list[tuple[Asked, Verdict]]) -> list[Verdict]:
    """All questions of a family corrected together; the last one that is answered gives the word."""
    flat = [question.p for (_, questions, _), _ in asked for question in questions]
    corrected, level = iter(holm(flat)), ALPHA / max(1, len(flat))
    return [_answer(one, base, [next(corrected) for _ in one[1]], level) for one, base in asked]


def _answer(asked: Asked, base: Verdict, corrected: list[float], level: float) -> Verdict:
    against, questions, sought = asked
    shared = (base.setting, base.ours, base.other, against.difference, against.margin())
    answered = [(q, p) for q, p in zip(questions, corrected, strict=True) if p <= ALPHA]
    if answered and answered[0][0] is questions[0]:  # no size without a sign
        question, p = answered[-1]
        return Verdict(question.word, *shared, question.reason, p, against.test)
    return Verdict(UNDERPOWERED, *shared, "", corrected[0], against.test, (against, sought, level))


def _seeds(more: int | None) -> str:
    if more is None:
        return ""
    return f"{more} more seeds would tell" if more < MOST / 10 else f"more than {MOST // 10} more seeds would tell"


def _by_row(entries: list[Entry]) -> dict[str | None, list[Entry]]:
    rows: dict[str | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        rows[entry.row].append(entry)
    return rows


def _without(
    effect: Effect, rows: dict[str | None, list[Entry]], found: dict[tuple[str, str], dict[Setting, Sample]]
) -> Verdict:
    """No setting has both rows."""
    pair = (effect.better, effect.worse)
    if all(found[row, effect.metric] for row in pair):
        return Verdict(OFF_PROTOCOL, told="the two rows never ran in the same setting")
    return Verdict(FAILED) if all(rows[row] for row in pair) else Verdict(MISSING)


def _nothing(runs: list[Entry], found: dict[Setting, Sample]) -> Verdict:
    if not runs:
        return Verdict(MISSING)
    return Verdict(OFF_PROTOCOL if found else FAILED)


def _unknown_noise() -> str:
    return f"seed noise unknown here: run {ENOUGH} seeds of each row"
