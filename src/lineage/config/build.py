"""Config nodes become objects: the only place that calls `instantiate`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from lineage.config.allowed_targets import check_targets, resolve_node

ENVIRONMENT = re.compile(r"[Ee]nvironment variable '(\w+)' not found")

CALLED = re.compile(r"(\w+)(?:\.__init__)?\(\) ")  # FPN.__init__() missing 1 required keyword-only argument: 'norm'


class ConfigError(ValueError):
    """A config that composes but cannot be run; the message names the key to change."""


def build(node: Any, **extra: Any) -> Any:
    """Build the object that a `_target_` tree describes; a tree without becomes dicts and lists.

    Raises TargetError for a class or function that no config may name.
    """
    try:
        plain = resolve_node(node)
    except InterpolationResolutionError as error:
        raise ConfigError(explain_interpolation(error)) from error
    check_targets(plain, _key(node) or "the config")
    try:
        return instantiate(plain, **extra, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if cause is None:
            raise ConfigError(str(error)) from error
        if type(cause).__module__.startswith("lineage."):
            raise cause from error  # already written for people
        raise ConfigError(_explain(_key(node), plain, error, cause)) from error


def explain_interpolation(error: InterpolationResolutionError) -> str:
    """Return which key cannot be filled in, and with what."""
    key = error.full_key or "a key of the config"
    if variable := ENVIRONMENT.search(str(error)):
        name = variable[1]
        return f"{key} is read from the environment variable {name}, which is not set: export {name}=... or set the key"
    return f"{key}: {str(error).splitlines()[0]}"


def _key(node: Any) -> str:
    """Return the dotted key of a node in its config; empty for the root."""
    return str(node._get_full_key("")) if OmegaConf.is_config(node) else ""


def _explain(root: str, plain: Any, error: InstantiationException, cause: BaseException) -> str:
    """Return the cause and the key below `root`, which Hydra names on the last line of its text.

    A part that a constructor builds later (`_partial_`) is found by its class, which the cause names.
    """
    below = str(error).partition("full_key: ")[2].strip()
    key = ".".join(filter(None, (root, below)))
    called = CALLED.match(str(cause)) if isinstance(cause, TypeError) else None
    parts = [f"{root}.{part}".strip(".") for part in _find_target(plain, called[1])] if called else []
    if parts and key not in parts:
        key = " or ".join(parts)
    where = f"config node {key!r}" if key else "the config"
    return f"{where} cannot be built: {type(cause).__name__}: {cause}"


def _find_target(node: Any, name: str, key: str = "") -> Iterator[str]:
    """Yield the keys of the nodes below whose class or function has this name."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for part, value in items:
        below = f"{key}.{part}".strip(".")
        if isinstance(value, Mapping) and str(value.get("_target_")).rpartition(".")[2] == name:
            yield below
        yield from _find_target(value, name, below)
