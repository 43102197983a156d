"""All that a paper's page says, independent of the format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lineage.tables import read, verdicts
from lineage.tables.column import UNSUPPORTED
from lineage.tables.format.load import TableLoader
from lineage.tables.paper.status import ClaimStatus, Status, find_status
from lineage.tables.samples import drop_superseded
from lineage.tables.statistics import seed_noise
from lineage.tables.table import Table

YEAR = re.compile(r"\b(?:19|20)\d\d\b")


@dataclass(frozen=True, slots=True)
class TablePage:
    """One table of the paper with the answers to its claims."""

    table: Table
    claims: Sequence[ClaimStatus]
    numbers: Mapping[str, int]  # word of a verdict, or `unsupported` -> how many published numbers have it
    runs: int  # finished

    def count(self, status: Status) -> int:
        return sum(claim.status == status for claim in self.claims)


@dataclass(frozen=True, slots=True)
class PaperPage:
    """A paper: its tables and what came of them."""

    name: str  # its folder in experiments/
    title: str
    arxiv: str
    tables: Sequence[TablePage]
    prices: Sequence[str] = ()  # of each claim: the cost of settling it; "" of a settled one
    deviations: Sequence[str] = ()  # what our code does otherwise

    @property
    def claims(self) -> list[ClaimStatus]:
        return [claim for page in self.tables for claim in page.claims]

    def count(self, status: Status) -> int:
        return sum(page.count(status) for page in self.tables)

    def list_lessons(self) -> list[ClaimStatus]:
        """Return the claims that were answered here, the largest effect over its uncertainty first."""
        answered = [claim for claim in self.claims if claim.status != Status.OPEN]
        return sorted(answered, key=lambda claim: -claim.strength)


def list_papers(experiments: Path) -> list[str]:
    """Return the folders of tables, oldest paper first; collections without a year stand last."""
    tables: dict[str, list[Table]] = {}
    for name in read.list_readable(experiments):
        tables.setdefault(name.partition("/")[0], []).append(read.load_table(experiments, name))
    return sorted(tables, key=lambda paper: (_find_year(tables[paper]), paper))


def build_page(loader: TableLoader, paper: str) -> PaperPage:
    """Return the page of a paper from its tables and the store."""
    pages = [build_table(loader, name) for name in read.list_readable(loader.experiments, paper)]
    tables = [page.table for page in pages]
    title = Counter(table.paper for table in tables).most_common(1)[0][0]
    return PaperPage(paper, title, next((table.arxiv for table in tables if table.arxiv), ""), pages)


def _find_year(tables: Sequence[Table]) -> str:
    years = [match[0] for table in tables if (match := YEAR.search(table.paper))]
    return min(years, default="9999")


def build_table(loader: TableLoader, name: str) -> TablePage:
    """Return a table with the answers to its claims."""
    filled = loader.load(name)
    table, entries = filled.table, drop_superseded(filled.entries)
    judgement = verdicts.judge(table, entries, filled.background)
    pairs = zip(table.effects, judgement.effects, strict=True)
    claims = [find_status(table, effect, judged) for effect, judged in pairs]
    words = zip(table.claims, judgement.numbers, strict=True)
    numbers = Counter(UNSUPPORTED if table.rows[claim.row].unsupported else verdict.word for claim, verdict in words)
    return TablePage(table, claims, numbers, sum(entry.status == "finished" for entry in entries))


def list_published(page: PaperPage) -> list[tuple[float, ClaimStatus]]:
    """Return the open gains over the published noise of two runs, largest first; only where that noise is known."""
    ranked = []
    for claim in page.claims:
        models = {claim.table.rows[row].choices.get("model", "") for row in (claim.effect.better, claim.effect.worse)}
        noise = seed_noise.find_published(claim.table.dataset, claim.effect.metric, models)
        if claim.status == Status.OPEN and claim.effect.gain and noise is not None:
            ranked.append((claim.effect.gain / (noise.sd * 2**0.5), claim))
    return sorted(ranked, key=lambda pair: -pair[0])
