"""Decisions on cells, from entries alone: no project, no Hydra, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lineage.launch.cells import Cell, CellName
from lineage.launch.compose_rows import ComposedRow
from lineage.launch.plan import BLOCKED, DONE, NOT_NEEDED, TEST, TRAIN, decide, lease_name
from lineage.results.entry import Entry
from lineage.tables.table import ParentRole, Row
from tests.tables import made

START, PROPOSALS, LABELS, EVALUATE = (
    ParentRole.START, ParentRole.PROPOSALS, ParentRole.LABELS, ParentRole.EVALUATE)  # fmt: skip


def name(row: str) -> CellName:
    return CellName("paper/table", row, "mini", 0)


def cell(row: str, training: str = "", *, requested: bool = True, error: str | None = None, **uses: str) -> Cell:
    """A cell whose digests are its name, unless `training` says otherwise; uses: start="other", tests="other"."""
    roles = {ParentRole("from" if role == "tests" else role): name(parent) for role, parent in uses.items()}
    composed = ComposedRow({}, {}, "", "", error)
    table_row = Row(row, row, {}, {}, {})
    digests = ("", "") if error else (training or row, f"cell-{row}")
    return Cell(name(row), table_row, composed, *digests, requested=requested, uses=roles)


def entry(row: str, training: str = "", **changes: object) -> Entry:
    facts = {"table": "paper/table", "tier": "mini", "training_digest": training or row, "cell_digest": f"cell-{row}"}
    return made.entry(row, **facts | {"folder": f"runs/{row}", "steps": 5} | changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    what: str
    cells: list[Cell]
    entries: list[Entry] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    parents: dict[str, list[str]] = field(default_factory=dict)  # roles whose artifacts are there
    lost: tuple[tuple[str, str], ...] = ()  # row and role of artifacts that are gone
    note: dict[str, str] = field(default_factory=dict)


CASES = [
    Case("an empty store", [cell("a"), cell("b")], actions={"a": TRAIN, "b": TRAIN}),
    Case("a finished cell", [cell("a"), cell("b")], [entry("a")], {"a": DONE, "b": TRAIN}),
    Case("a finished run with deviations", [cell("a")], [entry("a", deviations=["x=1"])], {"a": TEST},
         parents={"a": ["start"]}),
    Case("a failed run", [cell("a")], [entry("a", status="failed", error="full")], {"a": TRAIN},
         note={"a": "failed before: full"}),
    Case("a run of an earlier config", [cell("a")], [entry("a", "old", cell_digest="old")], {"a": TRAIN},
         note={"a": "its entries are of an earlier config"}),
    Case("a row that does not compose", [cell("a", error="no such key"), cell("b", start="a")], [],
         {"a": BLOCKED, "b": BLOCKED}, note={"a": "no such key", "b": "needs paper/table/a seed 0: no such key"}),
    Case("equal trainings: the first trains", [cell("a", "t"), cell("b", "t")], [], {"a": TRAIN, "b": TEST},
         {"b": ["a"]}),
    Case("equal trainings: a checkpoint is there", [cell("a", "t"), cell("b", "t")], [entry("a", "t")],
         {"a": DONE, "b": TEST}, parents={"b": ["start"]}, note={"b": "tests the checkpoint of paper/table/a"}),
    Case("equal trainings: the checkpoint is lost", [cell("a", "t"), cell("b", "t")], [entry("a", "t")],
         {"a": DONE, "b": TRAIN}, lost=(("a", "start"),)),
    Case("a row that tests another's checkpoint", [cell("a", "t"), cell("b", "t", tests="a")], [],
         {"a": TRAIN, "b": TEST}, {"b": ["a"]}),
    Case("a row that tests a lost checkpoint", [cell("a", "t"), cell("b", "t", tests="a")], [entry("a", "t")],
         {"a": DONE, "b": BLOCKED}, lost=(("a", "start"),), note={"b": "what paper/table/a seed 0 left is in runs/a"}),
    Case("a start that has to be trained", [cell("a", requested=False), cell("b", start="a")], [],
         {"a": TRAIN, "b": TRAIN}, {"b": ["a"]}),
    Case("a start that is there", [cell("a", requested=False), cell("b", start="a")], [entry("a")],
         {"a": DONE, "b": TRAIN}, parents={"b": ["start"]}),
    Case("a start that another row left", [cell("a", "t", requested=False), cell("b", start="a")],
         [entry("other", "t")], {"a": NOT_NEEDED, "b": TRAIN}, parents={"a": ["start"], "b": ["start"]}),
    Case("proposals for training and test", [cell("p", requested=False), cell("b", proposals="p")], [entry("p")],
         {"p": DONE, "b": TRAIN}, parents={"b": ["proposals"]}),
    Case("a test needs the proposals, too", [cell("p", requested=False), cell("b", "t", proposals="p")],
         [entry("other", "t")], {"p": TRAIN, "b": TEST}, {"b": ["p"]}, {"b": ["start"]}),
    Case("labels are for the training alone", [cell("p", requested=False), cell("b", "t", labels="p")],
         [entry("other", "t")], {"p": NOT_NEEDED, "b": TEST}, parents={"b": ["start"]}),
    Case("a parent of a parent", [cell("a", requested=False), cell("b", requested=False, start="a"),
                                  cell("c", start="b")], [], {"a": TRAIN, "b": TRAIN, "c": TRAIN},
         {"b": ["a"], "c": ["b"]}),
    Case("nothing of a done cell is needed", [cell("a", requested=False), cell("b", start="a")], [entry("b")],
         {"a": NOT_NEEDED, "b": DONE}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_decisions(case: Case) -> None:
    lost = {(f"runs/{row}", role) for row, role in case.lost}
    has_artifact: Callable[[Entry, ParentRole], bool] = lambda entry, role: (entry.folder, str(role)) not in lost  # noqa: E731
    cells = {one.name: one for one in case.cells}
    decisions = {name.row: decision for name, decision in decide(cells, case.entries, has_artifact).items()}
    assert {row: decision.action for row, decision in decisions.items()} == case.actions
    for row, decision in decisions.items():
        assert [parent.row for parent in decision.after] == case.after.get(row, [])
        assert [str(role) for role in decision.parents] == case.parents.get(row, [])
        if row in case.note:
            assert decision.note.startswith(case.note[row])


def test_what_is_lost_is_trained_again_if_asked() -> None:
    """A clone holds entries and no weights: a new row that tests an old checkpoint could only withdraw entries."""
    cells = [cell("a", "t"), cell("b", "t", tests="a"), cell("c", "t", tests="a"), cell("d")]
    by_name = {one.name: one for one in cells}
    entries = [entry("a", "t", steps=0), entry("c", "t", steps=0), entry("d")]  # a tested a row of another table
    here: set[str] = set()

    def decide_now(*again: str) -> dict[str, str]:
        retrain = frozenset(map(name, again))
        decisions = decide(by_name, entries, lambda entry, role: entry.folder in here, retrain)
        return {name.row: decision.action for name, decision in decisions.items()}

    assert decide_now() == {"a": TRAIN, "b": TEST, "c": DONE, "d": DONE}, "nobody needs d"
    assert decide_now("d") == {"a": TRAIN, "b": TEST, "c": DONE, "d": TRAIN}, "a task of SLURM has a cell alone"
    entries.append(entry("a", "t", id="20261127T000000Z-again-000000"))  # in the same folder
    here.add("runs/a")
    assert decide_now() == {"a": DONE, "b": TEST, "c": DONE, "d": DONE}
    decisions = decide(by_name, entries, lambda entry, role: entry.folder in here)
    assert decisions[name("b")].parents == {START: "20261127T000000Z-again-000000"}
    entries.append(entry("b", "t", steps=0))
    here.clear()
    assert decide_now() == {"a": DONE, "b": DONE, "c": DONE, "d": DONE}


def test_the_artifact_of_who_trained_comes_first() -> None:
    tested, trained = entry("x", "t", steps=0), entry("y", "t")
    (decision,) = decide({name("a"): cell("a", "t")}, [tested, trained], lambda entry, role: True).values()
    assert decision.parents == {START: trained.id}


def test_deciding_changes_nothing_and_is_repeatable() -> None:
    cells = {one.name: one for one in CASES[6].cells}
    first, second = (decide(cells, [], lambda entry, role: True) for _ in range(2))
    assert first == second


def test_trainings_are_protected_across_cells_and_tests_are_not() -> None:
    one, other = cell("a", "t"), cell("b", "t")
    assert lease_name(one, TRAIN) == lease_name(other, TRAIN)
    assert lease_name(one, TEST) != lease_name(other, TEST)
    assert "/" not in lease_name(one, TEST)
