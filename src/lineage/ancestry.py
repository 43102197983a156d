"""What a run takes over from earlier runs: the weights it starts from or tests, the proposals it is trained on.

A parent is named by the id of its entry (`entry.start=ID`), so that the entry of the child says where it comes from and
its protocol holds no path. A path (`weights=RUN/weights.pt`) into a run folder names its parent too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf, open_dict

from lineage import identity
from lineage.build import ConfigError
from lineage.tables import places, store
from lineage.tables.entry import Entry

WEIGHTS, PROPOSALS, ENTRY = "weights.pt", "proposals", "entry.json"  # what a run leaves in its folder


class Ancestry(NamedTuple):
    config: DictConfig  # the run's, with the places of what it takes over
    parents: list[str]  # ids of entries
    training: str  # digests, see identity.py
    recipe: str


def trace(config: DictConfig) -> Ancestry:
    """Look the parents up; to be called before anything is filled into the config."""
    results = Path(config.paths.results)
    start, proposals = _parent(config, "start", results), _parent(config, "proposals", results)
    found = config
    if config.entry.start or config.entry.proposals:
        found = config.copy()
        with open_dict(found):
            if start is not None and config.entry.start:
                found.weights = str(_left(start, WEIGHTS))
            if proposals is not None and config.entry.proposals:
                found.proposals.folder = str(_left(proposals, PROPOSALS))
    if config.evaluate_only and not found.weights:
        raise ConfigError("evaluate_only=true tests a checkpoint: name it with weights=PATH or entry.start=ENTRY_ID")
    trained = _training(config, start, proposals)
    parents = [parent.id for parent in (start, proposals) if parent is not None]
    regions = _recipe(proposals) if proposals is not None else None
    return Ancestry(found, parents, trained, identity.recipe(identity.test(config), trained, regions))


def _training(config: DictConfig, start: Entry | None, proposals: Entry | None) -> str:
    if config.evaluate_only and start is not None:
        return start.training or start.id
    known = {"start": start.training or start.id} if start is not None else {}
    known |= {"proposals": _recipe(proposals)} if proposals is not None else {}
    return identity.following(identity.training(config), known)


def _recipe(entry: Entry) -> str:
    """Proposals depend on how they were tested as well."""
    return entry.recipe or entry.id


def _parent(config: DictConfig, role: str, results: Path) -> Entry | None:
    """By its id in the store; else by the run folder that `weights` or `proposals.folder` lies in."""
    if name := config.entry[role]:
        return store.read(store.find(results, name))
    path = config.weights if role == "start" else OmegaConf.select(config, "proposals.folder")
    beside = Path(path).parent / ENTRY if isinstance(path, str) else None
    if beside is None or not beside.is_file():
        return None
    known = json.loads(beside.read_text(encoding="utf-8"))["id"]
    found = [path for path in results.rglob(f"{known}.json")]
    return store.read(found[0]) if found else None


def _left(entry: Entry, name: str) -> Path:
    path = places.found(entry.folder or "") / name
    if path.exists():
        return path
    if entry.status != "finished":
        raise ConfigError(f"{entry.id} {entry.status}, so it left no {name}")
    raise ConfigError(
        f"{entry.id} left its {name} in {path} on {entry.host or 'another machine'}, where this run cannot see it. "
        f"Copy its run folder to that place, or run its row here"
    )
