"""Entries of the store, indexed by the cells that they fill and by the artifacts that they left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from lineage.launch.cells import Cell, CellName
from lineage.results.entry import Entry
from lineage.tables.table import ParentRole

HasArtifact = Callable[[Entry, ParentRole], bool]  # whether the run folder still has what the entry left


class EntryIndex:
    def __init__(self, entries: Iterable[Entry], has_artifact: HasArtifact) -> None:
        self.has_artifact = has_artifact
        self.by_cell: dict[CellName, list[Entry]] = defaultdict(list)
        self.by_training: dict[tuple[str, int], list[Entry]] = defaultdict(list)  # digest, seed
        self.by_digest: dict[tuple[str, int], list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.table and entry.row:
                self.by_cell[CellName(entry.table, entry.row, entry.tier, entry.seed)].append(entry)
            if entry.status == "finished" and entry.training_digest:
                self.by_training[entry.training_digest, entry.seed].append(entry)
                self.by_digest[entry.cell_digest, entry.seed].append(entry)

    def find_finished(self, cell: Cell) -> Entry | None:
        """Return the newest finished entry of a cell without deviations."""
        entries = [entry for entry in self._of_cell(cell) if entry.status == "finished" and not entry.deviations]
        return entries[-1] if entries else None

    def has_weights(self, cell: Cell) -> bool:
        """Return whether the weights of a cell are on this machine."""
        return self.find_artifact(ParentRole.START, cell.training_digest, cell.name.seed) is not None

    def find_artifact(self, role: ParentRole, digest: str, seed: int) -> Entry | None:
        """Return an entry whose run folder has the artifact of this training (START) or cell (the other roles).

        A folder that a later run has filled again is that of the later entry.
        """
        of_digest = (self.by_training if role == ParentRole.START else self.by_digest)[digest, seed]
        entries = {entry.folder: entry for entry in of_digest}.values()
        trained_first = sorted(entries, key=lambda entry: entry.steps == 0)
        return next((entry for entry in trained_first if self.has_artifact(entry, role)), None)

    def explain_open(self, cell: Cell) -> str:
        """Return why an open cell has entries; empty if it has none."""
        failed = [entry for entry in self._of_cell(cell) if entry.status != "finished"]
        if failed:
            return f"{failed[-1].status} before: {failed[-1].error}"[:160]
        if self.find_finished(cell) is not None:
            return "its weights are not on this machine"
        is_finished = any(entry.status == "finished" for entry in self.by_cell[cell.name])
        return "its entries are of an earlier config" if is_finished else ""

    def _of_cell(self, cell: Cell) -> list[Entry]:
        return [entry for entry in self.by_cell[cell.name] if entry.cell_digest == cell.cell_digest]
