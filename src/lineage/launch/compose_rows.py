"""Rows of tables as whole configs, composed by Hydra (composer.py) and cached: 400 rows take 24 s of a CPU.

The key of a cached row is a digest of all that it is composed of: conf/, the schema, and the row itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineage.results import paths
from lineage.results.atomic import atomic_write, read_mapping
from lineage.tables.table import Row
from lineage.tables.tiers import PAPER, load_project_tiers, translate_choices

if TYPE_CHECKING:
    from lineage.launch.composer import Composition, FileCache

SOURCES = Path(__file__).resolve().parents[2]  # src/: the schema and the plugins are part of what composes a config
PARTS = ("lineage/launch/compose_rows.py", "lineage/launch/composer.py", "lineage/config/schema.py",
         "lineage/config/validate.py", "lineage/config/digests.py", "lineage/results/renames.py",
         "lineage/results/renames_table.py", "lineage/results/renames.yaml", "lineage/results/key_roles.py",
         "lineage/results/entry.py", "lineage/tables/tiers.py", "hydra_plugins/lineage/tables.py")  # fmt: skip
MANY = 100  # rows: fewer are composed before further processes have started
MOST_PROCESSES = 8


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
    written: dict[str, Any] = field(default_factory=dict)  # the config with its interpolations


def compose_rows(project: Path, requests: Iterable[RowRequest], processes: int = 1) -> list[ComposedRow]:
    """Return a row per request, from the cache or composed now, many of them by several processes.

    Processes start the main script again, so that more than one are for commands, whose main script does nothing then.
    """
    requests = list(requests)
    folder = cache_folder() / "composed" / _fingerprint(project)
    rows = [_read_cache(folder / _file_name(request)) for request in requests]
    missing = [i for i, row in enumerate(rows) if row is None]
    if len(missing) > MANY:
        print(f"composing {len(missing)} rows of tables, once; up to a minute ...", file=sys.stderr, flush=True)
    for i, row in zip(missing, _compose_all(project, [requests[i] for i in missing], processes), strict=True):
        rows[i] = row
        _write_cache(folder / _file_name(requests[i]), row)
    return [row for row in rows if row is not None]


def _compose_all(project: Path, requests: list[RowRequest], processes: int = 1) -> list[ComposedRow]:
    """Compose rows, those of equal choices together."""
    alike: dict[str, list[RowRequest]] = defaultdict(list)
    for request in requests:
        alike[_identify_choices(project, request)].append(request)
    groups = [*alike.values()]
    processes = processes if len(requests) > MANY else 1
    parts = [groups[i::processes] for i in range(processes)]
    if processes == 1:
        composed = [_compose_groups(project, groups)]
    else:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            composed = [*pool.map(partial(_compose_groups, project), parts)]
    rows = {override: row for part in composed for override, row in part.items()}
    return [rows[request.override] for request in requests]


def _compose_groups(project: Path, groups: list[list[RowRequest]]) -> dict[str, ComposedRow]:
    """Return override -> row; each group holds rows of equal choices."""
    if not groups:
        return {}
    from lineage.launch import composer

    rows: dict[str, ComposedRow] = {}
    with composer.open_configs(_conf(project)) as files:
        for group in groups:
            overrides = [request.override for request in group]
            for override, composition in zip(overrides, composer.compose_alike(files, overrides), strict=True):
                rows[override] = _finish(project, override, files, composition)
    return rows


def count_processes() -> int:
    """Return the number of processes that this machine has CPUs for."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_PROCESSES, cpus)


def _identify_choices(project: Path, request: RowRequest) -> str:
    """Return what two rows have in common that differ in the keys they set alone."""
    rules = load_project_tiers(project).get(request.tier, {})
    choices = request.row.choices if request.row.tier == request.tier else translate_choices(request.row.choices, rules)
    return json.dumps([request.tier, choices], sort_keys=True)


def _finish(project: Path, override: str, files: FileCache, shared: Composition | None) -> ComposedRow:
    """Return a row from the composition that it shares, else composed by itself, else with the error for people."""
    from lineage.config.build import ConfigError
    from lineage.config.friendly_errors import explain
    from lineage.launch import composer

    errors = (*composer.FAILURES, ConfigError)
    if shared is not None:
        with suppress(*errors):
            return _resolve(shared)
    try:
        return _resolve(composer.compose_alone(files, override))
    except errors as error:
        return ComposedRow({}, {}, "", "", explain(error, project, [override]))


def _resolve(composition: Composition) -> ComposedRow:
    from omegaconf import OmegaConf

    from lineage.config import digests, validate

    whole = composition.config
    plain = OmegaConf.to_container(whole, resolve=True, throw_on_missing=False)
    assert isinstance(plain, dict)
    config = {str(key): value for key, value in plain.items()}
    validate.check(whole)
    training, test = digests.training_digest(whole), digests.test_digest(whole)
    return ComposedRow(config, composition.choices, training, test, written=digests.to_plain(whole))


def _conf(project: Path) -> Path:
    """The conf/ of a whole checkout, or the shipped one."""
    conf = project / "conf"
    return conf if (conf / "train.yaml").is_file() else paths.shipping_root() / "conf"


def cache_folder() -> Path:
    """Return the folder of what can be computed again."""
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
    identity = json.dumps(
        [request.table, row.name, request.tier, row.tier, row.choices, row.assignments, row.uses, row.at], default=str
    )
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.json"


def _read_cache(path: Path) -> ComposedRow | None:
    try:
        return ComposedRow(**read_mapping(path))
    except TypeError:  # none, damaged, or of other fields
        return None


def _write_cache(path: Path, row: ComposedRow) -> None:
    """Write a row if the cache can be written."""
    with suppress(OSError):
        atomic_write(path, json.dumps(vars(row), default=str))
