"""Does the paper's claim hold here? Table x entries -> verdicts. Pure: reads no file, knows no clock.

A paper's number is compared only with runs of exactly its protocol: tier `paper`, no deviations, committed code. What
an ablation claims is the difference between rows, and that can be checked at any cost: two rows are compared where
they deviate equally, were measured on the same thing and ran at the same tier, and the verdict says at which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lineage.tables import noise
from lineage.tables.entry import Entry
from lineage.tables.noise import Sample
from lineage.tables.table import Claim, Effect, Table
from lineage.tables.tiers import PAPER

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
UNDERPOWERED = "underpowered"  # the noise is as large as the answer: more seeds would tell
OFF_PROTOCOL = "off protocol"  # there are runs, none of them with the paper's protocol
FAILED = "failed"  # there are runs, none of them finished
MISSING = "missing"  # there are no runs

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
    margin: float | None = None  # half the 95 % interval of the difference
    reason: str = ""


def valid(entries: Iterable[Entry]) -> list[Entry]:
    """Without those that a later entry corrects."""
    held = list(entries)
    superseded = {entry.supersedes for entry in held}
    return [entry for entry in held if entry.id not in superseded]


def setting(entry: Entry) -> Setting:
    changed = (*entry.deviations, UNCOMMITTED) if entry.dirty else tuple(entry.deviations)
    return Setting(entry.tier, changed, entry.evaluation)


def samples(entries: Iterable[Entry], row: str, metric: str) -> dict[Setting, Sample]:
    """The finished runs of a row by setting. A seed counts once: the newest run of it is the value."""
    cells: dict[Setting, dict[int, float]] = defaultdict(dict)
    for entry in sorted(entries, key=lambda entry: entry.id):
        value = entry.metrics.get(metric)
        if entry.row == row and entry.status == "finished" and value is not None:
            cells[setting(entry)][entry.seed] = value
    return {where: Sample(tuple(values.values())) for where, values in cells.items()}


def judge_claim(claim: Claim, table: Table, entries: list[Entry]) -> Verdict:
    """Is the paper's number what we measure? Two-sided: a much better number is another experiment."""
    found = samples(entries, claim.row, claim.metric)
    exact = [(where, sample) for where, sample in found.items() if where.on_protocol]
    if not exact:
        return _nothing([entry for entry in entries if entry.row == claim.row], found)
    where, ours = max(exact, key=lambda pair: pair[1].n)
    difference = ours.mean - claim.value
    spread = noise.of([ours], table.dataset)
    if spread is None:
        return Verdict(UNDERPOWERED, where, ours, None, difference, None, _unknown_noise())
    margin = spread.margin(ours.n, 1)  # the paper's number is one run of the same noise
    if abs(difference) <= claim.tolerance:
        return Verdict(REPRODUCED, where, ours, None, difference, margin)
    word = CONTRADICTED if abs(difference) > claim.tolerance + margin else UNDERPOWERED
    return Verdict(word, where, ours, None, difference, margin)


def judge_effect(effect: Effect, table: Table, entries: list[Entry]) -> list[Verdict]:
    """One verdict per setting in which both rows ran, the paper's own first; one word where there is none."""
    better = samples(entries, effect.better, effect.metric)
    worse = samples(entries, effect.worse, effect.metric)
    shared = sorted(better.keys() & worse.keys(), key=lambda where: (not where.on_protocol, where))
    if shared:
        return [_compare(effect, table, where, better[where], worse[where]) for where in shared]
    rows = [entry for entry in entries if entry.row in (effect.better, effect.worse)]
    if better and worse:
        return [Verdict(OFF_PROTOCOL, reason="the two rows never ran in the same setting")]
    if len({entry.row for entry in rows}) < 2:
        return [Verdict(MISSING)]
    return [Verdict(FAILED)]


def _compare(effect: Effect, table: Table, where: Setting, better: Sample, worse: Sample) -> Verdict:
    difference = better.mean - worse.mean
    spread = noise.of([better, worse], table.dataset if where.tier == PAPER else "")
    if spread is None:
        return Verdict(UNDERPOWERED, where, better, worse, difference, None, _unknown_noise())
    margin = spread.margin(better.n, worse.n)
    word, reason = (
        _equal(effect, difference, margin) if effect.kind == "equal" else _gain(effect, where, difference, margin)
    )
    return Verdict(word, where, better, worse, difference, margin, reason)


def _equal(effect: Effect, difference: float, margin: float) -> tuple[str, str]:
    """Equality needs evidence too: the whole interval inside the tolerance."""
    if abs(difference) + margin <= effect.tolerance:
        return REPRODUCED, ""
    return (CONTRADICTED if abs(difference) - margin > effect.tolerance else UNDERPOWERED), ""


def _gain(effect: Effect, where: Setting, difference: float, margin: float) -> tuple[str, str]:
    """The sign is judged in every setting, the size only where the paper's protocol ran."""
    if abs(difference) <= margin:
        return UNDERPOWERED, ""
    if difference < 0:
        return CONTRADICTED, "the other way round"
    if effect.gain is None or not where.on_protocol:
        return REPRODUCED, "" if effect.gain is None else "same sign"
    same = abs(difference - effect.gain) <= effect.tolerance + margin
    return (REPRODUCED, "") if same else (CONTRADICTED, "same sign, another size")


def _nothing(runs: list[Entry], found: dict[Setting, Sample]) -> Verdict:
    if not runs:
        return Verdict(MISSING)
    return Verdict(OFF_PROTOCOL if found else FAILED)


def _unknown_noise() -> str:
    return f"seed noise unknown here: run {noise.ENOUGH} seeds of each row"
