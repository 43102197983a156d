"""From a file of experiments/ to a Table. A file that does not say what a table must say fails with file and key."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from lineage.results import paths
from lineage.tables import claims, links, model_facts
from lineage.tables.suggest import did_you_mean
from lineage.tables.table import KINDS, Detail, Row, Table, TableError
from lineage.tables.yaml_node import Node, read_node

REQUIRED = ("paper", "label", "message", "kind", "dataset", "metrics", "source", "rows")
OPTIONAL = ("arxiv", "factor", "covaries", "gaps", "baseline", "split", "tolerance", "confidence", "base", "claims",
            "unsupported", "note", "mixed")  # fmt: skip
ROW_KEYS = ("label", "with", "set", "from", "start", "proposals", "labels", "published", "covaries", "source",
            "confidence", "unsupported", "quoted", "note")  # fmt: skip
TOLERANCE = 0.5  # what detectron2's regression tests allow its own reruns, roughly


def names(folder: Path) -> list[str]:
    """Return the names of all tables below `experiments/` and, if the folder lies over it, of the shipped folder."""
    roots = [folder, shipped] if (shipped := paths.lower_experiments(folder)) else [folder]
    files = [(root, path) for root in roots for path in root.glob("*/*.yaml") if path.parent.name != model_facts.FOLDER]
    return sorted({path.relative_to(root).with_suffix("").as_posix() for root, path in files})


def file(folder: Path, name: str) -> Path:
    """The file of a table, whether it exists or not."""
    path, shipped = folder / f"{name}.yaml", paths.lower_experiments(folder)
    return path if path.is_file() or shipped is None else shipped / f"{name}.yaml"


def load(folder: Path, name: str) -> Table:
    """The table, with the rows that use another row's checkpoint completed from that row, of whatever table."""
    return links.linked(alone(folder, name), lambda other: alone(folder, other))


def alone(folder: Path, name: str) -> Table:
    """What the file itself says."""
    path = file(folder, name)
    if not path.is_file():
        raise TableError(f"{folder} has no table {name!r}. {_meant(name, names(folder))}")
    return _load(path, name, path.stat().st_mtime_ns)


def _meant(name: str, known: list[str]) -> str:
    """The tables that are called so in some paper, else the nearest of all."""
    called = [one for one in known if one.endswith(f"/{name}")]
    return f"Did you mean {' or '.join(called)}?" if called else did_you_mean(name, known)


@lru_cache(maxsize=256)
def _load(path: Path, name: str, changed: int) -> Table:
    """Cached, for composing one config asks many times; `changed` only makes an edited file a new question."""
    return _table(name, read_node(path))


def _table(name: str, node: Node) -> Table:
    node.check((*REQUIRED, *OPTIONAL), REQUIRED)
    kind, metrics = node.one_of("kind", KINDS), _metrics(node.map("metrics"))
    rows = _rows(node, kind, metrics)
    tolerance = node.number("tolerance", TOLERANCE)
    values, effects = claims.read(node, rows, list(metrics), tolerance)
    return Table(
        name=name,
        paper=node.text("paper"),
        label=node.text("label"),
        message=node.text("message"),
        kind=kind,
        factor=_factor(node, kind),
        dataset=node.text("dataset"),
        metrics=metrics,
        tolerance=tolerance,
        source=node.text("source"),
        confidence=node.text("confidence", "unstated"),
        rows=rows,
        effects=effects,
        note=node.text("note"),
        arxiv=_arxiv(node),
        split=node.text("split"),
        baseline=node.one_of("baseline", rows) if node.record.get("baseline") is not None else None,
        lower=_lower(node.map("metrics")),
        covaries=node.words("covaries"),
        gaps=[{key: str(level) for key, level in gap.record.items()} for gap in node.items("gaps")],
        unsupported=node.maybe("unsupported"),
        mixed=node.maybe("mixed"),
        values=values,
    )


