"""What makes two runs the same training, and two entries the same cell: digests of the config as it was composed.

Interpolations stay as they are written (`${dataset.classes}`): what a run fills in later, such as the number of
classes, or where a folder lies, says nothing about what was asked for. So a plan and a run come to the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lineage.config.schema import TEST_ONLY, VOLATILE
from lineage.results.entry import digest
from lineage.results.renames import canonical

PLACES = ("cell", "evaluate_only", "dataset.classes")  # where a result goes and how it is come by


def training(config: DictConfig) -> str:
    """Of everything that the weights depend on, but for the seed."""
    plain = _plain(config)
    return digest(canonical(plain, (*VOLATILE, *PLACES, *_test_only(plain))))


def following(own: str, parents: Mapping[str, str]) -> str:
    """The training of a run that used what others left: {"start": a training, "proposals": a recipe, ...}."""
    return _joined(own, *(f"{role}:{parents[role]}" for role in sorted(parents))) if parents else own


def test(config: DictConfig) -> str:
    """Of everything that was asked for, the test included."""
    return digest(canonical(_plain(config), (*VOLATILE, *PLACES)))


def protocol(config: dict[str, Any]) -> str:
    """Of a resolved config: entries of equal protocol are repetitions of one experiment."""
    return digest(canonical(config, VOLATILE))


def recipe(tested: str, trained: str, proposals: str | None = None) -> str:
    """Of a cell: everything about its test, how its checkpoint was trained, and the recipe of its proposals."""
    return _joined(tested, trained, *([] if proposals is None else [f"proposals:{proposals}"]))


def _test_only(plain: dict[str, Any]) -> list[str]:
    return [key for key in _keys(plain, "") if any(fnmatchcase(key, pattern) for pattern in TEST_ONLY)]


def _keys(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    below = [(f"{prefix}{name}", value) for name, value in node.items()]
    return [key for name, value in below for key in (name, *_keys(value, f"{name}."))]


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def _joined(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
