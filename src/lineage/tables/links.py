"""Rows that use what another row left: `from` its checkpoint, `start` from its weights, its `proposals`, its `labels`.

A reference is the name of a row of the same table, or <paper>/<table>/<row>.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lineage.tables.suggest import did_you_mean
from lineage.tables.table import EVALUATE, LABELS, PROPOSALS, START, Row, Table, TableError

Tables = Callable[[str], Table]  # by name; raises TableError where there is none
Name = tuple[str, str]  # table, row
DUMPS = {PROPOSALS: "dump_proposals", LABELS: "dump_labels"}  # what a row has to set that leaves them for others
NAMES = {EVALUATE: "evaluates", START: "start", PROPOSALS: "proposals", LABELS: "labels"}  # role -> field of Row


def linked(table: Table, tables: Tables) -> Table:
    """The table with every reference in full and looked up, and the configs of `from` rows completed."""
    if not any(row.uses for row in table.rows.values()):
        return table
    here: Tables = lambda name: table if name == table.name else tables(name)  # noqa: E731
    rows = {name: _linked((table.name, name), here, ()) for name in table.rows}
    return replace(table, rows=rows)


def full(table: str, reference: str) -> Name:
    other, _, row = reference.rpartition("/")
    return (other or table, row)


def _linked(name: Name, tables: Tables, path: tuple[Name, ...]) -> Row:
    """Follow the references of a row to their ends; a row on its own path would wait for itself."""
    row = _row(name, tables, path)
    if name in path:
        ring = " -> ".join("/".join(one) for one in (*path[path.index(name) :], name))
        raise TableError(f"{name[0]}: rows.{name[1]}: the rows wait for each other: {ring}")
    used = {role: full(name[0], reference) for role, reference in row.uses.items()}
    rows = {role: _linked(other, tables, (*path, name)) for role, other in used.items()}
    named = {role: "/".join(other) for role, other in used.items()}
    for role, key in DUMPS.items():
        if role in rows and rows[role].runs and not rows[role].assign.get(key):
            where = f"{name[0]}: rows.{name[1]}: {named[role]}"
            raise TableError(f"{where} leaves no {role}; give it set: {{{key}: true}}")
    reasons = [_missing(rows[role], role, named[role]) for role in rows if not rows[role].runs]
    reason = row.unsupported or (reasons[0] if reasons and not row.quoted else None)
    uses: dict[str, Any] = {NAMES[role]: reference for role, reference in named.items()}
    row = replace(row, **uses, unsupported=reason)
    return _completed(row, rows[EVALUATE], tables(name[0]).rows[name[1]]) if EVALUATE in rows else row


def _completed(row: Row, tested: Row, own: Row) -> Row:
    """The config of the tested row, and on top of it what this row says itself."""
    choose = tested.choose | {group: own.choose[group] for group in own.own if group in own.choose}
    assign = tested.assign | {key: own.assign[key] for key in own.own if key in own.assign}
    return replace(row, choose=choose, assign=assign)


def _missing(used: Row, role: str, name: str) -> str:
    what = role if role in DUMPS else "checkpoint"
    return f"it needs the {what} of {name}, which does not run: {used.unsupported or used.quoted}"


def _row(name: Name, tables: Tables, path: tuple[Name, ...]) -> Row:
    table = tables(name[0])
    if name[1] not in table.rows:
        asked = f"{path[-1][0]}: rows.{path[-1][1]}" if path else name[0]
        raise TableError(f"{asked}: table {name[0]} has no row {name[1]!r}. {did_you_mean(name[1], table.rows)}")
    return table.rows[name[1]]
