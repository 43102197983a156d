"""The page of a paper as a sequence of headings, sentences, lists and grids, for all formats alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lineage.results.count_noun import count_noun
from lineage.tables.numbers import EMPTY
from lineage.tables.paper.page import PaperPage, TablePage, list_published
from lineage.tables.paper.status import ClaimStatus, Status

MOST_LESSONS = 12


@dataclass(frozen=True, slots=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: str


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a list; `mark` is the answer to a claim."""

    text: str
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Bullets:
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Lines:
    """A grid of texts with a head."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


Element = Heading | Paragraph | Bullets | Lines


def write_document(page: PaperPage) -> list[Element]:
    """Return the page: claims with their answers, what was learned, what our code does otherwise, the tables."""
    elements: list[Element] = [Heading(page.title, 1), Paragraph(summarize(page))]
    elements.append(Heading("What the paper claims, and whether it holds here"))
    prices = iter(page.prices or [""] * len(page.claims))
    for table in page.tables:
        elements.append(Heading(f"{table.table.label}: {table.table.message}", 3))
        items = [_format_claim(claim, next(prices)) for claim in table.claims]
        elements.append(
            Bullets([*items, *_format_numbers(table)]) if items or table.numbers else Paragraph("No claim.")
        )
    elements += [Heading("What was learned, the largest effect over its uncertainty first"), *_list_lessons(page)]
    elements += [Heading("What our code does otherwise"), *_list_deviations(page)]
    elements += [
        Heading("The tables"),
        Paragraph(f"`lineage table {page.tables[0].table.name}` shows one in full."),
        _list_tables(page),
    ]
    return elements


def summarize(page: PaperPage) -> str:
    """Return the whole in two sentences."""
    numbers = sum(sum(table.numbers.values()) for table in page.tables)
    counts = [f"{page.count(status)} {status}" for status in Status if page.count(status)]
    arxiv = f" (arXiv:{page.arxiv})" if page.arxiv else ""
    tables = f"{count_noun(len(page.tables), 'table')}{arxiv}"
    claims = f"{len(page.claims)} claims about rows and {numbers} numbers"
    return f"{tables} with {claims}. Of the claims: {', '.join(counts) or 'there is none'}."


def summarize_line(page: PaperPage) -> str:
    """Return one line about a paper, for a list of all."""
    counts = [f"{page.count(status)} {status}" for status in Status if page.count(status)]
    answers = ", ".join(counts) or "none to settle"
    claims, tables = count_noun(len(page.claims), "claim"), count_noun(len(page.tables), "table")
    return f"{page.title}: {claims} in {tables}; {answers}"


def _format_claim(claim: ClaimStatus, price: str) -> Item:
    quote = f" (“{claim.effect.quote}”)" if claim.effect.quote else ""
    published = _format_published(claim)
    to_settle = f" To settle it: {price}." if claim.status == Status.OPEN and price else ""
    return Item(f"{claim.sentence}{quote}. Published: {published}. Here: {claim.answer}.{to_settle}", claim.status)


def _format_published(claim: ClaimStatus) -> str:
    rows = [
        claim.table.rows[name].published.get(claim.effect.metric) for name in (claim.effect.better, claim.effect.worse)
    ]
    return "no number" if None in rows else f"{rows[0]:g} and {rows[1]:g}"


def _format_numbers(table: TablePage) -> list[Item]:
    """Return a line on the published numbers of a table, which only tier paper can confirm."""
    if not table.numbers:
        return []
    counts = ", ".join(f"{count} {word}" for word, count in sorted(table.numbers.items(), key=lambda pair: -pair[1]))
    published = count_noun(sum(table.numbers.values()), "published number")
    return [Item(f"Its {published}, which only tier paper can confirm: {counts}.")]


def _list_lessons(page: PaperPage) -> list[Element]:
    lessons = page.list_lessons()
    measured = [
        Item(f"{claim.source}: {claim.sentence}. Here: {claim.answer}. "
             f"The difference is {claim.strength:.1f} times its uncertainty.", claim.status)
        for claim in lessons
    ]  # fmt: skip
    elements: list[Element] = [Bullets(measured)] if measured else [Paragraph("Nothing was answered here yet.")]
    published = list_published(page)[:MOST_LESSONS]
    if published:
        elements.append(
            Paragraph("Of what is not answered here, by the published numbers over the published seed noise:")
        )
        texts = [
            Item(f"{claim.source}: {claim.sentence}: {ratio:.0f} times the noise of two runs.")
            for ratio, claim in published
        ]
        elements.append(Bullets(texts))
    return elements


def _list_deviations(page: PaperPage) -> list[Element]:
    if not page.deviations:
        return [Paragraph("No deviation is marked in the code and configs that these tables use.")]
    return [Bullets([Item(text) for text in page.deviations])]


def _list_tables(page: PaperPage) -> Lines:
    head = ["table", "rows", "runs", "shown (paper)", "shown (small)", "contradicted", "not settled"]
    body = [
        [table.table.name, str(len(table.table.rows)), str(table.runs or EMPTY),
         *(str(table.count(status) or EMPTY) for status in Status)]
        for table in page.tables
    ]  # fmt: skip
    return Lines(head, body)
