"""The run folder as a memory: how a run was started, and where a killed one goes on.

A resumed run has the config of its folder, but for folders, loggers and hardware (config/resume_overrides.py), and goes
on from the last complete checkpoint, to the weights of a run that never stopped. Its entry supersedes the one that a
stopped or failed attempt wrote; kill -9 leaves none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError
from lineage.config.entry_overrides import NEWEST
from lineage.config.resume_overrides import change_config, load_config, read_overrides, read_start
from lineage.results import store
from lineage.results.atomic import atomic_write
from lineage.results.entry import Entry, parse
from lineage.results.file_digest import find_damage
from lineage.results.renames import choices_today
from lineage.results.run_folder import RunFolder

log = logging.getLogger(__name__)


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
    is_resumed: bool = False
    is_changed: bool = False  # the config differs from the stored one, in keys that a resumed run may change
    unpublished: Entry | None = None  # of a finished run: the disk of the store was full, or the run was killed


def write_start(attempt: Attempt) -> None:
    """Write down, before anything can go wrong, what a later process needs to continue."""
    folder = RunFolder(attempt.folder)
    folder.entry.unlink(missing_ok=True)  # of an earlier run in the same folder
    folder.checkpoints.mkdir(exist_ok=True)
    write_config(attempt)
    start = {"overrides": attempt.overrides, "choices": attempt.choices}
    atomic_write(folder.start, json.dumps(start, indent=1), durable=True)


def write_config(attempt: Attempt) -> None:
    atomic_write(RunFolder(attempt.folder).config, OmegaConf.to_yaml(attempt.config), durable=True)


def record_run_id(attempt: Attempt, run_id: str) -> None:
    """Write down the id of a first attempt, for those that continue it."""
    if attempt.run_id is None:
        path = RunFolder(attempt.folder).start
        start = json.loads(path.read_text(encoding="utf-8")) | {"id": run_id}
        atomic_write(path, json.dumps(start, indent=1), durable=True)


def load_resumed(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    """Read the run folder that `composed.resume` names; `overrides` may change where and how fast the run goes on."""
    folder = RunFolder(Path(composed.resume).absolute())
    if composed.resume == NEWEST:
        raise ConfigError(
            f"resume=last: {composed.paths.runs} holds no run, and {composed.paths.results} no entry of one. "
            "Go to the folder where it was trained, or name the folder of the run: resume=RUN_FOLDER"
        )
    if not folder.start.is_file():
        raise ConfigError(
            f"resume={folder.path}: that is no run folder (it has no {folder.start.name}); see {composed.paths.runs}/"
        )
    start = read_start(folder)
    overrides_then, config = read_overrides(folder), load_config(folder)
    check_targets(config, str(folder.config))
    typed = [text for text in overrides if text not in overrides_then]
    is_changed = bool(change_config(config, composed, typed, folder.config))
    check_targets(config, "this config")
    entry = read_entry(folder)
    if entry is not None and entry.status == "finished":
        path = Path(config.paths.results, store.place(entry), f"{entry.id}.json")
        if path.is_file():
            raise ConfigError(f"resume={folder.path}: this run is finished; its entry is {path}")
        return Attempt(folder.path, config, overrides_then, choices_today(start["choices"]), unpublished=entry)
    step, checkpoint = choose_checkpoint(folder)
    previous = None if entry is None else entry.id
    return Attempt(
        folder.path, config, overrides_then, choices_today(start["choices"]), step, checkpoint,
        supersedes=previous, run_id=start.get("id") or previous, is_resumed=True, is_changed=is_changed,
    )  # fmt: skip


def choose_checkpoint(folder: RunFolder) -> tuple[int, Path | None]:
    """Return the newest whole checkpoint and its step; (0, None) without any. Raises ConfigError if all are damaged."""
    checkpoints = folder.list_checkpoints()
    for step, path in reversed(checkpoints.items()):
        damage = find_damage(path)
        if damage is None:
            return step, path
        log.warning(
            "%s is damaged: %s. The run goes on from an older checkpoint, if there is a whole one", path, damage
        )
    if checkpoints:
        raise ConfigError(
            f"resume={folder.path}: all {len(checkpoints)} checkpoints are damaged. Remove {folder.checkpoints} to "
            f"begin again at step 0"
        )
    return 0, None


def read_entry(folder: RunFolder) -> Entry | None:
    """Read the entry of a run folder, None if the run was killed. Raises ConfigError if it is damaged."""
    if not folder.entry.is_file():
        return None
    try:
        return parse(folder.entry.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder.entry} is damaged: {error}. Remove it to resume the run") from error
