"""`lineage messages`: a line per message of the lineage, what is shown of it at a small tier, and at what cost."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from lineage.launch.claim_costs import price_claims
from lineage.launch.cost_estimate import detect_device
from lineage.launch.current_rows import make_finder
from lineage.launch.lint import compose_all
from lineage.results import paths, store
from lineage.results.atomic import atomic_write
from lineage.results.entry import Entry
from lineage.tables import read, tiers
from lineage.tables.format.load import TableLoader
from lineage.tables.paper.messages import Message, render_readme_table, write_messages
from lineage.tables.paper.page import build_page, list_papers
from lineage.tables.paper.render import render_html, render_markdown, render_terminal
from lineage.tables.paper.status import ClaimStatus
from lineage.tables.samples import get_setting
from lineage.tables.table import TableError

RENDER = {"terminal": render_terminal, "markdown": render_markdown, "html": render_html}
BEGIN, END = "<!-- lineage messages --readme -->", "<!-- end of messages -->"


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    tiers.check_tier(paths.experiments(), args.tier)
    entries = store.read_own(args.results)
    messages = build_messages(args.results, entries, args.tier)
    if args.readme:
        return _write_readme(messages)
    text = RENDER[args.form](write_messages(messages, f"`{args.results.name}/`", sum_hours(entries, args.tier)))
    if args.out is None:
        print(text, end="")
        return 0
    atomic_write(args.out, text)
    print(f"{len(messages)} messages in {args.out}")
    return 0


def build_messages(results: Path, entries: list[Entry], tier: str) -> list[Message]:
    """Return the messages of all papers, oldest first, with the time of their runs or what is missing of it."""
    project, experiments = paths.project(), paths.experiments()
    loader = TableLoader(experiments, results, make_finder(project, experiments))
    pages = [build_page(loader, paper) for paper in list_papers(experiments)]
    claims = [claim for page in pages for claim in page.claims]
    tables = [part.table for page in pages for part in page.tables if part.table.effects]
    compose_all(project, tables, tier)
    load = partial(read.load_table, experiments)
    _, costs = price_claims(project, experiments, load, claims, entries, tier, detect_device())
    prices = {id(cost.claim): cost for cost in costs}
    messages = []
    for claim in claims:
        cost = prices.get(id(claim))
        spent = sum_minutes(claim, entries, tier)
        missing = None if cost is None or cost.hours is None else 60 * cost.hours
        messages.append(Message(claim, tier, spent or missing, "" if cost is None else cost.obstacle))
    return messages


def sum_hours(entries: list[Entry], tier: str) -> float:
    """Return the hours of all finished runs at a tier."""
    return sum(entry.seconds or 0.0 for entry in entries if entry.status == "finished" and entry.tier == tier) / 3600


def sum_minutes(claim: ClaimStatus, entries: list[Entry], tier: str) -> float:
    """Return the minutes of the runs that a claim's verdict at a tier rests on; 0 without one."""
    setting = None if claim.verdict is None else claim.verdict.setting
    if setting is None or setting.tier != tier:
        return 0.0
    rows = (claim.effect.better, claim.effect.worse)
    runs = [
        entry
        for entry in entries
        if entry.table == claim.table.name and entry.row in rows and entry.status == "finished"
    ]
    return sum(entry.seconds or 0.0 for entry in runs if get_setting(entry) == setting) / 60


def _write_readme(messages: list[Message]) -> int:
    path = paths.project() / "README.md"
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise TableError(f"{path}: no lines {BEGIN} and {END} to write between")
    head, _, rest = text.partition(BEGIN)
    atomic_write(path, f"{head}{BEGIN}\n\n{render_readme_table(messages)}\n\n{END}{rest.partition(END)[2]}")
    print(f"the first messages are in {path}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage messages", description=__doc__)
    parser.add_argument("--tier", default="mini", help="the tier of the runs (default: %(default)s)")
    parser.add_argument("--as", choices=RENDER, default="markdown", dest="form", help="default: %(default)s")
    parser.add_argument("--out", type=Path, help="the file to write, e.g. docs/messages.md (default: print)")
    parser.add_argument("--results", type=Path, default=paths.results(), help="the store (default: %(default)s)")
    parser.add_argument("--readme", action="store_true", help="write the first lines into README.md")
    return parser
