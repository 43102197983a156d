"""From a file of experiments/ to a Table. A file that does not say what a table must say fails with file and key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from lineage.tables.nearest import did_you_mean
from lineage.tables.table import KINDS, Effect, Row, Table, TableError

REQUIRED = ("paper", "label", "message", "kind", "dataset", "metrics", "source", "rows")
OPTIONAL = ("factor", "tolerance", "confidence", "base", "effects", "note")
ROW_KEYS = ("label", "with", "set", "published", "unsupported", "note")
EFFECT_KEYS = ("better", "worse", "equal", "metric", "gain", "tolerance")
TOLERANCE = 0.5  # what detectron2's regression tests allow its own reruns, roughly

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is built in


def names(folder: Path) -> list[str]:
    """All tables below `experiments/`."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.yaml"))


def load(folder: Path, name: str) -> Table:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise TableError(f"{folder} has no table {name!r}. {did_you_mean(name, names(folder))}")
    return _load(path, name, path.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _load(path: Path, name: str, changed: int) -> Table:
    """Cached, for composing one config asks many times; `changed` only makes an edited file a new question."""
    try:
        record = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise TableError(f"{path}: not YAML: {error}") from error
    return _table(name, _Node(path, "", {"table": record}).map("table", at=""))


@dataclass(frozen=True)
class _Node:
    """A mapping of the file that knows where it stands, for the sake of the messages."""

    path: Path
    where: str  # the dotted key of this node
    record: dict[str, Any]

    def at(self, key: object) -> str:
        return f"{self.where}.{key}" if self.where else str(key)

    def error(self, key: object, what: str) -> TableError:
        return TableError(f"{self.path}: {self.at(key)}: {what}")

    def map(self, key: str, at: str | None = None) -> _Node:
        node = self.record.get(key)
        if node is not None and not isinstance(node, dict):
            raise self.error(key, f"expected keys and values, found {node!r}")
        named = {str(name): value for name, value in (node or {}).items()}
        return _Node(self.path, self.at(key) if at is None else at, named)

    def text(self, key: str, otherwise: str = "") -> str:
        return str(self.record.get(key, otherwise))

    def number(self, key: str, otherwise: float | None = None) -> float:
        value = self.record.get(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"{value!r} is not a number")
        return float(value)

    def check(self, allowed: Iterable[str], required: Iterable[str] = ()) -> _Node:
        known = list(allowed)
        for key in self.record:
            if key not in known:
                raise self.error(key, f"unknown key. {did_you_mean(key, known)}")
        for key in required:
            if self.record.get(key) in (None, "", {}):
                raise self.error(key, "missing")
        return self

    def one_of(self, key: str, names: Iterable[str]) -> str:
        value, known = self.text(key), list(names)
        if value not in known:
            raise self.error(key, f"unknown: {value!r}. {did_you_mean(value, known)}")
        return value


def _table(name: str, node: _Node) -> Table:
    node.check((*REQUIRED, *OPTIONAL), REQUIRED)
    metrics = {metric: str(title) for metric, title in node.map("metrics").record.items()}
    base = node.map("base").check(("with", "set"))
    rows = {key: _row(key, node.map("rows").map(key), base, metrics) for key in node.map("rows").record}
    tolerance = node.number("tolerance", TOLERANCE)
    return Table(
        name=name,
        paper=node.text("paper"),
        label=node.text("label"),
        message=node.text("message"),
        kind=node.one_of("kind", KINDS),
        factor=node.record.get("factor"),
        dataset=node.text("dataset"),
        metrics=metrics,
        tolerance=tolerance,
        source=node.text("source"),
        confidence=node.text("confidence", "unstated"),
        rows=rows,
        effects=_effects(node, rows, metrics, tolerance),
        note=node.text("note"),
    )


def _row(name: str, node: _Node, base: _Node, metrics: Iterable[str]) -> Row:
    node.check(ROW_KEYS)
    choose = base.map("with").record | node.map("with").record
    published = node.map("published").check(metrics)
    return Row(
        name=name,
        label=node.text("label", name),
        choose={group: str(option) for group, option in choose.items()},
        assign=base.map("set").record | node.map("set").record,
        published={metric: published.number(metric) for metric in published.record},
        unsupported=node.record.get("unsupported"),
        note=node.text("note"),
    )


def _effects(table: _Node, rows: dict[str, Row], metrics: Iterable[str], tolerance: float) -> list[Effect]:
    listed = table.record.get("effects") or []
    if not isinstance(listed, list):
        raise table.error("effects", "expected a list")
    at = [f"effects[{i}]" for i in range(len(listed))]
    items = _Node(table.path, "", dict(zip(at, listed, strict=True)))
    return [_effect(items.map(key), rows, metrics, tolerance) for key in at]


def _effect(node: _Node, rows: dict[str, Row], metrics: Iterable[str], tolerance: float) -> Effect:
    node.check(EFFECT_KEYS, ("metric",))
    if ("equal" in node.record) == ("better" in node.record):
        raise node.error("better", "an effect has either better: ROW and worse: ROW, or equal: [ROW, ROW]")
    pair = node.record.get("equal") or [node.text("better"), node.text("worse")]
    if not isinstance(pair, list) or len(pair) != 2:
        raise node.error("equal", "expected two rows")
    for row in pair:
        if row not in rows:
            raise node.error(
                "better" if "better" in node.record else "equal", f"no row {row!r}. {did_you_mean(str(row), rows)}"
            )
    gain = node.number("gain") if "gain" in node.record else None
    kind = "equal" if "equal" in node.record else "order" if gain is None else "gain"
    return Effect(kind, pair[0], pair[1], node.one_of("metric", metrics), gain, node.number("tolerance", tolerance))
