"""The messages of all papers as one page: a line per relation between two rows, with its answer at a small tier.

`docs/messages.md` is this page for the committed store; `lineage messages` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lineage.results.foreign_text import escape_markdown
from lineage.tables import verdicts
from lineage.tables.paper.document import Element, Heading, Lines, Paragraph
from lineage.tables.paper.status import ClaimStatus, Status
from lineage.tables.verdicts import strip_tier

HEAD = ("paper", "claim", "published", "ours", "seeds", "p", "verdict", "minutes", "command")
README_LINES = 10
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Message:
    """One relation with its answer at a tier.

    minutes: of the runs of its two rows, or the estimate for those that are missing; None is unknown.
    """

    claim: ClaimStatus
    tier: str
    minutes: float | None = None
    obstacle: str = ""  # why no run at the tier can settle it

    @property
    def is_settled(self) -> bool:
        return self.claim.status != Status.OPEN and self._is_at_tier

    @property
    def has_run(self) -> bool:
        return self._is_at_tier and self.claim.verdict is not None and self.claim.verdict.difference is not None

    @property
    def _is_at_tier(self) -> bool:
        verdict = self.claim.verdict
        return verdict is not None and verdict.setting is not None and verdict.setting.tier == self.tier

    def format_line(self) -> list[str]:
        """Return the cells of its line, in the order of HEAD."""
        claim, verdict = self.claim, self.claim.verdict if self._is_at_tier else None
        ours, seeds, p = NOTHING, NOTHING, NOTHING
        if verdict is not None and verdict.difference is not None:
            margin = "" if verdict.margin is None else f" ± {verdict.margin:.1f}"
            ours = f"{verdict.difference:+.1f}{margin}"
            p = NOTHING if verdict.p is None else "<.001" if verdict.p < 0.001 else f"{verdict.p:.3f}".lstrip("0")
        if verdict is not None and verdict.ours and verdict.other:
            seeds = f"{verdict.ours.n}, {verdict.other.n}"
        minutes = NOTHING if self.minutes is None else f"{self.minutes:.0f}"
        paper = _shorten_paper(claim.table.paper)
        command = f"`lineage run {claim.table.name} {claim.effect.better} {claim.effect.worse} --tier {self.tier}`"
        if self.obstacle and not self.has_run:
            minutes, command = NOTHING, NOTHING
        return [
            f"{paper}, {claim.table.label}", claim.sentence, format_published(claim), ours, seeds, p, self._answer(),
            minutes, command,
        ]  # fmt: skip

    def _answer(self) -> str:
        """Return the verdict, or why there is none."""
        verdict = self.claim.verdict
        if self._is_at_tier and verdict is not None:
            return strip_tier(verdict.word)
        if self.obstacle:
            return self.obstacle
        if verdict is not None and verdict.word in (verdicts.OFF_PROTOCOL, verdicts.NOT_MEASURED):
            return verdict.reason
        return "has not run"


def _shorten_paper(paper: str) -> str:
    """Return the paper without its authors, which follow the last comma."""
    return paper.rpartition(",")[0] or paper


def format_published(claim: ClaimStatus) -> str:
    """Return the effect that the paper states, or the difference of its two numbers; of an equality `=`."""
    effect, rows = claim.effect, claim.table.rows
    numbers = [rows[row].published.get(effect.metric) for row in (effect.better, effect.worse)]
    if effect.gain is not None:
        return f"{effect.gain:+g}"
    if numbers[0] is None or numbers[1] is None:
        return "=" if effect.kind == "equal" else ">"
    return f"{numbers[0] - numbers[1]:+.1f}"


def write_messages(messages: Sequence[Message], store: str, hours: float) -> list[Element]:
    """Return the page: what is settled by its strength, what ran without an answer, what has not run; with counts.

    hours: of all finished runs of the store at the tier, each counted once.
    """
    settled = sort_settled(messages)
    undecided = [message for message in messages if message.has_run and not message.is_settled]
    waiting = [message for message in messages if not message.has_run and not message.is_settled]
    runnable = [message for message in waiting if not message.obstacle]
    parts: list[Element] = [Heading("Messages of the lineage", 1), Paragraph(_introduce(messages, store, hours))]
    sections: Mapping[str, Sequence[Message]] = {
        "Settled, the largest effect over its uncertainty first": settled,
        "Ran, and not settled": undecided,
        "Not run": runnable,
        "No run at this tier can settle, or none can start here": [message for message in waiting if message.obstacle],
    }
    for title, of_section in sections.items():
        body = [message.format_line() for message in of_section]
        parts += [Heading(f"{title} ({len(body)})"), Lines(HEAD, body) if body else Paragraph("None.")]
    return parts


def sort_settled(messages: Sequence[Message]) -> list[Message]:
    """Return the settled messages, the largest effect over its uncertainty first."""
    return sorted((message for message in messages if message.is_settled), key=lambda message: -message.claim.strength)


def render_readme_table(messages: Sequence[Message]) -> str:
    """Return the first lines of the page that are of papers, as a Markdown table without its last two columns."""
    published = [message for message in sort_settled(messages) if not message.claim.table.is_own]
    body = [message.format_line()[:-2] for message in published[:README_LINES]]
    if not body:
        return "No message has been settled by the runs of this store."
    rows = [HEAD[:-2], ["---"] * len(HEAD[:-2]), *[[escape_markdown(text) for text in line] for line in body]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _introduce(messages: Sequence[Message], store: str, hours: float) -> str:
    """Return the counts and how to read a line."""
    tier = messages[0].tier if messages else ""
    settled = [message for message in messages if message.is_settled]
    against = [message for message in settled if message.claim.status == Status.CONTRADICTED]
    shown = len(settled) - len(against)
    verb = "is" if shown == 1 else "are"
    return (
        f"Written by `lineage messages` from the entries in {store}. Of {len(messages)} relations between two rows of "
        f"a paper's table, {shown} {verb} shown at tier {tier} and {len(against)} contradicted "
        f"there; all finished runs of this tier took {hours:.1f} hours. A line has the published effect (> if the "
        "source states an order without numbers, = if rows are equal), our difference, positive if its sign is that "
        "of the claim, with half its interval (corrected for all questions of its table), the seeds of both rows, the "
        f"corrected p and the verdict, such as {verdicts.SAME_SIGN!r}: below tier paper only signs are judged, never "
        "sizes. Minutes are those of the runs that answered, else the estimate of those "
        "that are missing."
    )
