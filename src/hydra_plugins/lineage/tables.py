"""Rows of the papers' tables as config options: `experiment=mask_rcnn/table2c/roi_align` is a row of a file.

A config source answers for the group `experiment`: papers and tables are groups, rows are options, and a leading tier
(`experiment=mini/mask_rcnn/table2c/roi_align`) runs the same row at that tier's cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from lineage.results import paths
from lineage.tables import read, tiers
from lineage.tables.table import Row, Table, TableError

GROUP = "experiment"


class TableSearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """experiments/ lies beside the folder of the primary config; a project's own lie over the shipped ones."""
        main = [entry.path for entry in search_path.get_path() if entry.provider == "main"]
        if not main or main[0].startswith("pkg://"):
            return
        root = Path(main[0].removeprefix("file://")).resolve().parent
        experiments = root / "experiments"
        if root == paths.shipping_root().resolve():
            experiments = paths.experiments()
            if own := paths.own_configs():
                search_path.prepend("project", f"file://{own}")
        if experiments.is_dir():
            search_path.append("lineage", f"{TableSource.scheme()}://{experiments}")


class TableSource(ConfigSource):
    @staticmethod
    def scheme() -> str:
        return "tables"

    def available(self) -> bool:
        return Path(self.path).is_dir()

    def is_group(self, config_path: str) -> bool:
        _, rest = self._split(config_path)
        return rest is not None and (rest == "" or bool(self._below(rest)))

    def is_config(self, config_path: str) -> bool:
        return self._find(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return nothing at the top level: `--help` would otherwise print every row of every paper."""
        _, rest = self._split(config_path)
        if rest is None:
            return []
        kind = ObjectType.CONFIG if self._is_table(rest) else ObjectType.GROUP
        return [*self._below(rest)] if results_filter in (None, kind) else []

    def load_config(self, config_path: str) -> ConfigResult:
        address = self._find(config_path)
        if address is None:
            raise ConfigLoadError(f"no row {config_path}")
        tier, table, row = address
        if row.unsupported:
            raise TableError(f"{table.name}: the row {row.name} cannot run yet: {row.unsupported}")
        if row.quoted:
            raise TableError(f"{table.name}: the row {row.name} is not ours to run: {row.quoted}")
        config = self._compose(tier, table, row)
        return ConfigResult(
            provider=self.provider, path=self.full_path(), config=config, header={"package": "_global_"}
        )

    def _compose(self, tier: str | None, table: Table, row: Row) -> DictConfig:
        rules = tiers.load_tiers(Path(self.path)).get(tier or tiers.PAPER, {})
        choices, assignments = tiers.translate_row(row, tier or tiers.PAPER, rules)
        refused = [name for name in (*choices, *assignments) if name.replace("/", ".").partition(".")[0] == "hydra"]
        if refused:
            raise TableError(f"{table.name}: the row {row.name} sets {refused[0]}: a row has no say in how Hydra runs")
        defaults: list[Any] = [{f"override /{group}": option} for group, option in choices.items()]
        config = OmegaConf.create({"defaults": defaults, "cell": {"table": table.name, "row": row.name}})
        if row.evaluates:
            config.evaluate_only = True
        for key, value in assignments.items():
            OmegaConf.update(config, key, value, force_add=True)
        return config

    def _find(self, config_path: str) -> tuple[str | None, Table, Row] | None:
        tier, rest = self._split(config_path.removesuffix(".yaml"))
        name, _, row = (rest or "").rpartition("/")
        if not self._is_table(name):
            return None
        table = read.load_table(Path(self.path), name)
        return (tier, table, table.rows[row]) if row in table.rows else None

    def _split(self, config_path: str) -> tuple[str | None, str | None]:
        """`experiment/mini/a/b` -> (mini, a/b); `experiment/a` -> (None, a); what is not of this group has no rest."""
        group, _, rest = config_path.strip("/").partition("/")
        if group != GROUP:
            return None, None
        first, _, more = rest.partition("/")
        return (first, more) if first in tiers.load_tiers(Path(self.path)) else (None, rest)

    def _is_table(self, name: str) -> bool:
        return "/" in name and read.table_path(Path(self.path), name).is_file()

    def _below(self, rest: str) -> Sequence[str]:
        """Return the names below: papers, then a paper's tables, then a table's rows."""
        if self._is_table(rest):
            return sorted(read.load_table(Path(self.path), rest).rows)
        prefix = f"{rest}/" if rest else ""
        tables = [name.removeprefix(prefix) for name in read.list_tables(Path(self.path)) if name.startswith(prefix)]
        return sorted({name.partition("/")[0] for name in tables})
