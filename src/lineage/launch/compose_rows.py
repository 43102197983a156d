"""Rows of tables as whole configs, composed by Hydra once and remembered: 100 ms per row are minutes for 400 rows.

A remembered row is found by the content of everything it was made of: conf/, the schema, and what the row itself says.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from lineage.results import paths
from lineage.results.atomic import atomic_write
from lineage.tables.table import Row
from lineage.tables.tiers import PAPER

SOURCES = Path(__file__).resolve().parents[2]  # src/: the schema and the plugins are part of what composes a config
PARTS = ("lineage/config/schema.py", "lineage/config/digests.py", "lineage/results/renames.py",
         "lineage/results/renames.yaml", "lineage/results/key_roles.py", "lineage/results/entry.py",
         "lineage/tables/tiers.py", "hydra_plugins/lineage/tables.py")  # fmt: skip


class Ask(NamedTuple):
    table: str
    row: Row
    tier: str


@dataclass(frozen=True)
class Composed:
    """A row at a tier. Where it does not compose, `error` says why and the rest is empty."""

    config: dict[str, Any]  # resolved
    choices: dict[str, str]
    training: str  # digests, see identity.py
    test: str
    error: str | None = None


def rows(project: Path, asked: Iterable[Ask]) -> list[Composed]:
    """In the order they were asked for."""
    listed = list(asked)
    folder = _cache() / "composed" / _fingerprint(project)
    found = [_recall(folder / _name(one)) for one in listed]
    missing = [i for i, one in enumerate(found) if one is None]
    for i, made in zip(missing, _compose(project, [listed[i] for i in missing]), strict=True):
        found[i] = made
        _remember(folder / _name(listed[i]), made)
    return [one for one in found if one is not None]


def experiment(ask: Ask) -> str:
    """The override that chooses the row."""
    tier = "" if ask.tier == PAPER else f"{ask.tier}/"
    return f"experiment={tier}{ask.table}/{ask.row.name}"


def _compose(project: Path, asked: list[Ask]) -> list[Composed]:
    if not asked:
        return []
    from hydra import initialize_config_dir

    import lineage.config.schema  # noqa: F401  the schema

    with initialize_config_dir(str(_conf(project).resolve()), version_base="1.3"):
        return [_one(project, ask) for ask in asked]


def _one(project: Path, ask: Ask) -> Composed:
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    from lineage.config import digests, validate
    from lineage.config.build import ConfigError
    from lineage.config.friendly_errors import explain
    from lineage.tables.table import TableError

    overrides = [experiment(ask)]
    try:
        whole = compose("train", overrides, return_hydra_config=True)
        HydraConfig.instance().set_config(whole)
        choices = {group: option for group, option in whole.hydra.runtime.choices.items() if option}
        with open_dict(whole):
            del whole["hydra"]
        plain = OmegaConf.to_container(whole, resolve=True, throw_on_missing=False)
        assert isinstance(plain, dict)
        config = {str(key): value for key, value in plain.items()}
        validate.refuse_unknown_keys(whole)
        validate.refuse_former_names(whole)
        chosen = {str(group): str(option) for group, option in choices.items()}
        return Composed(config, chosen, digests.training(whole), digests.test(whole))
    except (HydraException, OmegaConfBaseException, TableError, ConfigError) as error:
        return Composed({}, {}, "", "", explain(error, project, overrides))


def _conf(project: Path) -> Path:
    """The conf/ of a whole checkout, or the shipped one."""
    conf = project / "conf"
    return conf if (conf / "train.yaml").is_file() else paths.shipped() / "conf"


def _cache() -> Path:
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage")


@lru_cache(maxsize=4)
def _fingerprint(project: Path) -> str:
    digest = hashlib.sha256(str(project.resolve()).encode())
    folders = dict.fromkeys((_conf(project), project / "conf"))  # a project's own lies over the shipped one
    files = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    tiers = [root / "experiments" / "tiers.yaml" for root in (project, paths.shipped())]
    for path in [*files, *tiers, *(SOURCES / part for part in PARTS)]:
        if path.is_file():
            digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def _name(ask: Ask) -> str:
    row = ask.row
    said = json.dumps([ask.table, row.name, ask.tier, row.choices, row.assignments, row.uses], default=str)
    return f"{hashlib.sha256(said.encode()).hexdigest()[:32]}.json"


def _recall(path: Path) -> Composed | None:
    try:
        return Composed(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _remember(path: Path, made: Composed) -> None:
    """A cache that cannot be written is no reason to fail."""
    with suppress(OSError):
        atomic_write(path, json.dumps(vars(made), default=str))
