"""Continue a run that was killed: the same config, from the last complete checkpoint, to the same weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from lineage.build import ConfigError
from lineage.train.checkpoint import saved

CONFIG, CHECKPOINTS, ENTRY = "config.yaml", "checkpoints", "entry.json"
FREE = ("resume", "hydra")  # may be said without contradicting anything


class Attempt(NamedTuple):
    """A run folder, and how far an earlier process got in it."""

    folder: Path
    config: DictConfig
    step: int = 0
    checkpoint: Path | None = None
    supersedes: str | None = None  # the entry of that process, if it lived to write one


def continued(composed: DictConfig, overrides: Sequence[str]) -> Attempt:
    folder = Path(composed.resume)
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"resume={folder}: that is no run folder (it has no {CONFIG}); see {composed.paths.runs}/")
    config = OmegaConf.load(folder / CONFIG)
    assert isinstance(config, DictConfig)
    _refuse_changes(folder, composed, config, overrides)
    step, checkpoint = next(reversed(saved(folder / CHECKPOINTS).items()), (0, None))
    entry = json.loads((folder / ENTRY).read_text()) if (folder / ENTRY).is_file() else {}
    if entry.get("status") == "finished":
        raise ConfigError(f"resume={folder}: this run is finished; its entry is {entry['id']}")
    return Attempt(folder, config, step, checkpoint, entry.get("id"))


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
