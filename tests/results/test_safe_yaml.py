"""YAML that would overflow the stack or never end is refused in milliseconds, in tables and in configs of runs."""

import time
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from lineage.config.build import ConfigError
from lineage.config.resume_overrides import load_config
from lineage.results import paths
from lineage.results.run_folder import RunFolder
from lineage.results.safe_yaml import StructureError, check_structure
from lineage.tables.read import parse_table
from lineage.tables.table import TableError

LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
BOMBS = {
    "brackets": "[" * 50_000,
    "braces": "{a: " * 50_000,
    "dashes": "- " * 50_000,
    "indentation": "\n".join(" " * i + "a:" for i in range(300)),
    "aliases": LAUGHS,
    "cycle": "a: &a [*a]",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_at_once(tmp_path: Path, text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(StructureError):
        check_structure(text)
    with pytest.raises(TableError, match="not YAML: it"):
        parse_table("paper/table", text)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config.yaml is damaged: StructureError"):
        load_config(RunFolder(tmp_path))
    assert time.perf_counter() - started < 2


def test_what_is_no_yaml_keeps_its_own_error() -> None:
    with pytest.raises(yaml.YAMLError, match="did not find expected"):
        check_structure("{a: [}")


def test_files_of_ours_pass() -> None:
    for path in (paths.ROOT / "experiments").glob("*/*.yaml"):
        check_structure(path.read_text())
    check_structure("a: &a {x: 1}\nb: *a\nc: [*a, *a]\n")
    check_structure(OmegaConf.to_yaml({"a": {"b": "${a}"}}))
