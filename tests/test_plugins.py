"""The two Hydra plugins: rows of tables as options, and a process per sweep job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig

import lineage.config.schema  # noqa: F401  the schema
from hydra_plugins.lineage.processes import _config_flags
from hydra_plugins.lineage.tables import TableSource
from lineage.tables import read, tiers
from lineage.tables.table import Table

ROOT = Path(__file__).parents[1]
TABLES = [read.load_table(ROOT / "experiments", name) for name in read.list_tables(ROOT / "experiments")]
TIERS = tiers.load_tiers(ROOT / "experiments")

APP = """
    import sys

    import hydra

    from lineage.config.friendly_errors import run_with_friendly_errors


    @hydra.main(version_base="1.3", config_path="conf", config_name="train")
    def main(config):
        print("JOB", config.cell.row, config.size, sys.argv[1:], flush=True)
        if config.size == 2:
            raise ValueError("two is too many")


    if __name__ == "__main__":
        run_with_friendly_errors(main)
"""
CONF = """
    defaults:
      - model: plain
      - tier: paper
      - _self_
      - experiment: null
      - override hydra/launcher: process
    size: 1
    cell: {table: null, row: null}
"""
TABLE = """
    paper: A Paper
    label: Table 1
    message: New is better.
    kind: one_factor
    dataset: coco
    metrics: {mask/AP: AP}
    source: arXiv
    base: {with: {model: plain}}
    rows:
      old: {}
      new: {with: {model: fancy}, set: {size: 3}}
      later: {unsupported: needs a head that does not exist yet}
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy project in a folder with a space in its name."""
    root = tmp_path_factory.mktemp("toy app")
    files = {
        "train.py": APP,
        "conf/train.yaml": CONF,
        "conf/model/plain.yaml": "name: plain",
        "conf/model/fancy.yaml": "name: fancy",
        "conf/model/small.yaml": "name: small",
        "conf/tier/paper.yaml": "# @package _global_\ntier: paper",
        "conf/tier/mini.yaml": "# @package _global_\ntier: mini",
        "experiments/paper/table1.yaml": TABLE,
        "experiments/tiers.yaml": "mini: {model: {fancy: small}}",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))
    return root


def composed(root: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


def runnable(table: Table) -> list[str]:
    return [row.name for row in table.rows.values() if row.runs]


@pytest.mark.parametrize(
    ("row", "tier"), [(f"{table.name}/{row}", table.tier) for table in TABLES for row in runnable(table)[:1]]
)
def test_a_row_of_every_table_composes(row: str, tier: str) -> None:
    """At the tier that its table is written for. All of them: tests/tables/test_rows.py, slow."""
    config = composed(ROOT, f"experiment={row}" if tier == tiers.PAPER else f"experiment={tier}/{row}")
    assert f"{config.cell.table}/{config.cell.row}" == row
    assert config.tier == tier


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("row", ["mask_rcnn/table2c/roi_align", "mask_rcnn/table8/x152", "mask_rcnn/table4/keypoint"])
def test_rows_compose_at_every_tier(row: str, tier: str) -> None:
    assert composed(ROOT, f"experiment={tier}/{row}").tier == tier


def test_a_row_sets_and_chooses(app: Path) -> None:
    config = composed(app, "experiment=paper/table1/new")
    assert (config.model.name, config.size, config.cell.row) == ("fancy", 3, "new")


def test_the_command_line_wins_over_a_row(app: Path) -> None:
    config = composed(app, "experiment=paper/table1/new", "model=plain", "size=4")
    assert (config.model.name, config.size) == ("plain", 4)


def test_a_tier_translates_choices(app: Path) -> None:
    config = composed(app, "experiment=mini/paper/table1/new")
    assert (config.model.name, config.tier, config.cell.table) == ("small", "mini", "paper/table1")


def test_the_group_lists_papers_tables_and_rows(app: Path) -> None:
    source = TableSource("lineage", f"tables://{app}/experiments")
    assert source.list("experiment", ObjectType.GROUP) == ["paper"]
    assert source.list("experiment/paper", None) == ["table1"]
    assert source.list("experiment/mini/paper/table1", ObjectType.CONFIG) == ["later", "new", "old"]
    assert source.list("experiment/paper/table1", ObjectType.GROUP) == []
    assert source.is_group("experiment/mini/paper")
    assert not source.is_group("experiment/nobody")
    assert not source.is_group("model")
    assert not source.is_config("experiment/paper/table1/nobody")


def test_an_unsupported_row_says_why(app: Path) -> None:
    done = train(app, "experiment=paper/table1/later", "--cfg", "job")
    assert done.returncode == 1
    assert done.stderr.strip() == "paper/table1: the row later cannot run yet: needs a head that does not exist yet"


def test_a_sweep_goes_on_after_a_failed_job_and_says_how_to_repeat_it(app: Path) -> None:
    done = train(app, "-m", "size=2,3", "hydra.sweep.dir=a sweep")
    jobs = [line for line in done.stdout.splitlines() if line.startswith("JOB")]
    assert done.returncode == 1
    assert len(jobs) == 2
    assert not any("'-m'" in job or "hydra.sweep.dir" in job for job in jobs)
    assert "1 of 2 jobs failed" in done.stderr
    assert "size=2 'hydra.run.dir=\"a sweep/0\"'" in done.stderr
    assert "in main" in done.stderr  # the job's own traceback
    assert "hydra/_internal" not in done.stderr
    assert {path.name for path in (app.parent / "a sweep").iterdir()} >= {"0", "1"}


def test_a_whole_table_by_glob_from_another_folder(app: Path) -> None:
    done = train(app, "-m", "+experiment/mini/paper/table1=glob(n*)", f"hydra.sweep.dir={app}/out")
    assert done.returncode == 0, done.stderr
    assert "JOB new 3" in done.stdout


def test_a_glob_that_would_start_nothing_is_refused_with_the_right_command(app: Path) -> None:
    done = train(app, "-m", "experiment=glob(paper/table1/*)", f"hydra.sweep.dir={app}/out")
    assert done.returncode == 1
    assert "'+experiment/paper/table1=glob(*)'" in done.stderr


def test_jobs_keep_the_flags_that_choose_the_config() -> None:
    flags = ["-m", "a=1", "-cn", "other", "--config-dir=x", "b=2", "--cfg"]
    assert _config_flags(flags) == ["-cn", "other", "--config-dir=x"]


def train(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """From beside the project, never from inside it."""
    return subprocess.run(
        [sys.executable, str(app / "train.py"), *arguments], cwd=app.parent, capture_output=True, text=True
    )
