"""The plan to fill a table: for each cell, whether it is done, trains, tests a checkpoint, or cannot run.

Rows that need equal trainings share one checkpoint, in whatever table they are: the first trains, the others test it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lineage.launch.cells import Cell, CellName, LoadTable, build_cells
from lineage.launch.entry_index import EntryIndex, HasArtifact
from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.tables.samples import drop_superseded
from lineage.tables.table import ParentRole

DONE, TRAIN, TEST, BLOCKED = "done", "train", "test", "blocked"
NOT_NEEDED = "not needed"  # nobody requested it, and what others need of it is there


@dataclass(frozen=True)
class Decision:
    action: str
    entry: Entry | None = None  # the finished one
    after: tuple[CellName, ...] = ()  # cells that have to be done first
    parents: Mapping[ParentRole, str] = field(default_factory=dict)  # ids of the entries whose artifacts it takes
    note: str = ""
    lost: CellName | None = None  # the finished cell whose artifact it waits for in vain

    @property
    def is_open(self) -> bool:
        return self.action in (TRAIN, TEST)


@dataclass(frozen=True)
class Plan:
    """Cells, parents before children, and the decision on each."""

    cells: Mapping[CellName, Cell]
    decisions: Mapping[CellName, Decision]
    project: Path
    retrain: frozenset[CellName] | None = None  # see decide

    @property
    def open(self) -> list[Cell]:
        return [cell for cell in self.cells.values() if self.is_open(cell.name)]

    @property
    def num_unfinished(self) -> int:
        """The number of cells that have to succeed and are not done."""
        return sum(cell.must_succeed and self.action(cell) != DONE for cell in self.cells.values())

    def is_open(self, name: CellName) -> bool:
        return self.decisions[name].is_open

    def action(self, cell: Cell) -> str:
        return self.decisions[cell.name].action

    def with_entries(self, entries: Iterable[Entry]) -> Plan:
        """Return the plan that follows from other entries of the store."""
        decisions = decide(self.cells, entries, _artifacts_below(self.project), self.retrain)
        return replace(self, decisions=decisions)

    def read_store(self, results: Path) -> Plan:
        """Return the plan that follows from the store as it is now."""
        return self.with_entries(drop_superseded(store.read_own(results)))


def make_plan(
    project: Path,
    load_table: LoadTable,
    names: Iterable[CellName],
    entries: Iterable[Entry],
    retrain: frozenset[CellName] | None = None,
) -> Plan:
    """Return the plan for these cells and all that they need. retrain: see decide."""
    return Plan(build_cells(project, load_table, names), {}, project, retrain).with_entries(entries)


def decide(
    cells: Mapping[CellName, Cell],
    entries: Iterable[Entry],
    has_artifact: HasArtifact,
    retrain: frozenset[CellName] | None = None,
) -> dict[CellName, Decision]:
    """Decide on each cell. `cells` has parents before children; `entries` are those that no later one corrects.

    retrain: finished cells that are trained again if their weights are not on this machine; those that another open
        cell needs are added. None: a finished cell is never run again.
    """
    index = EntryIndex(entries, has_artifact)
    again = retrain or frozenset()
    decisions = _decide_all(cells, index, again)
    while retrain is not None and (lost := _find_lost(decisions) - again):
        again |= lost
        decisions = _decide_all(cells, index, again)
    needed = _find_needed(cells, decisions)
    return {
        name: replace(decision, action=NOT_NEEDED) if decision.is_open and name not in needed else decision
        for name, decision in decisions.items()
    }


def _decide_all(
    cells: Mapping[CellName, Cell], index: EntryIndex, again: frozenset[CellName]
) -> dict[CellName, Decision]:
    decisions: dict[CellName, Decision] = {}
    trainers: dict[tuple[str, int], CellName] = {}  # training digest, seed -> the cell that trains it
    for name, cell in cells.items():
        is_again = name in again and not index.has_weights(cell)
        decisions[name] = _decide_cell(cell, cells, decisions, trainers, index, is_again)
        if decisions[name].action == TRAIN:
            trainers[cell.training_digest, name.seed] = name
    return decisions


def _find_lost(decisions: Mapping[CellName, Decision]) -> frozenset[CellName]:
    return frozenset(decision.lost for decision in decisions.values() if decision.lost is not None)


def _decide_cell(
    cell: Cell,
    cells: Mapping[CellName, Cell],
    decisions: Mapping[CellName, Decision],
    trainers: Mapping[tuple[str, int], CellName],
    index: EntryIndex,
    is_again: bool,
) -> Decision:
    # 1. It cannot run, or it is done.
    if cell.composed.error is not None:
        return Decision(BLOCKED, note=cell.composed.error)
    if not is_again and (entry := index.find_finished(cell)):
        return Decision(DONE, entry=entry)
    for name in cell.uses.values():
        if decisions[name].action == BLOCKED:
            return Decision(BLOCKED, note=f"needs {name}: {decisions[name].note}")
    # 2. Test a checkpoint: one that is there, that of a cell which trains the same, or that of its `from` row.
    seed, parents, after = cell.name.seed, {}, []
    trained = index.find_artifact(ParentRole.START, cell.training_digest, seed)
    trainer = trainers.get((cell.training_digest, seed), cell.uses.get(ParentRole.EVALUATE))
    note = index.explain_open(cell)
    if trained is not None:
        action, roles, parents[ParentRole.START] = TEST, [ParentRole.PROPOSALS], trained.id
        note = note or f"tests {f'the checkpoint of {trained.table}/{trained.row}' if trained.row else trained.id}"
    elif trainer is not None:
        action, roles = TEST, [ParentRole.PROPOSALS]
        after.append(trainer)
    # 3. Else train.
    else:
        action, roles = TRAIN, [ParentRole.START, ParentRole.LABELS, ParentRole.PROPOSALS]
    # 4. The artifacts that it takes are there, or their cells have to be done first.
    for role in (role for role in roles if role in cell.uses):
        entry = index.find_artifact(role, cell.parent_digest(role, cells), seed)
        if entry is not None:
            parents[role] = entry.id
        else:
            after.append(cell.uses[role])
    # 5. A cell that is done is not run again, even if its artifact is lost, unless that is asked for.
    for name in after:
        if decisions[name].action == DONE:
            return Decision(BLOCKED, note=_explain_lost(name, decisions[name]), lost=name)
    return Decision(action, after=tuple(after), parents=parents, note=note)


def _find_needed(cells: Mapping[CellName, Cell], decisions: Mapping[CellName, Decision]) -> set[CellName]:
    """Return the requested cells and all that have to be done before one of them."""
    needed = {name for name, cell in cells.items() if cell.requested}
    for name in reversed(list(cells)):
        if name in needed and decisions[name].is_open:
            needed |= set(decisions[name].after)
    return needed


def _explain_lost(name: CellName, decision: Decision) -> str:
    """Say where the artifacts of a finished cell are, and how to run it again."""
    entry = decision.entry
    assert entry is not None
    return (
        f"what {name} left is in {entry.folder} on {entry.host or 'another machine'}: copy that folder to the "
        "same place here, or add --retrain-lost, and `lineage run` trains it again here"
    )


def _artifacts_below(project: Path) -> HasArtifact:
    """Return a function that looks for the artifact of an entry in its run folder."""

    def has_artifact(entry: Entry, role: ParentRole) -> bool:
        return (
            bool(entry.folder)
            and RunFolder(paths.resolve_portable(entry.folder or "", project)).artifact(role).exists()
        )

    return has_artifact


def lease_name(cell: Cell, action: str) -> str:
    """Return the name of the lease that protects this work: trainings are shared between cells, tests are not."""
    name = cell.name
    if action == TRAIN:
        return f"train-{cell.training_digest[:24]}-{name.seed}"
    return f"test-{cell.cell_digest[:24]}-{name.seed}-{f'{name.table}-{name.row}'.replace('/', '-').replace('.', '-')}"
