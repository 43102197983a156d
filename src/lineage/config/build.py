"""Config nodes become objects: the only place that calls `instantiate`."""

from __future__ import annotations

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate


class ConfigError(ValueError):
    """A config that composes but cannot be run; the message says which key to change."""


def build(node: Any, **extra: Any) -> Any:
    """The object a `_target_` tree describes; plain trees become dicts and lists of what they hold."""
    try:
        return instantiate(node, **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None:
            raise ConfigError(str(error)) from error
        if type(cause).__module__.startswith("lineage."):
            raise cause from error  # already written for people
        raise ConfigError(_explain(error, cause)) from error


def _explain(error: InstantiationException, cause: BaseException) -> str:
    """Hydra's text repeats the cause as a repr; the key it knows is on its last line."""
    key = str(error).partition("full_key: ")[2].strip()
    where = f"config node {key!r}" if key else "the config"
    return f"{where} cannot be built: {type(cause).__name__}: {cause}"
