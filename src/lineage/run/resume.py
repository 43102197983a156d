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

from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError
from lineage.results.atomic import atomic_write
from lineage.results.key_roles import Role, role_of
from lineage.results.overrides import Override, overrides_today
from lineage.results.renames import choices_today, upgrade
from lineage.results.run_folder import RunFolder


class Attempt(NamedTuple):
    """A run folder, how the run was started, and how far an earlier process got in it."""

    folder: Path
    config: DictConfig
    overrides: list[str]  # as typed when the run began
    choices: dict[str, str]  # option of each config group
    step: int = 0
    checkpoint: Path | None = None
    supersedes: str | None = None
    run_id: str | None = None  # of the first attempt, under which a dashboard has the run


def write_start(attempt: Attempt) -> None:
    """Write down, before anything can go wrong, what a later process needs to continue."""
    folder = RunFolder(attempt.folder)
    folder.checkpoints.mkdir(exist_ok=True)
    atomic_write(folder.config, OmegaConf.to_yaml(attempt.config), durable=True)
    start = {"overrides": attempt.overrides, "choices": attempt.choices}
    atomic_write(folder.start, json.dumps(start, indent=1), durable=True)


def record_run_id(attempt: Attempt, run_id: str) -> None:
    """Write down the id of a first attempt, for those that continue it."""
    if attempt.run_id is None:
        path = RunFolder(attempt.folder).start
        start = json.loads(path.read_text(encoding="utf-8")) | {"id": run_id}
        atomic_write(path, json.dumps(start, indent=1), durable=True)


def load_resumed(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    folder = RunFolder(Path(composed.resume))
    if not folder.start.is_file():
        raise ConfigError(
            f"resume={folder.path}: that is no run folder (it has no {folder.start.name}); see {composed.paths.runs}/"
        )
    config = OmegaConf.create(upgrade(OmegaConf.to_container(OmegaConf.load(folder.config))))
    assert isinstance(config, DictConfig)
    check_targets(config, str(folder.config))
    _refuse_changes(folder, composed, config, overrides)
    entry = json.loads(folder.entry.read_text()) if folder.entry.is_file() else {}
    if entry.get("status") == "finished":
        raise ConfigError(f"resume={folder.path}: this run is finished; its entry is {entry['id']}")
    start = json.loads(folder.start.read_text())
    step, checkpoint = next(reversed(folder.list_checkpoints().items()), (0, None))
    overrides_then = overrides_today(start["overrides"], OmegaConf.to_container(config))
    choices = choices_today(start["choices"])
    run_id = start.get("id") or entry.get("id")
    return Attempt(folder.path, config, overrides_then, choices, step, checkpoint, entry.get("id"), run_id)


def _refuse_changes(folder: RunFolder, composed: DictConfig, config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise ConfigError for an override whose value differs from the stored config."""
    for text in overrides:
        key = Override.parse(text).key
        if role_of(key) is Role.PROCESS:
            continue
        value, before = OmegaConf.select(composed, key), OmegaConf.select(config, key)
        if value != before:
            raise ConfigError(
                f"{text} contradicts {folder.config}, which says {key}={before}. A resumed run keeps its config: "
                f"leave the override out, or start a new run"
            )
