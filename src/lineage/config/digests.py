"""Digests of configs: what makes two runs the same training, two entries the same cell. docs/identity.md explains them.

Interpolations stay as they are written (`${dataset.classes}`): what a run fills in later, such as the number of
classes or the place of a folder, is no part of it. So a plan and a run come to the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lineage.config.evaluation_interval import INTERVAL, waits_for_metrics
from lineage.results.entry import digest
from lineage.results.key_roles import VOLATILE, Role, keys_without_effect
from lineage.results.renames import canonical

if TYPE_CHECKING:
    from omegaconf import DictConfig

NOT_ASKED = (*VOLATILE, Role.CELL, Role.DATASET)  # where a result goes, and what a run reads from its dataset


def training_digest(config: DictConfig) -> str:
    """Return the digest of a composed config without what no weight depends on: volatile keys and those of the test."""
    plain = to_plain(config)
    return _digest(plain, (*NOT_ASKED, Role.TEST), keeps_interval=waits_for_metrics(plain))


def with_parents(own: str, parents: Mapping[str, str]) -> str:
    """Return the training digest of a run with parents; `parents`: role -> the digest of the parent in that role."""
    return _join(own, *(f"{role}:{parents[role]}" for role in sorted(parents))) if parents else own


def test_digest(config: DictConfig) -> str:
    """Return the digest of a whole composed config, training and test, without volatile keys."""
    plain = to_plain(config)
    return _digest(plain, NOT_ASKED)


def config_digest(config: dict[str, Any]) -> str:
    """Return the digest of a resolved config. Entries with equal ones are repetitions of one experiment."""
    return _digest(config, VOLATILE)


def cell_digest(tested: str, trained: str, proposals: str | None = None) -> str:
    """Return the digest of a cell: its test, the training of its checkpoint, and the cell of its proposals."""
    return _join(tested, trained, *([] if proposals is None else [f"proposals:{proposals}"]))


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return a config as written: interpolations stay."""
    from omegaconf import OmegaConf  # a table whose rows are in the cache is printed without it

    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def _digest(config: dict[str, Any], left_out: tuple[Role, ...], keeps_interval: bool = True) -> str:
    """Return the digest of a config without the keys of some roles.

    The interval between evaluations counts as 0, its first value, unless a callback depends on it.
    """
    keys = keys_without_effect(config, *left_out)
    if keeps_interval and "evaluate_every" in (config.get("schedule") or {}):
        interval = config["schedule"]["evaluate_every"] if waits_for_metrics(config) else 0
        config = config | {"schedule": config["schedule"] | {"evaluate_every": interval}}
        keys = [key for key in keys if key != INTERVAL]
    return digest(canonical(config, keys))


def _join(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
