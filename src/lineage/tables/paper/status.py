"""The state of a claim in one word and one sentence, from its verdicts at all tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lineage.tables import verdicts
from lineage.tables.table import Effect, Table
from lineage.tables.tiers import PAPER
from lineage.tables.verdicts import Verdict, strip_tier

SHOWN = (verdicts.REPRODUCED, verdicts.SAME_SIGN, verdicts.NO_DIFFERENCE)
AGAINST = (verdicts.CONTRADICTED, verdicts.OPPOSITE_SIGN, verdicts.DIFFERENCE)


class Status(StrEnum):
    """The answer to a claim."""

    SHOWN_AT_PAPER = "shown at tier paper"
    SHOWN_SMALL = "shown at a small tier"
    CONTRADICTED = "contradicted"
    OPEN = "not settled"


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """One relation of a table, in words, with its answer."""

    table: Table
    effect: Effect
    status: Status
    verdict: Verdict | None  # the one that answers, or the nearest to an answer

    @property
    def sentence(self) -> str:
        """The claim as a sentence, without the period."""
        better, worse = (self.table.rows[name].label for name in (self.effect.better, self.effect.worse))
        metric = self.table.metrics[self.effect.metric]
        if self.effect.kind == "equal":
            return f"{better} and {worse} have the same {metric}"
        less = self.effect.metric in self.table.lower
        size = "" if self.effect.gain is None else f" by {self.effect.gain:g}"
        return f"{better} has a {'lower' if less else 'higher'} {metric} than {worse}{size}"

    @property
    def answer(self) -> str:
        """The answer as a clause: the tier, our difference, or what is missing."""
        verdict = self.verdict
        if verdict is None or verdict.setting is None:
            return "it has not run" if verdict is None or verdict.word == verdicts.MISSING else verdict.word
        at = f"at tier {verdict.setting.tier}"
        if verdict.difference is None:
            return f"{verdict.reason or verdict.word} ({at})"
        ours = f"{verdict.difference:+.2f}" + (f" ± {verdict.margin:.2f}" if verdict.margin is not None else "")
        n = f", {min(verdict.ours.n, verdict.other.n)} seeds each" if verdict.ours and verdict.other else ""
        reason = f"; {verdict.reason}" if verdict.reason else ""
        return f"{strip_tier(verdict.word)} {at}: {ours}{n}{reason}{self._describe_size()}"

    def _describe_size(self) -> str:
        """Return that the stated size of a gain is not shown, if runs below tier `paper` show its sign alone."""
        if self.status != Status.SHOWN_SMALL or self.effect.kind == "equal" or self.effect.gain is None:
            return ""
        return f"; the sign is shown, the size of {self.effect.gain:g} is not judged below tier paper"

    @property
    def source(self) -> str:
        """The table and the name of the metric: `Table 2d, mask/AP`."""
        return f"{self.table.label}, {self.effect.metric}"

    @property
    def strength(self) -> float:
        """Our difference over its uncertainty; 0 if nothing was measured."""
        verdict = self.verdict
        if verdict is None or verdict.difference is None or not verdict.margin:
            return 0.0
        return abs(verdict.difference) / verdict.margin


def find_status(table: Table, effect: Effect, judged: Sequence[Verdict]) -> ClaimStatus:
    """Return the answer to a claim: that of tier `paper` if there is one, else of a smaller tier."""
    counted = [verdict for verdict in judged if verdict.setting is None or not verdict.setting.deviations]
    for verdict in sorted(counted, key=lambda verdict: verdict.setting is None or verdict.setting.tier != PAPER):
        word = strip_tier(verdict.word)
        at_paper = verdict.setting is not None and verdict.setting.tier == PAPER
        if word in AGAINST:
            return ClaimStatus(table, effect, Status.CONTRADICTED, verdict)
        if word in SHOWN:
            return ClaimStatus(table, effect, Status.SHOWN_AT_PAPER if at_paper else Status.SHOWN_SMALL, verdict)
    nearest = max(
        counted, key=lambda verdict: (verdict.difference is not None, verdict.setting is not None), default=None
    )
    return ClaimStatus(table, effect, Status.OPEN, nearest)
