"""Hydra set up for a folder of configs, also within a run, for which Hydra is set up already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig


@contextmanager
def initialize_hydra(folder: Path) -> Iterator[None]:
    """Initialize Hydra on a folder of configs; afterwards the state of an outer application is as it was."""
    outer, config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder.resolve()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = outer
        HydraConfig.instance().cfg = config
