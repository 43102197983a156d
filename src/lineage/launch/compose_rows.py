"""Rows of tables as whole configs, composed by Hydra and cached: at 100 ms per row, 400 rows take most of a minute.

The key of a cached row is a digest of all that it is composed of: conf/, the schema, and the row itself.
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
from typing import Any

from lineage.results import paths
from lineage.results.atomic import atomic_write
from lineage.tables.table import Row
from lineage.tables.tiers import PAPER

SOURCES = Path(__file__).resolve().parents[2]  # src/: the schema and the plugins are part of what composes a config
PARTS = ("lineage/config/schema.py", "lineage/config/digests.py", "lineage/results/renames.py",
         "lineage/results/renames.yaml", "lineage/results/key_roles.py", "lineage/results/entry.py",
         "lineage/tables/tiers.py", "hydra_plugins/lineage/tables.py")  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowRequest:
    table: str
    row: Row
    tier: str

    @property
    def override(self) -> str:
        """The override that chooses the row: experiment=mini/mask_rcnn/table2c/roi_align."""
        tier = "" if self.tier == PAPER else f"{self.tier}/"
        return f"experiment={tier}{self.table}/{self.row.name}"


@dataclass(frozen=True)
class ComposedRow:
    """A row at a tier as a config. If it does not compose, `error` is set and the rest is empty."""

    config: dict[str, Any]  # resolved
    choices: dict[str, str]
    training: str  # digests, see config/digests.py
    test: str
    error: str | None = None


def compose_rows(project: Path, requests: Iterable[RowRequest]) -> list[ComposedRow]:
    """Return a row per request, from the cache or composed now."""
    requests = list(requests)
    folder = _cache() / "composed" / _fingerprint(project)
    rows = [_read_cache(folder / _file_name(request)) for request in requests]
    missing = [i for i, row in enumerate(rows) if row is None]
    for i, row in zip(missing, _compose_all(project, [requests[i] for i in missing]), strict=True):
        rows[i] = row
        _write_cache(folder / _file_name(requests[i]), row)
    return [row for row in rows if row is not None]


def _compose_all(project: Path, requests: list[RowRequest]) -> list[ComposedRow]:
    if not requests:
        return []
    from hydra import initialize_config_dir

    import lineage.config.schema  # noqa: F401  the schema

    with initialize_config_dir(str(_conf(project).resolve()), version_base="1.3"):
        return [_compose(project, request) for request in requests]


def _compose(project: Path, request: RowRequest) -> ComposedRow:
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    from lineage.config import digests, validate
    from lineage.config.build import ConfigError
    from lineage.config.friendly_errors import explain
    from lineage.tables.table import TableError

    overrides = [request.override]
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
        return ComposedRow(config, chosen, digests.training_digest(whole), digests.test_digest(whole))
    except (HydraException, OmegaConfBaseException, TableError, ConfigError) as error:
        return ComposedRow({}, {}, "", "", explain(error, project, overrides))


def _conf(project: Path) -> Path:
    """The conf/ of a whole checkout, or the shipped one."""
    conf = project / "conf"
    return conf if (conf / "train.yaml").is_file() else paths.shipping_root() / "conf"


def _cache() -> Path:
    return Path(os.environ.get("LINEAGE_CACHE") or Path.home() / ".cache" / "lineage")


@lru_cache(maxsize=4)
def _fingerprint(project: Path) -> str:
    digest = hashlib.sha256(str(project.resolve()).encode())
    folders = dict.fromkeys((_conf(project), project / "conf"))  # a project's own lies over the shipped one
    files = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    tiers = [root / "experiments" / "tiers.yaml" for root in (project, paths.shipping_root())]
    for path in [*files, *tiers, *(SOURCES / part for part in PARTS)]:
        if path.is_file():
            digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


def _file_name(request: RowRequest) -> str:
    row = request.row
    identity = json.dumps([request.table, row.name, request.tier, row.choices, row.assignments, row.uses], default=str)
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"


def _read_cache(path: Path) -> ComposedRow | None:
    try:
        return ComposedRow(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_cache(path: Path, row: ComposedRow) -> None:
    """Write a row if the cache can be written."""
    with suppress(OSError):
        atomic_write(path, json.dumps(vars(row), default=str))
