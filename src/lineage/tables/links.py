"""Rows that use what another row left: `from` its checkpoint, `start` from its weights, its `proposals` or `labels`.

A reference is the name of a row of the same table, or <paper>/<table>/<row>.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lineage.tables.suggest import did_you_mean
from lineage.tables.table import ParentRole, Row, Table, TableError

LoadTable = Callable[[str], Table]  # by name; raises TableError if the table does not exist
RowKey = tuple[str, str]  # table, row
# The key that a row has to set so that its run leaves the artifact
DUMP_KEYS: dict[str, str] = {ParentRole.PROPOSALS: "dump_proposals", ParentRole.LABELS: "dump_labels"}
# The field of Row that holds the reference
FIELDS = {
    ParentRole.EVALUATE: "evaluates",
    ParentRole.START: "start",
    ParentRole.PROPOSALS: "proposals",
    ParentRole.LABELS: "labels",
}


def resolve_references(table: Table, load_table: LoadTable) -> Table:
    """Return the table with every reference in full and checked, and with the configs of `from` rows completed."""
    if not any(row.uses for row in table.rows.values()):
        return table
    load: LoadTable = lambda name: table if name == table.name else load_table(name)  # noqa: E731
    return replace(table, rows={name: _resolve_row((table.name, name), load, ()) for name in table.rows})


def parse_reference(table: str, reference: str) -> RowKey:
    """Return the row that a reference in `table` names."""
    other, _, row = reference.rpartition("/")
    return (other or table, row)


def _resolve_row(key: RowKey, load_table: LoadTable, path: tuple[RowKey, ...]) -> Row:
    """Follow the references of a row to their ends; raise TableError if a row waits for itself."""
    row = _find_row(key, load_table, path)
    if key in path:
        ring = " -> ".join("/".join(name) for name in (*path[path.index(key) :], key))
        raise TableError(f"{key[0]}: rows.{key[1]}: the rows wait for each other: {ring}")
    # 1. The rows that it uses, resolved in turn.
    keys = {role: parse_reference(key[0], reference) for role, reference in row.uses.items()}
    used = {role: _resolve_row(other, load_table, (*path, key)) for role, other in keys.items()}
    names = {role: "/".join(other) for role, other in keys.items()}
    # 2. Each has to leave the artifact, and to run; otherwise this row cannot run either.
    for role, row_used in used.items():
        dump_key = DUMP_KEYS.get(role)
        if dump_key and row_used.runs and not row_used.assignments.get(dump_key):
            where = f"{key[0]}: rows.{key[1]}: {names[role]}"
            raise TableError(f"{where} leaves no {role}; give it set: {{{dump_key}: true}}")
    tested = used.get(ParentRole.EVALUATE)
    if tested is not None and tested.tier != row.tier:
        raise TableError(
            f"{key[0]}: rows.{key[1]}.from: the options of {names[ParentRole.EVALUATE]} are those of tier "
            f"{tested.tier}, this file says `tier: {row.tier}`, and they would not be translated. "
            f"Leave `tier:` out, and run it with --tier {row.tier}"
        )
    reasons = [_explain_missing(used[role], role, names[role]) for role in used if not used[role].runs]
    reason = row.unsupported or (reasons[0] if reasons and not row.quoted else None)
    # 3. The row with full references and, if it only tests a checkpoint, with that row's config below its own.
    uses: dict[str, Any] = {FIELDS[role]: name for role, name in names.items()}
    row = replace(row, **uses, unsupported=reason)
    return row if tested is None else _complete(row, tested, load_table(key[0]).rows[key[1]])


def _complete(row: Row, tested: Row, declared: Row) -> Row:
    """Lay what the row itself declares over the config of the row whose checkpoint it tests."""
    choices = {group: declared.choices[group] for group in declared.own if group in declared.choices}
    assignments = {key: declared.assignments[key] for key in declared.own if key in declared.assignments}
    return replace(row, choices=tested.choices | choices, assignments=tested.assignments | assignments, at=tested.at)


def _explain_missing(used: Row, role: ParentRole, name: str) -> str:
    artifact = role if role in DUMP_KEYS else "checkpoint"
    return f"it needs the {artifact} of {name}, which does not run: {used.unsupported or used.quoted}"


def _find_row(key: RowKey, load_table: LoadTable, path: tuple[RowKey, ...]) -> Row:
    table = load_table(key[0])
    if key[1] not in table.rows:
        user = f"{path[-1][0]}: rows.{path[-1][1]}" if path else key[0]
        raise TableError(f"{user}: table {key[0]} has no row {key[1]!r}. {did_you_mean(key[1], table.rows)}")
    return table.rows[key[1]]
