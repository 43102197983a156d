"""What a run takes over from earlier runs: the weights it starts from or tests, the proposals and labels it trains on.

A parent is named by the id of its entry (`cell.start=ID`), so that the entry of the child says where it comes from and
its protocol holds no path. A path (`weights=RUN/weights.pt`) into a run folder names its parent too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf, open_dict

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


class Ancestry(NamedTuple):
    config: DictConfig  # the run's, with the places of what it takes over
    parents: list[str]  # ids of entries
    training: str  # digests, see identity.py
    recipe: str


def trace(config: DictConfig) -> Ancestry:
    """Look the parents up; to be called before anything is filled into the config."""
    results = Path(config.paths.results)
    parents = {role: entry for role in KEYS if (entry := _parent(config, role, results)) is not None}
    named = {role: entry for role, entry in parents.items() if config.cell[role]}
    found = config.copy() if named else config
    with open_dict(found):
        for role, entry in named.items():
            OmegaConf.update(found, KEYS[role], str(_left(entry, role)), force_add=True)
    if config.evaluate_only and not found.weights:
        raise ConfigError("evaluate_only=true tests a checkpoint: name it with weights=PATH or cell.start=ENTRY_ID")
    trained = _training(config, parents)
    regions = _recipe(parents[ParentRole.PROPOSALS]) if ParentRole.PROPOSALS in parents else None
    whole = digests.recipe(digests.test(config), trained, regions)
    return Ancestry(found, [parent.id for parent in parents.values()], trained, whole)


def _training(config: DictConfig, parents: Mapping[str, Entry]) -> str:
    if config.evaluate_only and ParentRole.START in parents:
        return _trained(parents[ParentRole.START])
    known = {role: _trained(entry) if role == ParentRole.START else _recipe(entry) for role, entry in parents.items()}
    return digests.following(digests.training(config), known)


def _trained(entry: Entry) -> str:
    return entry.training_digest or entry.id


def _recipe(entry: Entry) -> str:
    """Proposals and labels depend on how they were tested as well."""
    return entry.cell_digest or entry.id


def _parent(config: DictConfig, role: str, results: Path) -> Entry | None:
    """By its id in the store; else by the run folder that the path lies in."""
    if name := config.cell[role]:
        return store.read(store.find(results, name))
    path = OmegaConf.select(config, KEYS[role])
    beside = RunFolder(Path(path).parent).entry if isinstance(path, str) else None
    if beside is None or not beside.is_file():
        return None
    known = json.loads(beside.read_text(encoding="utf-8"))["id"]
    found = [path for path in results.rglob(f"{known}.json")]
    return store.read(found[0]) if found else None


def _left(entry: Entry, role: str) -> Path:
    path = RunFolder(paths.found(entry.folder or "")).artifact(role)
    if path.exists():
        return path
    if entry.status != "finished":
        raise ConfigError(f"{entry.id} {entry.status}, so it left no {path.name}")
    raise ConfigError(
        f"{entry.id} left its {path.name} in {path} on {entry.host or 'another machine'}, where this run cannot "
        f"see it. Copy its run folder to that place, or run its row here"
    )
