"""Compose conf/ with overrides outside of a run."""

from __future__ import annotations

from pathlib import Path

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config import validate
from lineage.config.build import ConfigError
from lineage.config.friendly_errors import explain, is_user_error
from lineage.config.hydra_scope import initialize_hydra
from lineage.results import paths

OURS = ("lineage.", "hydra_plugins.lineage.")  # errors of tables and configs are sentences already


def compose_config(overrides: list[str], root: Path | None = None) -> DictConfig:
    """Compose the shipped conf/, or that below `root`. Raises ConfigError, which names the nearest name for a typo."""
    root = root or paths.shipping_root()
    validate.refuse_numbers_as_switches(overrides)
    try:
        with initialize_hydra(root / "conf"):
            config = compose("train", overrides)
    except (HydraException, OmegaConfBaseException, ValueError, TypeError) as error:
        if type(error).__module__.startswith(OURS) or not is_user_error(error):
            raise
        raise ConfigError(explain(error, root, overrides)) from error
    validate.refuse_unknown_keys(config)
    validate.refuse_former_names(config)
    return config
