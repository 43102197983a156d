"""Classes and functions that a config may name under `_target_`: a composed or stored config is data, not code.

A config comes from run folders, entries and tables of other people too. All of it is checked before anything is built,
from names and source files alone: nothing that it names is imported. What a person wrote for this project may be
allowed by name, in the environment of the one who runs (LINEAGE_ALLOW), never in the config itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

TARGET = "_target_"
ALLOW = "LINEAGE_ALLOW"  # names of modules or packages, separated by commas
SOURCES = Path(__file__).resolve().parents[2]

# Modules and packages of lineage whose classes and functions a config may build, and those within that it may not.
OPEN = (
    "lineage.calibration.evaluator", "lineage.data.collate", "lineage.data.concat", "lineage.data.formats",
    "lineage.data.frames", "lineage.data.proposals", "lineage.data.pseudo_labelled", "lineage.data.sampling",
    "lineage.data.shapes", "lineage.data.transforms", "lineage.eval.protocols",
    "lineage.explain.evaluator", "lineage.models", "lineage.ops", "lineage.train.callbacks",
    "lineage.train.loggers", "lineage.train.lr_schedule", "lineage.train.memory.sharding", "lineage.train.optimizer",
)  # fmt: skip
CLOSED = ("lineage.models.export",)
# Classes of other libraries: of these modules themselves, not of modules below, and by capitalized names alone.
CLASSES = re.compile(
    r"(torch\.nn|torch\.optim|torch\.optim\.lr_scheduler|torchvision\.transforms|torchvision\.transforms\.v2"
    r"|pytorch_lightning\.(strategies|callbacks|loggers|plugins))\.[A-Z]\w*|pytorch_lightning\.Trainer"
)
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
DEFINED = re.compile(r"^(?:class|def) ([A-Za-z]\w*)", re.MULTILINE)
WRITES = re.compile(r"(write|save|remove|delete|download|main)")  # functions that no config has to call


class TargetError(ValueError):
    """A config that names code it may not run."""


def check_targets(config: Any, source: str) -> None:
    """Raise TargetError for the first `_target_` that is not allowed; `source` names the file of the config."""
    for key, name in _targets(_resolve(config), ""):
        if not isinstance(name, str) or not is_allowed(name):
            raise TargetError(_message(key, name, source))


def is_allowed(name: str) -> bool:
    """Return whether a config may build this class or call this function; nothing is imported."""
    if not NAME.fullmatch(name):
        return False
    if CLASSES.fullmatch(name) or _within(name, list_allowed()):
        return True
    module, _, attribute = name.rpartition(".")
    if not _within(module, OPEN) or _within(module, CLOSED) or WRITES.match(attribute):
        return False
    return attribute in _definitions(module)


def list_allowed() -> tuple[str, ...]:
    """Return what the person who runs allows, from the environment."""
    names = (name.strip() for name in os.environ.get(ALLOW, "").split(","))
    return tuple(name for name in names if name)


def resolve_node(node: Any) -> Any:
    """Return a node as plain data without interpolations: what is checked is what is built."""
    plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    for key, text in _texts(plain, ""):
        if "${" in text:
            raise TargetError(f"{key or 'the config'}: {text!r} is an interpolation within an interpolation")
    return plain


def _resolve(config: Any) -> Any:
    """Return plain data, resolved if possible: a stored config may name environment variables that are not set here."""
    if not OmegaConf.is_config(config):
        return config
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        return OmegaConf.to_container(config, resolve=False)


def _targets(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of each `_target_`, in lists and below other targets too."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == TARGET:
                yield key, value
            yield from _targets(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _targets(value, f"{key}[{i}]")


def _texts(node: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield key, node
    elif isinstance(node, Mapping):
        for name, value in node.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list | tuple):
        for i, value in enumerate(node):
            yield from _texts(value, f"{key}[{i}]")


def _within(name: str, roots: tuple[str, ...]) -> bool:
    return any(name == root or name.startswith(f"{root}.") for root in roots)


@cache
def _definitions(module: str) -> frozenset[str]:
    """Return the public classes and functions that the source file of a module defines; not what it imports."""
    path = SOURCES.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return frozenset(DEFINED.findall(file.read_text(encoding="utf-8")))
    return frozenset()


def _message(key: str, name: Any, source: str) -> str:
    where = f"{source}: {key}.{TARGET}" if key else f"{source}: {TARGET}"
    if not isinstance(name, str):
        return f"{where} is {name!r}, which is no name of a class or function. Nothing was run"
    head = f"{where}: {name} is nothing that a config may run, so nothing was run."
    if _within(name, OPEN):
        return f"{head} There is no such class or function in lineage that configs may build"
    yours = name.partition(".")[0]
    return (
        f"{head} Configs build what lineage, torch.nn, torch.optim, torchvision.transforms and pytorch_lightning have. "
        f"If this is code of your own that you trust: {ALLOW}={yours} in the environment"
    )
