"""Parents of a run: earlier runs whose weights it starts from or tests, whose proposals and labels it trains on.

A parent is named by the id of its entry (`cell.start=ID`), so that the entry of the child says where it comes from and
its protocol holds no path. A path to a run folder, or to what the run left there (`weights=RUN`,
`weights=RUN/weights.pt`), names its parent too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lineage.config import digests
from lineage.config.build import ConfigError
from lineage.results import paths, store
from lineage.results.entry import Entry
from lineage.results.run_folder import RunFolder
from lineage.tables.table import ParentRole

KEYS: Mapping[str, str] = {  # of the config: where the artifact of each role lies
    ParentRole.START: "weights",
    ParentRole.PROPOSALS: "proposals.folder",
    ParentRole.LABELS: "dataset.labels",
}


@dataclass(frozen=True, slots=True)
class Parents:
    """The earlier runs that a run builds on, and the digests that follow from them."""

    ids: list[str]  # of their entries
    artifacts: dict[str, Path]  # key of the config -> what a parent that was named by its id left for it
    training_digest: str  # see config/digests.py
    cell_digest: str


def resolve_parents(config: DictConfig) -> Parents:
    """Look the parents up for a config as it was composed."""
    results = Path(config.paths.results)
    parents = {role: entry for role in KEYS if (entry := _find_parent(config, role, results)) is not None}
    named = {role: entry for role, entry in parents.items() if config.cell[role]}
    artifacts = {KEYS[role]: _locate_artifact(entry, role) for role, entry in named.items()}
    if config.evaluate_only and not config.weights and "weights" not in artifacts:
        raise ConfigError("evaluate_only=true tests a checkpoint: name it with weights=PATH or cell.start=ENTRY_ID")
    training_digest = _compute_training_digest(config, parents)
    proposals = _read_cell_digest(parents[ParentRole.PROPOSALS]) if ParentRole.PROPOSALS in parents else None
    cell_digest = digests.cell_digest(digests.test_digest(config), training_digest, proposals)
    return Parents([parent.id for parent in parents.values()], artifacts, training_digest, cell_digest)


def _compute_training_digest(config: DictConfig, parents: Mapping[str, Entry]) -> str:
    if config.evaluate_only and ParentRole.START in parents:
        return _read_training_digest(parents[ParentRole.START])
    used = {
        role: _read_training_digest(entry) if role == ParentRole.START else _read_cell_digest(entry)
        for role, entry in parents.items()
    }
    return digests.with_parents(digests.training_digest(config), used)


def _read_training_digest(entry: Entry) -> str:
    return entry.training_digest or entry.id


def _read_cell_digest(entry: Entry) -> str:
    """Return what proposals and labels depend on: the weights, and how they were tested."""
    return entry.cell_digest or entry.id


def _find_parent(config: DictConfig, role: str, results: Path) -> Entry | None:
    """Find a parent by its id in the store, else by the run folder that its path lies in."""
    if name := config.cell[role]:
        return store.read(store.find(results, name))
    path = OmegaConf.select(config, KEYS[role])
    beside = _find_folder(Path(path), role).entry if isinstance(path, str) else None
    if beside is None or not beside.is_file():
        return None
    try:
        name = json.loads(beside.read_text(encoding="utf-8"))["id"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{beside} is damaged: {type(error).__name__}: {error!s:.200}") from error
    stored = next((path for path in store.files(results) if path.stem == name), None)
    return None if stored is None else store.read(stored)


def _find_folder(path: Path, role: str) -> RunFolder:
    """Return the run folder that a path is, if the run left the artifact there, else the folder that the path is in."""
    named = RunFolder(path)
    return named if named.artifact(role).exists() else RunFolder(path.parent)


def _locate_artifact(entry: Entry, role: str) -> Path:
    path = RunFolder(paths.resolve_portable(entry.folder or "")).artifact(role)
    if path.exists():
        return path
    if entry.status != "finished":
        raise ConfigError(f"{entry.id} {entry.status}, so it left no {path.name}")
    raise ConfigError(
        f"{entry.id} left its {path.name} in {path} on {entry.host or 'another machine'}, where this run cannot "
        f"see it. Copy its run folder to that place, or run its row here"
    )
