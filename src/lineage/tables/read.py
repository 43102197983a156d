"""From a file of experiments/ to a Table. A missing, unknown or wrong key raises TableError with file and key."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lineage.results import paths
from lineage.tables import claims, links, model_facts
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import KINDS, Detail, ParentRole, Row, Table, TableError
from lineage.tables.tiers import PAPER, load_tiers
from lineage.tables.yaml_node import Node, parse_node, read_node

REQUIRED = ("paper", "label", "message", "kind", "dataset", "metrics", "rows")
OPTIONAL = ("arxiv", "factor", "covaries", "gaps", "baseline", "split", "tolerance", "confidence", "base", "claims",
            "unsupported", "note", "mixed", "source", "tier", "seeds", "deviates", "at")  # fmt: skip
ROW_KEYS = ("label", "with", "set", "from", "start", "proposals", "labels", "published", "covaries", "source",
            "confidence", "unsupported", "quoted", "note", "deviates")  # fmt: skip
MOST_SEEDS = 1000  # of a row
TOLERANCE = 0.5  # roughly that of detectron2's own regression tests


def list_tables(folder: Path) -> list[str]:
    """Return the names of all tables below `experiments/` and, if the folder lies over it, of the shipped folder."""
    roots = [folder, shipped] if (shipped := paths.lower_experiments(folder)) else [folder]
    files = [(root, path) for root in roots for path in root.glob("*/*.yaml") if path.parent.name != model_facts.FOLDER]
    return sorted({path.relative_to(root).with_suffix("").as_posix() for root, path in files})


def list_readable(folder: Path, paper: str = "") -> list[str]:
    """Return the names of the tables, or of those of a paper, that can be read."""
    return keep_readable(folder, list_tables_of(paper, list_tables(folder)) if paper else list_tables(folder))


def keep_readable(folder: Path, names: list[str]) -> list[str]:
    """Return those of the tables that can be read; report the others on stderr, once each.

    A draft that is broken ends the commands that name it, and no command about all tables.
    """
    readable = []
    for name in names:
        try:
            load_table(folder, name)
        except TableError as error:
            _report_unreadable(name, str(error))
        else:
            readable.append(name)
    return readable


@lru_cache(maxsize=256)
def _report_unreadable(name: str, error: str) -> None:
    print(f"{name} is left out: {error}; `lineage lint {name}` checks it", file=sys.stderr)


def clean_name(text: str) -> str:
    """Return the name in what a user types: `experiments/mask_rcnn/table2c.yaml` and `mask_rcnn/` are names too."""
    return text.strip("/").removesuffix(".yaml").removeprefix("experiments/")


def list_tables_of(paper: str, tables: list[str]) -> list[str]:
    """Return those of `tables` that are of a paper; empty if there is no such paper."""
    return [table for table in tables if table.startswith(f"{paper}/")]


def table_path(folder: Path, name: str) -> Path:
    """Return the file of a table, whether it exists or not."""
    path, shipped = folder / f"{name}.yaml", paths.lower_experiments(folder)
    return path if path.is_file() or shipped is None else shipped / f"{name}.yaml"


def load_table(folder: Path, name: str) -> Table:
    """Return the table; rows that test another row's checkpoint have its config, whichever table it is in."""
    return links.resolve_references(load_unresolved(folder, name), lambda other: load_unresolved(folder, other))


def load_unresolved(folder: Path, name: str) -> Table:
    """Return the table as its file has it, with references to other rows as they are written."""
    path = table_path(folder, name)
    if not path.is_file():
        raise TableError(f"{folder} has no table {name!r}. {_suggest(name, list_tables(folder))}")
    table = _load(path, name, path.stat().st_mtime_ns)
    tiers = [PAPER, *load_tiers(folder)]
    for tier in (tier for row in table.rows.values() for tier in (row.tier, *row.at)):
        if tier not in tiers and len(tiers) > 1:
            raise TableError(f"{path}: there is no tier {tier!r}. {did_you_mean(tier, tiers)}")
    return table


def read_published(folder: Path, table: str | None, row: str | None) -> dict[str, float]:
    """Return the paper's numbers of a row; {} for free runs, and for tables and rows that do not exist any more."""
    if not table or not row:
        return {}
    try:
        rows = load_table(folder, table).rows
    except TableError:
        return {}
    return dict(rows[row].published) if row in rows else {}


