"""A cell as a process: its environment and its command."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lineage.launch.job import RunnerSettings, make_command, start_job
from lineage.launch.plan import TEST, TRAIN, Decision
from lineage.tables.table import ParentRole
from tests.launch.test_plan import cell

SHOW = "import os; print([os.environ.get(name) for name in ('SLURM_JOB_ID', 'SLURM_JOB_NAME', 'KEPT')])"


@pytest.mark.parametrize(
    ("job", "expected"),
    [(None, "[None, 'interactive', 'yes']"), ("77", "['77', 'bash', 'yes']")],
)
def test_lightning_does_not_wait_for_srun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str | None, expected: str
) -> None:
    """Inside a SLURM job a run is one process of its own: the name is what Lightning takes for no srun."""
    monkeypatch.setenv("KEPT", "yes")
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    settings = RunnerSettings(tmp_path, tmp_path / "results", tmp_path / "runs", python=(sys.executable, "-c", SHOW))
    started = start_job(cell("a"), Decision(TRAIN), settings, lambda: True)
    assert started is not None
    assert started.process.wait() == 0
    assert started.poll() == 0
    assert started.log.read_text().strip() == expected


def test_the_command_is_what_a_person_would_type(tmp_path: Path) -> None:
    (tmp_path / "train.py").touch()
    settings = RunnerSettings(
        tmp_path, tmp_path / "results", tmp_path / "runs", ["trainer.devices=8"], python=("python",)
    )
    one = cell("a")
    command = make_command(
        one, Decision(TEST, parents={ParentRole.START: "20261123T040305Z-a3d31b8b-9f02c1"}), settings
    )
    assert command == [
        "python", "train.py", "experiment=mini/paper/table/a", "seed=0", "trainer.devices=8",
        'paths.results="results"', 'paths.runs="runs"', "evaluate_only=true",
        "cell.start=20261123T040305Z-a3d31b8b-9f02c1", f'hydra.run.dir="runs/{one.folder}"',
    ]  # fmt: skip
    assert "evaluate_only=true" not in make_command(one, Decision(TRAIN), settings)
