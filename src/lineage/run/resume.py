"""The run folder as a memory: how a run was started, and where a killed one goes on.

A resumed run has the same config and continues from the last complete checkpoint, to the weights of a run that never
stopped. Its entry supersedes the one that a stopped or failed attempt wrote; kill -9 leaves none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.results.atomic import atomic_write
from lineage.results.renames import upgrade
from lineage.train.checkpoint import list_checkpoints

CONFIG, START, CHECKPOINTS, ENTRY = "config.yaml", "start.json", "checkpoints", "entry.json"
FREE = ("resume", "hydra")  # may be said without contradicting anything


class Attempt(NamedTuple):
    """A run folder, how the run was started, and how far an earlier process got in it."""

    folder: Path
    config: DictConfig
    overrides: list[str]  # as typed when the run began
    choices: dict[str, str]  # option of each config group
    step: int = 0
    checkpoint: Path | None = None
    supersedes: str | None = None


def begun(attempt: Attempt) -> None:
    """Write down, before anything can go wrong, what a later process needs to continue."""
    (attempt.folder / CHECKPOINTS).mkdir(exist_ok=True)
    atomic_write(attempt.folder / CONFIG, OmegaConf.to_yaml(attempt.config), durable=True)
    start = {"overrides": attempt.overrides, "choices": attempt.choices}
    atomic_write(attempt.folder / START, json.dumps(start, indent=1), durable=True)


def continued(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    folder = Path(composed.resume)
    if not (folder / START).is_file():
        raise ConfigError(f"resume={folder}: that is no run folder (it has no {START}); see {composed.paths.runs}/")
    config = OmegaConf.create(upgrade(OmegaConf.to_container(OmegaConf.load(folder / CONFIG))))
    assert isinstance(config, DictConfig)
    _refuse_changes(folder, composed, config, overrides)
    entry = json.loads((folder / ENTRY).read_text()) if (folder / ENTRY).is_file() else {}
    if entry.get("status") == "finished":
        raise ConfigError(f"resume={folder}: this run is finished; its entry is {entry['id']}")
    start = json.loads((folder / START).read_text())
    step, checkpoint = next(reversed(list_checkpoints(folder / CHECKPOINTS).items()), (0, None))
    return Attempt(folder, config, start["overrides"], start["choices"], step, checkpoint, entry.get("id"))


def _refuse_changes(folder: Path, composed: DictConfig, config: DictConfig, overrides: Sequence[str]) -> None:
    """What is said again must be what was said before; what is not said is taken from before."""
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0].partition("@")[0].replace("/", ".")
        if key.partition(".")[0] in FREE:
            continue
        said, before = OmegaConf.select(composed, key), OmegaConf.select(config, key)
        if said != before:
            raise ConfigError(
                f"{text} contradicts {folder / CONFIG}, which says {key}={before}. A resumed run keeps its config: "
                f"leave the override out, or start a new run"
            )