def parse_table(name: str, text: str) -> Table:
    """Return the table that a file of this text would hold, with references to other rows as they are written."""
    return _read_table(name, parse_node(Path(f"{name}.yaml"), text))


def _suggest(name: str, tables: list[str]) -> str:
    """Suggest the tables of that name in any paper, else the nearest of all."""
    same = [table for table in tables if table.endswith(f"/{name}")]
    return f"Did you mean {' or '.join(same)}?" if same else did_you_mean(name, tables)


@lru_cache(maxsize=256)
def _load(path: Path, name: str, changed: int) -> Table:
    """Cached, because composing one config loads tables repeatedly; `changed` (mtime) invalidates the cache."""
    return _read_table(name, read_node(path))


def _read_table(name: str, node: Node) -> Table:
    node.check_keys((*REQUIRED, *OPTIONAL), REQUIRED)
    kind, metrics = node.one_of("kind", KINDS), _read_titles(node.mapping("metrics"))
    rows = _read_rows(node, kind, metrics)
    _check_own(node, rows)
    tolerance = node.number("tolerance", TOLERANCE)
    values, effects = claims.read_claims(node, rows, list(metrics), tolerance)
    return Table(
        name=name,
        paper=node.text("paper"),
        label=node.text("label"),
        message=node.text("message"),
        kind=kind,
        factor=_read_factor(node, kind),
        dataset=node.text("dataset"),
        metrics=metrics,
        tolerance=tolerance,
        source=node.text("source"),
        confidence=node.text("confidence", "unstated"),
        rows=rows,
        effects=effects,
        note=node.text("note"),
        arxiv=_read_arxiv(node),
        split=node.text("split"),
        baseline=node.one_of("baseline", rows) if node.record.get("baseline") is not None else None,
        lower=_read_lower(node.mapping("metrics")),
        covaries=node.text_map("covaries"),
        gaps=[{key: str(level) for key, level in gap.record.items()} for gap in node.mappings("gaps")],
        unsupported=node.optional_text("unsupported"),
        mixed=node.optional_text("mixed"),
        values=values,
        tier=node.text("tier", PAPER),
        seeds=read_seeds(node),
    )


def read_seeds(node: Node) -> int | None:
    """Return the number of seeds that a file plans, or None if it plans none."""
    seeds = node.number("seeds", 0)
    if seeds != int(seeds) or not 0 <= seeds <= MOST_SEEDS:
        raise node.error("seeds", f"{seeds:g} is not a number of seeds, 1 to {MOST_SEEDS}")
    return int(seeds) or None


def _check_own(node: Node, rows: dict[str, Row]) -> None:
    """Raise TableError if a table without a source has published numbers."""
    numbered = [row.name for row in rows.values() if row.published]
    if numbered and not node.text("source"):
        raise node.error("source", f"missing: {numbered[0]} has published numbers; say where they are printed")


def _read_arxiv(node: Node) -> str:
    if isinstance(node.record.get("arxiv"), float):  # 1505.08080 would lose its zero
        raise node.error("arxiv", "YAML reads this as a number; write it in quotes: arxiv: '1703.06870'")
    return node.text("arxiv")


def _read_titles(node: Node) -> dict[str, str]:
    """Read `metric: title` or `metric: {title: ..., better: lower}`."""
    titles = {}
    for metric, title in node.record.items():
        detail = node.mapping(metric).check_keys(("title", "better"), ("title",)) if isinstance(title, dict) else None
        titles[metric] = detail.text("title") if detail else str(title)
    return titles


def _read_lower(node: Node) -> frozenset[str]:
    """Return the metrics of which less is better."""
    details = {metric: node.mapping(metric) for metric, title in node.record.items() if isinstance(title, dict)}
    return frozenset(
        name for name, detail in details.items() if "better" in detail.record
        and detail.one_of("better", ("lower", "higher")) == "lower"
    )  # fmt: skip


def _read_factor(node: Node, kind: str) -> dict[str, tuple[str, ...]]:
    """Read one key; a list of keys, which are one factor (factorial: one each); or {name of the factor: its keys}."""
    factor = node.record.get("factor")
    if factor is None:
        return {}
    if isinstance(factor, str):
        return {factor: (factor,)}
    if isinstance(factor, list):
        keys = node.text_list("factor")
        return {key: (key,) for key in keys} if kind == "factorial" else {keys[0]: tuple(keys)}
    factors = node.mapping("factor")
    return {
        name: tuple(factors.text_list(name)) if isinstance(keys, list) else (str(keys),)
        for name, keys in factors.record.items()
    }


