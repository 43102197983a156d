"""`lineage lint [TABLE...]`: does each table isolate what it claims to isolate? Rules and reasons: docs/tables.md."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from textwrap import indent

from lineage.launch.lint import compose_all, lint_table, lint_tier
from lineage.results import paths
from lineage.results.count_noun import count_noun
from lineage.tables import read, tiers
from lineage.tables.lint.rules import ERROR, NOTE, RULES, SEVERITIES, WARNING, Finding
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import Table, TableError
from lineage.tables.tiers import PAPER

COLOURS = {ERROR: 31, WARNING: 33, NOTE: 36}


def main(argv: list[str]) -> int:
    """Print the findings and their sum; return 1 if there is an error among them."""
    args = _parser().parse_args(argv)
    if args.rule is not None:
        print(format_rule(args.rule.upper()))
        return 0
    experiments = paths.experiments()
    tiers.check_tier(experiments, args.tier)
    tables = read.list_tables(experiments)
    names = tables if args.all or not args.tables else _choose_tables(args.tables, experiments, tables)
    severities = (ERROR,) if args.quiet else SEVERITIES if args.notes else (ERROR, WARNING)
    counts: Counter[str] = Counter()
    compose_all(paths.project(), _load(experiments, names), args.tier)
    for name in names:
        findings = _lint(paths.project(), experiments, name, args.tier, is_named=not args.all and bool(args.tables))
        counts.update(finding.severity for finding in findings)
        if printed := [finding for finding in findings if finding.severity in severities]:
            print(format_findings(name, printed, sys.stdout.isatty()))
    totals = [count_noun(counts[level], level) for level in SEVERITIES]
    hidden = "; --notes prints notes" if counts[NOTE] and NOTE not in severities else ""
    print(f"{count_noun(len(names), 'table')}: {', '.join(totals)}{hidden}")
    return 1 if counts[ERROR] else 0


def _load(experiments: Path, names: list[str]) -> Iterator[Table]:
    """Yield the tables whose files can be read."""
    for name in names:
        with suppress(TableError):
            yield read.load_table(experiments, name)


def _lint(project: Path, experiments: Path, name: str, tier: str, is_named: bool) -> list[Finding]:
    """Return the findings of a table; the values of keywords are checked if it is named, or one's own."""
    try:
        table = read.load_table(experiments, name)
    except TableError as error:
        return [Finding("T0", str(error))]
    wrong = list(find_wrong_rows(project, table, tier)) if is_named or table.is_own else []
    if tier != PAPER:
        return [*wrong, *lint_tier(project, table, partial(read.load_table, experiments), tier)]
    return [*wrong, *lint_table(project, table)]


def find_wrong_rows(project: Path, table: Table, tier: str) -> Iterator[Finding]:
    """Yield rows with values of a wrong type; PyTorch is loaded only here."""
    from lineage.run.checks import rows

    yield from rows.find_wrong_rows(project, table, tier)


def format_findings(name: str, findings: list[Finding], colour: bool) -> str:
    """Return the findings of a table, grouped by rule."""
    lines = [name]
    for key in dict.fromkeys(finding.rule for finding in findings):
        of_rule = [finding for finding in findings if finding.rule == key]
        severity = of_rule[0].severity
        mark = f"\x1b[{COLOURS[severity]}m{severity}\x1b[0m" if colour else severity
        lines.append(f"  {mark} {key}  {RULES[key].requirement}")
        messages = [f"{f'{finding.row}: ' if finding.row else ''}{finding.message}" for finding in of_rule]
        lines += [indent(message, " " * 6) for message in messages]
    return "\n".join(lines)


def format_rule(key: str) -> str:
    if key not in RULES:
        raise TableError(f"there is no rule {key}. {did_you_mean(key, RULES)}")
    rule = RULES[key]
    return f"{key} ({rule.level}): {rule.requirement}.\nWhy: {rule.why}.\nMore: docs/tables.md"


def _choose_tables(names: list[str], experiments: Path, tables: list[str]) -> list[str]:
    """Return the tables of names of tables and papers, each once. Raises TableError for a name that is neither."""
    chosen: list[str] = []
    for name in map(read.clean_name, names):
        of_name = [name] if name in tables else read.list_tables_of(name, tables)
        if not of_name:
            papers = {table.partition("/")[0] for table in tables}
            raise TableError(f"{experiments} has no table or paper {name!r}. {did_you_mean(name, [*tables, *papers])}")
        chosen += of_name
    return list(dict.fromkeys(chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lineage lint", description=__doc__)
    parser.add_argument(
        "tables", nargs="*", metavar="TABLE", help="for example mask_rcnn/table2c, or a paper (default: all)"
    )
    parser.add_argument("--all", action="store_true", help="every table of experiments/")
    smaller = "of a smaller tier: which rows that claims compare are one experiment there (T16)"
    parser.add_argument("--tier", default=PAPER, help=smaller)
    parser.add_argument("--notes", action="store_true", help="also what is merely worth knowing")
    parser.add_argument("--quiet", action="store_true", help="errors only")
    parser.add_argument("--rule", metavar="RULE", help="what a rule asks and why, e.g. T2")
    return parser
