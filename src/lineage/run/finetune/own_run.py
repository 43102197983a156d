"""The model of an earlier run, as overrides: finetune=FOLDER weights=RUN trains the same model on other data."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.config.resume_overrides import load_config, read_start
from lineage.results.diff import ABSENT, Difference, configs
from lineage.results.key_roles import within
from lineage.results.overrides import quote
from lineage.results.paths import train_command
from lineage.results.renames import choices_today
from lineage.results.run_folder import RunFolder
from lineage.run.initialize import locate_weights

GROUPS = ("tier", "model", "backbone", "roi", "classification", "regression", "suppression")  # that make a model
NODES = ("model", "backbone", "roi", "classification", "regression", "suppression", "edit")  # that describe it


@dataclass(frozen=True, slots=True)
class OwnModel:
    """The model of a run: its option, its tier, and the overrides that compose it."""

    folder: Path
    model: str
    tier: str
    overrides: tuple[str, ...]


def find_own_model(typed: Mapping[str, str], data: Sequence[str]) -> OwnModel | None:
    """Return the model of the run whose weights were typed; None if the weights are of no run of ours.

    typed: key -> value of the overrides; groups and keys of the model among them count instead of the run's.
    data: overrides that choose the dataset.
    Raises ConfigError if no overrides compose the model of the run.
    """
    if "weights" not in typed:
        return None
    folder = find_run_folder(typed["weights"].strip("'\""), Path(typed.get("paths.results", "results").strip("'\"")))
    if folder is None:
        return None
    config, choices = load_config(folder), choices_today(read_start(folder)["choices"])
    groups = [f"{group}={choices[group]}" for group in GROUPS if choices.get(group) and group not in typed]
    own = [f"{key}={value}" for key, value in typed.items() if within(key, NODES) or key == "tier"]
    composed = compose_config([*data, *groups, *own])
    differences = configs(_read_nodes(composed), _read_nodes(config), ignore=[*typed, "backbone.weights"])
    keys = tuple(format_overrides(folder.path, differences))
    return OwnModel(folder.path, typed.get("model", choices.get("model", "")), str(composed.tier), (*groups, *keys))


def find_run_folder(weights: str, results: Path) -> RunFolder | None:
    """Return the folder of the run that weights, an entry or a checkpoint are of; None if no run left them."""
    if weights.startswith("["):  # several files
        return None
    path = Path(locate_weights(weights, results))
    folders = (RunFolder(folder) for folder in list(path.parents)[:2])  # weights, or checkpoints/step-*.ckpt
    return next((folder for folder in folders if folder.start.is_file()), None)


def format_overrides(run: Path, differences: Sequence[Difference]) -> Iterator[str]:
    """Yield the overrides that turn the composed model into that of the run."""
    for difference in differences:
        if isinstance(difference.b, dict) or ABSENT in (difference.a, difference.b):
            raise ConfigError(
                f"weights={run}: {difference}. The options that the run began with do not compose its model today, so "
                f"give them yourself: {train_command()} dataset=coco dataset.root=... "
                f"{shlex.quote(f'weights={quote(run)}')} model=... {difference.key}=..."
            )
        yield f"{difference.key}={format_value(difference.b)}"


def format_value(value: Any) -> str:
    """Return a value as an override writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return quote(value) if isinstance(value, str) else str(value)


def _read_nodes(config: DictConfig) -> dict[str, Any]:
    tree: Any = OmegaConf.to_container(config)
    return {name: tree.get(name) or {} for name in NODES}
