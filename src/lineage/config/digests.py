"""What makes two runs the same training, and two entries the same cell: digests of the config as it was composed.

Interpolations stay as they are written (`${dataset.classes}`): what a run fills in later, such as the number of
classes, or where a folder lies, says nothing about what was asked for. So a plan and a run come to the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lineage.results.entry import digest
from lineage.results.key_roles import VOLATILE, Role, keys_with
from lineage.results.renames import canonical

NOT_ASKED = (*VOLATILE, Role.CELL, Role.DATASET)  # where a result goes, and what a run reads from its dataset


def training(config: DictConfig) -> str:
    """Of everything that the weights depend on, but for the seed."""
    plain = _plain(config)
    return digest(canonical(plain, keys_with(plain, *NOT_ASKED, Role.TEST)))


def following(own: str, parents: Mapping[str, str]) -> str:
    """The training of a run that used what others left: {"start": a training, "proposals": a recipe, ...}."""
    return _joined(own, *(f"{role}:{parents[role]}" for role in sorted(parents))) if parents else own


def test(config: DictConfig) -> str:
    """Of everything that was asked for, the test included."""
    plain = _plain(config)
    return digest(canonical(plain, keys_with(plain, *NOT_ASKED)))


def protocol(config: dict[str, Any]) -> str:
    """Of a resolved config: entries of equal protocol are repetitions of one experiment."""
    return digest(canonical(config, keys_with(config, *VOLATILE)))


def recipe(tested: str, trained: str, proposals: str | None = None) -> str:
    """Of a cell: everything about its test, how its checkpoint was trained, and the recipe of its proposals."""
    return _joined(tested, trained, *([] if proposals is None else [f"proposals:{proposals}"]))


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def _joined(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
