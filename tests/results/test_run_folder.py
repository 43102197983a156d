"""The run folder and its documentation: every file, every field of an entry, every metric."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from lineage.eval.metrics import lrp, pq, tide
from lineage.results import store
from lineage.results.entry import FORMER_FIELDS, Entry
from lineage.results.run_folder import RunFolder, checkpoint_name, list_checkpoints, read_metrics
from lineage.tables import read
from tests.tracked import list_tracked_tables

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/run_folder.md").read_text(encoding="utf-8")
NAMES = {name for cell in re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cell)}


def test_every_file_of_a_run_folder_is_described() -> None:
    properties = [value for value in vars(RunFolder).values() if isinstance(value, property)]
    files = {value.__get__(RunFolder(Path("run"))).name for value in properties}
    assert len(files) > 10
    assert files <= NAMES


def test_every_field_of_an_entry_is_described() -> None:
    assert {field.name for field in fields(Entry)} <= NAMES
    assert all(f"`{name}`" in TEXT for name in FORMER_FIELDS)


def test_every_metric_is_described() -> None:
    """Those of committed tables; an evaluator of one's own, tried in free runs, needs no line."""
    tables = {name: read.load_table(ROOT / "experiments", name) for name in list_tracked_tables()}
    metrics = {metric for table in tables.values() for metric in table.metrics}
    entries = store.contents(ROOT / "results").entries
    metrics |= {metric for entry in entries if entry.table in tables for metric in entry.metrics}
    known = {name if name.startswith("cost/") else name.partition("/")[2] for name in metrics}
    known |= {*lrp.COMPONENTS, *pq.QUALITIES, *(f"dAP_{name}" for name in tide.COSTS)}
    assert len(known) > 40
    assert not known - NAMES


def test_a_file_in_a_run_folder_leads_to_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    assert RunFolder.containing(folder.weights) is None
    folder.config.touch()
    assert RunFolder.containing(folder.weights) == folder
    assert RunFolder.containing(folder.checkpoints / checkpoint_name(5)) == folder
    assert RunFolder.containing(tmp_path / "elsewhere.pt") is None


def test_checkpoints_are_listed_by_step(tmp_path: Path) -> None:
    for name in (checkpoint_name(20), checkpoint_name(3), ".writing-ab-step-0000021.ckpt", "step-x.ckpt", "last.ckpt"):
        (tmp_path / name).touch()
    assert list(list_checkpoints(tmp_path)) == [3, 20]


def test_artifacts_by_what_a_later_run_takes() -> None:
    folder = RunFolder(Path("run"))
    assert [folder.artifact(role) for role in ("start", "proposals", "labels")] == [
        folder.weights, folder.proposals, folder.labels]  # fmt: skip
    with pytest.raises(KeyError):
        folder.artifact("train")


def test_curves_are_read_by_name(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_metrics(folder.metrics) == []
    with folder.metrics.open("w", newline="") as file:
        csv.writer(file).writerows([["step", "loss"], [1, 0.5]])
    assert read_metrics(folder.metrics) == [{"step": "1", "loss": "0.5"}]


def test_it_needs_neither_torch_nor_hydra() -> None:
    code = "import sys, lineage.results.run_folder; print(*{'torch', 'hydra', 'pytorch_lightning'} & set(sys.modules))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
