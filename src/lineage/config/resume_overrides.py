"""Overrides beside `resume=RUN`: what may change when a run goes on, such as its folders, loggers and hardware.

`python train.py resume=RUN dataset.root=/new data.images_per_device=1`. The config of a resumed run is its own
config.yaml; overrides change keys there, if their roles say that they change neither weights nor metrics.

`resume=auto hydra.run.dir=RUN` starts the run or, if it has started before, resumes it: the same command serves a job
that a cluster starts again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lineage.config.build import ConfigError
from lineage.results.diff import ABSENT, at
from lineage.results.key_roles import Role, role_of, within
from lineage.results.overrides import Override, overrides_today
from lineage.results.renames import upgrade
from lineage.results.run_folder import RunFolder
from lineage.results.safe_yaml import check_structure

FREE = (Role.PLACE, Role.OUTPUT, Role.DISPLAY, Role.SPEED)  # keys with these roles may change
AUTO = "auto"  # value of `resume`
OF_EVERY_CONFIG = ("resume", "hydra", "paths")  # keys that the config of no run lacks


def resolve_auto(arguments: Sequence[str]) -> list[str]:
    """Replace resume=auto by the folder of hydra.run.dir, or leave it out if no run has started there.

    Without hydra.run.dir the word stays; validate.py refuses it.
    """
    typed = {override.key: (override.value or "").strip("'\"") for override in map(Override.parse, arguments)}
    folder = typed.get("hydra.run.dir")
    if typed.get("resume") != AUTO or not folder:
        return list(arguments)
    others = [text for text in arguments if Override.parse(text).key != "resume"]
    return [*others, f'resume="{folder}"'] if RunFolder(Path(folder)).start.is_file() else others


def extend_command(arguments: Sequence[str]) -> list[str]:
    """Put the overrides that a resumed run began with before those typed now, so that its keys exist.

    An override that is typed again replaces the earlier one. A command that resumes nothing stays as it is, but for
    resume=auto.
    """
    arguments = resolve_auto(arguments)
    typed = {_name(override): override for override in map(Override.parse, arguments) if override.value is not None}
    resumed = typed.get(("resume", None))
    folder = RunFolder(Path((resumed.value or "").strip("'\"")) if resumed else Path())
    if resumed is None or not folder.start.is_file() or all(within(x.key, OF_EVERY_CONFIG) for x in typed.values()):
        return list(arguments)
    try:
        started = [Override.parse(text) for text in read_overrides(folder)]
    except ConfigError:  # `load_resumed` reads the folder again, where errors are explained
        return list(arguments)
    signs = {_name(override): override.sign for override in started}
    again = []
    for text in arguments:
        override = Override.parse(text)
        sign = override.sign or signs.get(_name(override), "")  # `+key=1` at first: the config has no such key
        again.append(str(replace(override, sign=sign)) if sign.startswith("+") else text)
    return [*(str(override) for override in started if _name(override) not in typed), *again]


def read_overrides(folder: RunFolder) -> list[str]:
    """Return the overrides that a run began with, in the names of today."""
    return overrides_today(read_start(folder)["overrides"], OmegaConf.to_container(load_config(folder)))


def read_start(folder: RunFolder) -> dict[str, Any]:
    """Read start.json. Raises ConfigError if it is damaged."""
    try:
        start = json.loads(folder.start.read_text(encoding="utf-8"))
        if not (isinstance(start["choices"], dict) and all(isinstance(text, str) for text in start["overrides"])):
            raise TypeError("overrides are texts, choices a mapping")
    except KeyError as error:
        raise ConfigError(
            f"{folder.start} has no {error}: damaged, or written by another program. Name a run folder of lineage"
        ) from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{folder.start} is damaged: {type(error).__name__}: {error}") from error
    return dict(start)


def load_config(folder: RunFolder) -> DictConfig:
    """Read the config of a run, in the names of today. Raises ConfigError if it is damaged."""
    try:
        check_structure(folder.config.read_text(encoding="utf-8"))
        config = OmegaConf.create(upgrade(OmegaConf.to_container(OmegaConf.load(folder.config))))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{folder.config} is damaged: {type(error).__name__}: {error}") from error
    if not isinstance(config, DictConfig):
        raise ConfigError(f"{folder.config} is damaged: it holds no mapping")
    return config


def change_config(config: DictConfig, composed: DictConfig, overrides: Sequence[str], source: Path) -> list[str]:
    """Set the keys of `config`, which `source` holds, to what the overrides make of them in `composed`.

    Returns the keys that changed. Raises ConfigError for one that changes weights or metrics.
    """
    changed = []
    for text in overrides:
        override = Override.parse(text)
        if role_of(override.key) is Role.PROCESS or override.key == "experiment":
            continue
        for key in _list_differences(composed, config, override.key):
            value, before = (OmegaConf.select(tree, key, default=None) for tree in (composed, config))
            if role_of(key) not in FREE:
                raise ConfigError(
                    f"{text} contradicts {source}, which says {key}={before}. A resumed run keeps what decides its "
                    f"weights and metrics: leave the override out, or start a new run"
                )
            raw = at(OmegaConf.to_container(composed), key)
            if raw is ABSENT or value is None:
                raw = None
            OmegaConf.update(config, key, raw, force_add=True)
            changed.append(key)
    return changed


def _list_differences(composed: DictConfig, config: DictConfig, key: str) -> list[str]:
    """Return the keys at or below `key` whose values differ."""
    new, old = (_flat(at(OmegaConf.to_container(tree), key), key) for tree in (composed, config))
    names = [name for name in {**new, **old} if new.get(name, ABSENT) != old.get(name, ABSENT)]
    return [
        name
        for name in names
        if OmegaConf.select(composed, name, default=None) != OmegaConf.select(config, name, default=None)
    ]


def _flat(node: Any, key: str) -> dict[str, Any]:
    """Return the values below a node by dotted key."""
    if not isinstance(node, dict) or not node:
        return {} if node is ABSENT else {key: node}
    return {name: value for part in node for name, value in _flat(node[part], f"{key}.{part}").items()}


def _name(override: Override) -> tuple[str, str | None]:
    return override.key, override.package
