"""Hydra's composition for many rows: files of conf/ are read once, and rows of equal choices are composed once.

The keys that a row sets are merged last, as Hydra merges them: `experiment` is the last entry of conf/train.yaml's
defaults. A row that does not compose this way is composed by Hydra alone, whose messages name the file and the key.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config.hydra_scope import initialize_hydra
from lineage.results.garbage_collection import pause_collection
from lineage.tables.table import TableError

EXPERIMENT = "experiment"  # the config group of rows
FAILURES = (HydraException, OmegaConfBaseException, TableError)


@dataclass(frozen=True, slots=True)
class Composition:
    """A composed config without Hydra's own node, and the option of each config group."""

    config: DictConfig
    choices: dict[str, str]


class FileCache:
    """Hydra's repository of configs that reads each file of conf/ once; rows of tables lose the keys that they set."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository
        self._results: dict[str, Any] = {}
        self.row: Any = None  # the row's own config, as read last

    def __deepcopy__(self, memo: dict[int, Any]) -> FileCache:
        return self  # Hydra copies its repository for each composition

    def __getattr__(self, name: str) -> Any:
        return getattr(self._repository, name)

    def load_config(self, config_path: str) -> Any:
        """Return a copy of what a file holds, because Hydra changes it; of a row, its choices alone."""
        if config_path.startswith(f"{EXPERIMENT}/"):
            return self._load_row(config_path)
        if config_path not in self._results:
            self._results[config_path] = self._repository.load_config(config_path=config_path)
        return copy.deepcopy(self._results[config_path])

    def _load_row(self, config_path: str) -> Any:
        result = self._repository.load_config(config_path=config_path)
        if result is not None:
            result.config = OmegaConf.create({})
        return result

    def read_row(self, config_path: str) -> DictConfig:
        """Return the keys that a row sets."""
        config: DictConfig = self._repository.load_config(config_path=config_path).config
        return config


@contextmanager
def open_configs(folder: Path) -> Iterator[FileCache]:
    """Initialize Hydra on a folder of configs; its garbage collection, a fifth of the time, waits until the end."""
    with initialize_hydra(folder):
        loader = GlobalHydra.instance().config_loader()
        files = loader.repository = FileCache(loader.repository)  # type: ignore[attr-defined]
        with pause_collection():
            yield files


def compose_alike(files: FileCache, overrides: Iterable[str]) -> Iterator[Composition | None]:
    """Yield the composition of each override `experiment=ROW`, of equal choices; None if Hydra has to explain."""
    overrides = list(overrides)
    try:
        shared = _split(compose("train", overrides[:1], return_hydra_config=True))
    except FAILURES:
        yield from (None for _ in overrides)
        return
    for override in overrides:
        row = override.partition("=")[2]
        try:
            config = copy.deepcopy(shared.config)
            OmegaConf.set_struct(config, False)
            config.merge_with(files.read_row(f"{EXPERIMENT}/{row}"))
            OmegaConf.set_struct(config, True)
            yield Composition(config, shared.choices | {EXPERIMENT: row})
        except FAILURES:
            yield None


def compose_alone(files: FileCache, override: str) -> Composition:
    """Compose one row by Hydra alone. Raises Hydra's errors."""
    loader = GlobalHydra.instance().config_loader()
    loader.repository = files._repository  # type: ignore[attr-defined]
    try:
        return _split(compose("train", [override], return_hydra_config=True))
    finally:
        loader.repository = files  # type: ignore[attr-defined]


def _split(whole: DictConfig) -> Composition:
    """Take Hydra's node out of a config; its values stay readable as ${hydra:...}."""
    HydraConfig.instance().set_config(whole)
    choices = {str(group): str(option) for group, option in whole.hydra.runtime.choices.items() if option}
    with open_dict(whole):
        del whole["hydra"]
    return Composition(whole, choices)
