"""What has to be done to fill a table: cells, what they need of each other, and what the store already has.

A cell is a row at a tier with a seed. Its training is known by a digest of everything the weights depend on, so rows of
whatever table that need equal trainings share one checkpoint: the first trains, the others test what it left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lineage.config import digests
from lineage.launch import compose_rows as composed
from lineage.launch.compose_rows import Ask, Composed
from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.tables import links
from lineage.tables.samples import drop_superseded
from lineage.tables.table import ParentRole, Row, Table

DONE, TRAIN, TEST, BLOCKED = "done", "train", "test", "blocked"
SPARED = "spared"  # not done, and only needed for a checkpoint that is there


class Name(NamedTuple):
    table: str
    row: str
    tier: str
    seed: int

    def __str__(self) -> str:
        return f"{self.table}/{self.row} seed {self.seed}"


@dataclass
class Cell:
    name: Name
    row: Row
    composed: Composed
    training_digest: str  # see config/digests.py
    cell_digest: str
    asked: bool  # else it is here because another cell needs it
    action: str = TRAIN
    entry: Entry | None = None  # the finished one
    after: list[Name] = field(default_factory=list)  # cells that have to be done first
    given: dict[str, str] = field(default_factory=dict)  # role -> id of the entry that left what it uses
    note: str = ""

    @property
    def open(self) -> bool:
        return self.action in (TRAIN, TEST)

    @property
    def wanted(self) -> bool:
        """That a table says of a row that it cannot run is no failure."""
        return self.asked and self.row.unsupported is None

    @property
    def claim(self) -> str:
        """What nobody else may do at the same time."""
        if self.action == TRAIN:
            return f"train-{self.training_digest[:24]}-{self.name.seed}"
        where = f"{self.name.table}-{self.name.row}".replace("/", "-").replace(".", "-")
        return f"test-{self.cell_digest[:24]}-{self.name.seed}-{where}"

    @property
    def folder(self) -> Path:
        """Of its run, below paths.runs: a later attempt finds it and goes on there."""
        name = self.name
        return Path("cells", name.tier, name.table, name.row, f"seed-{name.seed}-{self.cell_digest[:8]}")


@dataclass
class Plan:
    cells: dict[Name, Cell]  # those that others need first
    project: Path

    @property
    def open(self) -> list[Cell]:
        return [cell for cell in self.cells.values() if cell.open]


def make(
    project: Path, results: Path, tables: Callable[[str], Table], asked: Iterable[Name], held: list[Entry] | None = None
) -> Plan:
    """The plan for these cells and all that they need."""
    named = _closure(list(asked), tables)
    planned = Plan(_cells(project, tables, named), project)
    settle(planned, drop_superseded(store.contents(results).entries) if held is None else held)
    return planned


def _closure(asked: list[Name], tables: Callable[[str], Table]) -> dict[Name, bool]:
    """Parents before children."""
    ordered: dict[Name, bool] = {}

    def visit(name: Name, wanted: bool) -> None:
        if name in ordered:
            ordered[name] |= wanted
            return
        for parent in _uses(name, tables(name.table).rows[name.row]).values():
            visit(parent, False)
        ordered[name] = wanted

    for name in asked:
        visit(name, True)
    return ordered


def _uses(name: Name, row: Row) -> dict[str, Name]:
    named = {role: links.parse_reference(name.table, reference) for role, reference in row.uses.items()}
    return {role: Name(table, other, name.tier, name.seed) for role, (table, other) in named.items()}


def _cells(project: Path, tables: Callable[[str], Table], named: dict[Name, bool]) -> dict[Name, Cell]:
    rows = {name: tables(name.table).rows[name.row] for name in named}
    runs = [name for name in named if rows[name].runs]
    asks = {name[:3]: Ask(name.table, rows[name], name.tier) for name in runs}
    made = dict(zip(asks, composed.rows(project, asks.values()), strict=True))
    cells: dict[Name, Cell] = {}
    for name, asked in named.items():
        row = rows[name]
        whole = made.get(name[:3]) or Composed({}, {}, "", "", row.unsupported or row.quoted)
        parents = {role: cells[parent] for role, parent in _uses(name, row).items()}
        error = whole.error or _unlabelled(whole, parents)
        if error is not None:
            cells[name] = Cell(name, row, replace(whole, error=error), "", "", asked, BLOCKED, note=error)
            continue
        training = _training(whole, parents)
        regions = parents[ParentRole.PROPOSALS].cell_digest if ParentRole.PROPOSALS in parents else None
        cells[name] = Cell(name, row, whole, training, digests.recipe(whole.test, training, regions), asked)
        cells[name].after = [parent.name for parent in parents.values()]
    return cells


def _training(whole: Composed, parents: dict[str, Cell]) -> str:
    if ParentRole.EVALUATE in parents:
        return parents[ParentRole.EVALUATE].training_digest
    used = {
        role: parent.training_digest if role == ParentRole.START else parent.cell_digest
        for role, parent in parents.items()
    }
    return digests.following(whole.training, used)


def _unlabelled(whole: Composed, parents: dict[str, Cell]) -> str | None:
    """A head whose targets the labels that it is to be trained on do not have."""
    if ParentRole.LABELS not in parents or parents[ParentRole.LABELS].composed.error is not None:
        return None
    teacher = parents[ParentRole.LABELS]
    ours, theirs = (one.config.get("model", {}).get("heads") or {} for one in (whole, teacher.composed))
    lacking = [head for head in ours if head not in theirs]
    who = f"{teacher.name.table}/{teacher.name.row}"
    return f"its {lacking[0]} head needs labels that {who} cannot give: that model has none" if lacking else None


def settle(plan: Plan, entries: list[Entry]) -> None:
    """Decide what each cell takes, from what the store holds now."""
    shelf = _Shelf(entries, plan.project)
    trainers: dict[tuple[str, int], Cell] = {}
    able = [cell for cell in plan.cells.values() if cell.composed.error is None]
    for cell in able:
        cell.entry = shelf.finished(cell)
        cell.action, cell.given = DONE if cell.entry else TRAIN, {}
    for cell in able:
        if cell.action != DONE:
            _settle(cell, plan, shelf, trainers)
    _spare(plan)


def _settle(cell: Cell, plan: Plan, shelf: _Shelf, trainers: dict[tuple[str, int], Cell]) -> None:
    uses, identity_ = _uses(cell.name, cell.row), (cell.training_digest, cell.name.seed)
    blocked = [plan.cells[name] for name in uses.values() if plan.cells[name].action == BLOCKED]
    if blocked:
        cell.action, cell.note = BLOCKED, f"needs {blocked[0].name}: {blocked[0].note}"
        return
    cell.note, cell.after = shelf.history(cell), []
    made = shelf.left(ParentRole.START, cell.training_digest, cell.name.seed)
    if made is not None or ParentRole.EVALUATE in uses or identity_ in trainers:
        cell.action, cell.given = TEST, {ParentRole.START: made.id} if made else {}
        if made is None:
            cell.after = [trainers[identity_].name if identity_ in trainers else uses[ParentRole.EVALUATE]]
        elif not cell.note:
            cell.note = f"tests the checkpoint of {made.table}/{made.row}" if made.row else f"tests {made.id}"
    else:
        trainers[identity_] = cell
        _take(cell, plan, shelf, ParentRole.START, ParentRole.LABELS)
    _take(cell, plan, shelf, ParentRole.PROPOSALS)
    lost = [parent for name in cell.after if (parent := plan.cells[name]).action == DONE]
    if lost:
        cell.action, cell.note = BLOCKED, _where(lost[0])


def _take(cell: Cell, plan: Plan, shelf: _Shelf, *roles: str) -> None:
    """What the rows that it uses in these roles left, or that they have to be done first."""
    for role, name in _uses(cell.name, cell.row).items():
        if role not in roles:
            continue
        used = plan.cells[name]
        found = shelf.left(role, used.training_digest if role == ParentRole.START else used.cell_digest, cell.name.seed)
        if found:
            cell.given[role] = found.id
        else:
            cell.after.append(name)


def _where(parent: Cell) -> str:
    """Of a run that finished, and whose weights, proposals or labels are not here."""
    entry = parent.entry
    assert entry is not None
    return (
        f"what {parent.name} left is in {entry.folder} on {entry.host or 'another machine'}: copy that folder to the "
        f"same place here, or `lineage store correct {entry.id[-6:]} --withdraw --note lost` and it is run again"
    )


def _spare(plan: Plan) -> None:
    """A parent whose checkpoint is there need not fill its own cell, unless that was asked for."""
    needed = {name for name, cell in plan.cells.items() if cell.asked}
    for name in reversed(plan.cells):
        if name in needed and plan.cells[name].open:
            needed |= set(plan.cells[name].after)
    for name, cell in plan.cells.items():
        if name not in needed and cell.open:
            cell.action = SPARED


class _Shelf:
    """The store's entries, found by what they are."""

    def __init__(self, entries: list[Entry], project: Path) -> None:
        self.project = project
        self.cells: dict[Name, list[Entry]] = defaultdict(list)
        self.trained: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        self.tested: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.table and entry.row:
                self.cells[Name(entry.table, entry.row, entry.tier, entry.seed)].append(entry)
            if entry.status == "finished" and entry.training_digest:
                self.trained[entry.training_digest, entry.seed].append(entry)
                self.tested[entry.cell_digest, entry.seed].append(entry)

    def finished(self, cell: Cell) -> Entry | None:
        found = [
            entry
            for entry in self.cells[cell.name]
            if entry.status == "finished" and entry.cell_digest == cell.cell_digest
        ]
        exact = [entry for entry in found if not entry.deviations]
        return exact[-1] if exact else None

    def left(self, role: str, digest: str, seed: int) -> Entry | None:
        """An entry of such a training, or recipe, whose run folder still has what it left for this role."""
        entries = (self.trained if role == ParentRole.START else self.tested)[digest, seed]
        for entry in sorted(entries, key=lambda entry: entry.steps == 0):  # who trained, before who tested that
            if entry.folder and RunFolder(paths.found(entry.folder, self.project)).artifact(role).exists():
                return entry
        return None

    def history(self, cell: Cell) -> str:
        """Why there are entries and the cell is still open."""
        earlier = self.cells[cell.name]
        failed = [entry for entry in earlier if entry.status != "finished" and entry.cell_digest == cell.cell_digest]
        if failed:
            return f"{failed[-1].status} before: {failed[-1].error}"[:160]
        return "its entries are of an earlier config" if any(entry.status == "finished" for entry in earlier) else ""
