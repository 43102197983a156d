"""The overview of the store: a line per table and setting, with the verdicts of that table, and a line per free run."""

from __future__ import annotations

from collections import Counter

from lineage.results import cache, store
from lineage.results.entry import Entry
from lineage.tables import read, verdicts
from lineage.tables.column import QUOTED, build_columns
from lineage.tables.format.load import TableLoader
from lineage.tables.format.terminal import Grid, align
from lineage.tables.numbers import EMPTY, count_decimals, format_number
from lineage.tables.samples import Setting, drop_superseded, get_setting
from lineage.tables.table import Table
from lineage.tables.verdicts import Background

RECENT = 10  # free runs
HEADLINE = ("mask/AP", "box/AP", "keypoint/AP", "frame/PSNR")
HEAD = ("table", "tier", "rows", "runs", "claims", "numbers")


def render_overview(loader: TableLoader, everything: bool, paper: str = "") -> str:
    """Return the tables that have runs, with `everything` all tables, then the newest free runs.

    `paper` (e.g. "mask_rcnn") restricts it to the tables of one paper.
    """
    experiments, results = loader.experiments, loader.results
    names = [name for name in read.list_tables(experiments) if name.startswith(f"{paper}/" if paper else "")]
    chosen_names = [name for name in names if everything or (results / name).is_dir()]
    tables = {name: loader.load(name) for name in read.keep_readable(experiments, chosen_names)}
    shown = {name: filled for name, filled in tables.items() if everything or filled.entries or filled.earlier}
    body = [line for filled in shown.values() for line in build_lines(filled.table, filled.entries, filled.background)]
    parts = [align(Grid(HEAD, body))] if body else []
    if not shown:
        parts.append(f"{results} has no run of any table. `lineage run TABLE --tier mini --plan` says what one costs,\n"
                     "`lineage table --all` which tables there are.")  # fmt: skip
    elif len(shown) < len(names):
        parts.append(f"Tables without a run: {len(names) - len(shown)}; `lineage table --all` lists them.")
    if earlier := sum(len(runs.ids) for filled in tables.values() for runs in filled.earlier):
        parts.append(f"Runs of an earlier config, not counted: {earlier}; `lineage table TABLE` says what changed.")
    if damaged := sum(filled.damaged for filled in tables.values()):
        parts.append(f"Files that cannot be read: {damaged}; `lineage store verify` names them.")
    if everything:
        parts.append(render_coverage([filled.table for filled in tables.values()]))
    if paper:
        return "\n".join(parts)
    parts.append(render_free_runs(cache.contents(results / store.SCRATCH).entries))
    return "\n".join(parts)


def build_lines(table: Table, entries: list[Entry], background: Background | None = None) -> list[list[str]]:
    """Return a line per setting, with the table's own verdicts; a claim judged in no setting counts in the first."""
    valid = drop_superseded(entries)
    judgement = verdicts.judge(table, valid, background)
    columns, judged = build_columns(table, valid, judgement), judgement.effects
    lines = []
    settings = list(dict.fromkeys(column.setting for column in columns))
    for setting in settings:
        of_setting = [column for column in columns if column.setting == setting]
        words = [word for column in of_setting for word in column.verdicts.values() if word not in (EMPTY, QUOTED)]
        rows = {name for column in of_setting for name in column.samples}
        runs = sum(entry.status == "finished" and get_setting(entry) == setting for entry in valid)
        claims = [
            verdict.word for effect in judged for verdict in effect if (verdict.setting or settings[0]) == setting
        ]
        lines.append([table.name, _label_tier(setting), f"{len(rows)} of {_count_rows(table)}", str(runs),
                      _format_counts(claims), _format_counts(words)])  # fmt: skip
    return lines


def _count_rows(table: Table) -> int:
    return sum(row.quoted is None for row in table.rows.values())


def _label_tier(setting: Setting | None) -> str:
    if setting is None:
        return EMPTY
    return f"{setting.tier} changed" if setting.deviations else setting.tier


def _format_counts(words: list[str]) -> str:
    return ", ".join(f"{n} {word}" for word, n in Counter(words).most_common()) or EMPTY


def render_coverage(tables: list[Table]) -> str:
    """Return a line per paper: its rows that are ours to run, and how many of these cannot be expressed yet."""
    body = []
    for paper in sorted({table.name.partition("/")[0] for table in tables}):
        of_paper = [table for table in tables if table.name.startswith(f"{paper}/")]
        rows = [row for table in of_paper for row in table.rows.values()]
        ours = [row for row in rows if row.quoted is None]
        runs = sum(row.runs for row in ours)
        share = f"{100 * runs / len(ours):.0f} %" if ours else EMPTY
        counts = [str(len(of_paper)), str(len(ours)), str(len(ours) - runs), share, str(len(rows) - len(ours))]
        body.append([paper, *counts])
    head = ["paper", "tables", "rows", "unsupported", "covered", "quoted"]
    return f"\n{align(Grid(head, body))}\n"


def render_free_runs(entries: list[Entry]) -> str:
    """Return a line for each of the newest runs that belong to no table."""
    if not entries:
        return "No free runs. `python train.py` makes one.\n"
    newest = sorted(entries, key=lambda entry: entry.id)[-RECENT:]
    metrics = [name for name in HEADLINE if any(name in entry.metrics for entry in newest)]
    head = ["free run", "model", *metrics, "status", "tier", "seed", "deviations"]
    note = f"the newest {len(newest)} of {len(entries)} free runs; " if len(newest) < len(entries) else ""
    body = [_free_run_line(entry, metrics) for entry in newest]
    return f"{align(Grid(head, body))}\n{note}`lineage show` one by its id\n"


def _free_run_line(entry: Entry, metrics: list[str]) -> list[str]:
    values = [format_number(entry.metrics.get(name), count_decimals(name)) for name in metrics]
    model, deviations = entry.choices.get("model", EMPTY), " ".join(entry.deviations) or EMPTY
    return [entry.id, model, *values, entry.status, entry.tier, str(entry.seed), deviations]