def _arxiv(node: Node) -> str:
    if isinstance(node.record.get("arxiv"), float):  # 1505.08080 would lose its zero
        raise node.error("arxiv", "YAML reads this as a number; write it in quotes: arxiv: '1703.06870'")
    return node.text("arxiv")


def _metrics(node: Node) -> dict[str, str]:
    """metric: title, or metric: {title: ..., better: lower}."""
    titles = {}
    for metric, title in node.record.items():
        detail = node.map(metric).check(("title", "better"), ("title",)) if isinstance(title, dict) else None
        titles[metric] = detail.text("title") if detail else str(title)
    return titles


def _lower(node: Node) -> frozenset[str]:
    told = {metric: node.map(metric) for metric, title in node.record.items() if isinstance(title, dict)}
    return frozenset(
        name for name, detail in told.items() if "better" in detail.record
        and detail.one_of("better", ("lower", "higher")) == "lower"
    )  # fmt: skip


def _factor(node: Node, kind: str) -> dict[str, tuple[str, ...]]:
    """One key; a list of keys, which are one factor (factorial: one each); or {name of the factor: its keys}."""
    told = node.record.get("factor")
    if told is None:
        return {}
    if isinstance(told, str):
        return {told: (told,)}
    if isinstance(told, list):
        keys = node.texts("factor")
        return {key: (key,) for key in keys} if kind == "factorial" else {keys[0]: tuple(keys)}
    named = node.map("factor")
    return {
        name: tuple(named.texts(name)) if isinstance(keys, list) else (str(keys),)
        for name, keys in named.record.items()
    }


def _rows(table: Node, kind: str, metrics: dict[str, str]) -> dict[str, Row]:
    """Each starts from the base; in a cumulative table, from the row above."""
    base, listed = table.map("base").check(("with", "set")), table.map("rows")
    if any("/" in name for name in listed.record):
        raise listed.error(next(name for name in listed.record if "/" in name), "the name of a row has no slash")
    rows: dict[str, Row] = {}
    below = (base.words("with"), base.map("set").record)
    for name in listed.record:
        row = _row(name, listed.map(name), below, metrics)
        rows[name] = replace(
            row, unsupported=row.unsupported or (table.maybe("unsupported") if not row.quoted else None)
        )
        if kind == "cumulative" and not row.quoted:
            below = (row.choose, row.assign)
    return rows


def _row(name: str, node: Node, below: tuple[dict[str, str], dict[str, Any]], metrics: dict[str, str]) -> Row:
    node.check(ROW_KEYS)
    choose, assign = node.words("with"), node.map("set").record
    for role in ("start", "labels"):
        if node.maybe("from") and node.maybe(role):
            raise node.error("from", f"a row that tests another row's checkpoint trains nothing: leave {role} out")
    published, details = _published(node.map("published").check(metrics))
    return Row(
        name=name,
        label=node.text("label", name),
        choose=below[0] | choose,
        assign=below[1] | assign,
        published=published,
        unsupported=node.maybe("unsupported"),
        note=node.text("note"),
        quoted=node.maybe("quoted"),
        evaluates=node.maybe("from"),
        start=node.maybe("start"),
        proposals=node.maybe("proposals"),
        labels=node.maybe("labels"),
        covaries=node.words("covaries"),
        details=details,
        own=(*choose, *assign),
        source=node.text("source"),
        confidence=node.text("confidence"),
    )


def _published(node: Node) -> tuple[dict[str, float], dict[str, Detail]]:
    """metric: number, or metric: {value: number, sd: ..., runs: ..., source: ...}; null is no number."""
    numbers, details = {}, {}
    for metric, told in node.record.items():
        if isinstance(told, dict):
            detail = node.map(metric).check(("value", "sd", "runs", "source", "confidence"), ("value",))
            numbers[metric] = detail.number("value")
            sd = detail.number("sd") if "sd" in detail.record else None
            runs = int(detail.number("runs", 1))
            details[metric] = Detail(sd, runs, detail.text("source"), detail.text("confidence"))
        elif told is not None:
            numbers[metric] = node.number(metric)
    return numbers, details
