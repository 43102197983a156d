"""`lineage paper PAPER`: what a paper claims, what of that was shown here, and what was learned."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lineage.launch.claim_costs import describe_cost, price_claims
from lineage.launch.compose_rows import RowRequest, compose_rows
from lineage.launch.cost_estimate import detect_device
from lineage.launch.current_rows import make_finder
from lineage.launch.deviations import find_deviations
from lineage.results import paths, store
from lineage.results.atomic import atomic_write
from lineage.results.count_noun import count_noun
from lineage.tables import read, tiers
from lineage.tables.format.load import TableLoader
from lineage.tables.paper.document import Element, summarize_line, write_document
from lineage.tables.paper.page import PaperPage, build_page, list_papers
from lineage.tables.paper.render import render_html, render_markdown, render_terminal
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import TableError

RENDER: dict[str, Callable[[Sequence[Element]], str]] = {
    "terminal": render_terminal,
    "markdown": render_markdown,
    "html": render_html,
}
BEGIN, END = "<!-- lineage paper --readme -->", "<!-- end -->"


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    experiments = paths.experiments()
    papers = list_papers(experiments)
    loader = TableLoader(experiments, args.results, make_finder(paths.project(), experiments))
    if args.readme:
        return _write_readme(loader, papers)
    if args.paper is None:
        print("\n".join(summarize_line(build_page(loader, paper)) for paper in papers))
        return 0
    paper = args.paper.strip("/")
    if paper not in papers:
        raise TableError(f"there are no tables of a paper {paper!r}. {did_you_mean(paper, papers)}")
    tiers.check_tier(experiments, args.tier)
    page = complete_page(build_page(loader, paper), args.results, args.tier)
    text = RENDER[args.form](write_document(page))
    if args.out is None:
        print(text, end="")
        return 0
    atomic_write(args.out, text)
    print(f"{page.title} is in {args.out}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage paper", description=__doc__)
    parser.add_argument("paper", nargs="?", help="for example mask_rcnn; without it, a line per paper")
    parser.add_argument(
        "--as", choices=RENDER, default="terminal", dest="form", help="the format (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="the file to write (default: print)")
    tier = "the tier at which the cost of settling a claim is estimated (default: %(default)s)"
    parser.add_argument("--tier", default="mini", help=tier)
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("--readme", action="store_true", help="write the line of each paper into README.md")
    return parser


def complete_page(page: PaperPage, results: Path, tier: str) -> PaperPage:
    """Add to a page what needs composed rows: the cost of settling each claim, and the deviations of the code."""
    project, experiments = paths.project(), paths.experiments()
    entries = [entry for part in page.tables for entry in store.contents(results / part.table.name).entries]
    load = partial(read.load_table, experiments)
    _, costs = price_claims(project, experiments, load, page.claims, entries, tier, detect_device())
    prices = {id(cost.claim): describe_cost(cost, tier) for cost in costs}
    requests = [RowRequest(part.table.name, row, part.table.tier) for part in page.tables
                for row in part.table.rows.values() if row.runs]  # fmt: skip
    deviations = find_deviations(compose_rows(project, requests), paths.configs())
    return replace(page, prices=[prices.get(id(claim), "") for claim in page.claims], deviations=deviations)


def render_readme_lines(loader: TableLoader, papers: Sequence[str]) -> str:
    """Return the part of README with a line per paper."""
    pages = [build_page(loader, paper) for paper in papers]
    return "\n".join(f"- {summarize_line(page)} (`lineage paper {page.name}`)" for page in pages)


def _write_readme(loader: TableLoader, papers: Sequence[str]) -> int:
    path = paths.project() / "README.md"
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise TableError(f"{path}: no lines {BEGIN} and {END} to write between")
    head, _, rest = text.partition(BEGIN)
    tail = rest.partition(END)[2]
    atomic_write(path, f"{head}{BEGIN}\n\n{render_readme_lines(loader, papers)}\n\n{END}{tail}")
    print(f"{path}: {count_noun(len(papers), 'paper')}")
    return 0