def _read_rows(table: Node, kind: str, metrics: dict[str, str]) -> dict[str, Row]:
    """Read the rows: each starts from the base, in a cumulative table from the row above, and runs if that one does."""
    base, nodes = table.mapping("base").check_keys(("with", "set")), table.mapping("rows")
    if any("/" in name for name in nodes.record):
        raise nodes.error(next(name for name in nodes.record if "/" in name), "the name of a row has no slash")
    rows: dict[str, Row] = {}
    inherited: str | None = None  # why rows below an unsupported row of a cumulative table cannot run
    below = (base.text_map("with"), base.mapping("set").record)
    for name in nodes.record:
        row = _read_row(name, nodes.mapping(name), below, metrics)
        unsupported = row.unsupported or (table.optional_text("unsupported") if not row.quoted else None)
        if kind == "cumulative" and not row.quoted:
            below = (row.choices, row.assignments)
            if row.evaluates is None:  # else it has the config of the row that it tests
                unsupported = unsupported or inherited
                inherited = inherited or (unsupported and f"it adds to {name}, which cannot run: {unsupported}")
        deviates = {} if row.quoted else table.text_map("deviates") | row.deviates
        tier, at = table.text("tier", PAPER), {} if row.quoted else _read_at(table)
        rows[name] = replace(row, unsupported=unsupported, deviates=deviates, tier=tier, at=at)
    return rows


def _read_at(table: Node) -> dict[str, dict[str, Any]]:
    """Return the keys that all rows set at a small tier: `at: {mini: {dataset.size: [128, 128]}}`."""
    tiers = table.mapping("at")
    if (own := table.text("tier", PAPER)) in tiers.record:
        raise tiers.error(own, "what rows set at the tier of their table stands in base.set")
    if PAPER in tiers.record:
        raise tiers.error(PAPER, f"rows of tier {own} do not run at the tier of the paper")
    return {tier: tiers.mapping(tier).record for tier in tiers.record}


def _read_row(name: str, node: Node, below: tuple[dict[str, str], dict[str, Any]], metrics: dict[str, str]) -> Row:
    node.check_keys(ROW_KEYS)
    choices, assignments = node.text_map("with"), node.mapping("set").record
    for role in (ParentRole.START, ParentRole.LABELS):
        if node.optional_text(ParentRole.EVALUATE) and node.optional_text(role):
            raise node.error("from", f"a row that tests another row's checkpoint trains nothing: leave {role} out")
    published, details = _read_published(node.mapping("published").check_keys(metrics))
    return Row(
        name=name,
        label=node.text("label", name),
        choices=below[0] | choices,
        assignments=below[1] | assignments,
        published=published,
        unsupported=node.optional_text("unsupported"),
        note=node.text("note"),
        quoted=node.optional_text("quoted"),
        evaluates=node.optional_text(ParentRole.EVALUATE),
        start=node.optional_text(ParentRole.START),
        proposals=node.optional_text(ParentRole.PROPOSALS),
        labels=node.optional_text(ParentRole.LABELS),
        covaries=node.text_map("covaries"),
        deviates=node.text_map("deviates"),
        details=details,
        own=(*choices, *assignments),
        source=node.text("source"),
        confidence=node.text("confidence"),
    )


def _read_published(node: Node) -> tuple[dict[str, float], dict[str, Detail]]:
    """Read `metric: number` or `metric: {value: number, sd: ..., runs: ..., source: ...}`; null is left out."""
    numbers, details = {}, {}
    for metric, value in node.record.items():
        if isinstance(value, dict):
            detail = node.mapping(metric).check_keys(("value", "sd", "runs", "source", "confidence"), ("value",))
            numbers[metric] = detail.number("value")
            sd = detail.number("sd") if "sd" in detail.record else None
            runs = detail.count("runs", 1)
            details[metric] = Detail(sd, runs, detail.text("source"), detail.text("confidence"))
        elif value is not None:
            numbers[metric] = node.number(metric)
    return numbers, details
