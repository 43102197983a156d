"""A cell as a process: its environment and its command."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from lineage.launch import local
from lineage.launch.job import RunnerSettings, can_resume, make_command, start_job
from lineage.launch.plan import TEST, TRAIN, Decision
from lineage.results.run_folder import RunFolder, checkpoint_name
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


def test_a_stopped_training_that_is_now_a_test_is_set_aside(tmp_path: Path) -> None:
    """Another row trained the same weights meanwhile: `evaluate_only=true resume=` was refused for ever."""
    settings = RunnerSettings(tmp_path, tmp_path / "results", tmp_path / "runs", python=(sys.executable, "-c", SHOW))
    folder = tmp_path / "runs" / cell("a").folder
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    (folder / "start.json").touch()
    (checkpoints / "step-0000004.ckpt").touch()
    assert any(word.startswith("resume=") for word in make_command(cell("a"), Decision(TRAIN), settings))
    job = start_job(cell("a"), Decision(TEST), settings, lambda: True)
    assert job is not None
    assert job.process.wait() == job.poll() == 0
    assert not job.is_resumed
    assert not checkpoints.exists()
    assert (folder.with_name(f"{folder.name}-stopped-1") / "checkpoints" / "step-0000004.ckpt").is_file()


LINES = (
    "step 60/600  0:01:20 left  loss 1.234 = rpn_cls 0.40 + rpn_box 0.83, lr 0.02, 7.1 images/s",
    "evaluating at step 60",
    "evaluating the best weights, those of step 40",
)


def test_a_run_is_resumed_if_it_has_begun_and_left_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not can_resume(tmp_path)
    folder.start.write_text("{}")
    assert not can_resume(tmp_path)
    folder.checkpoints.mkdir()
    (folder.checkpoints / checkpoint_name(4)).touch()
    assert can_resume(tmp_path)
    folder.start.unlink()
    assert not can_resume(tmp_path)


def test_progress_is_printed_at_evaluations_and_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From "train" to "done" nothing was printed for hours."""
    settings = RunnerSettings(tmp_path, tmp_path / "results", tmp_path / "runs", python=(sys.executable, "-c", SHOW))
    log = tmp_path / "runs" / cell("a").folder / "terminal.log"
    log.parent.mkdir(parents=True)
    log.write_text("step 599/600  0:00:01 left  loss 9.9\n")  # of the process that was killed
    job = start_job(cell("a"), Decision(TRAIN), settings, lambda: True)
    assert job is not None
    assert job.process.wait() == job.poll() == 0
    printed: list[str] = []
    progress, now = local.Progress(printed.append), time.monotonic()
    lines = ((0, ""), (1, LINES[0]), (20, ""), (32, ""), (40, LINES[1]), (50, ""), (60, LINES[2]), (90, ""))
    for seconds, line in lines:
        with log.open("a") as file:
            file.write(f"{line}\n" if line else "")
        monkeypatch.setattr(local.time, "monotonic", lambda: now + seconds)  # noqa: B023
        progress.update([job])
    name = f"       {job.cell.name}: "
    assert printed == [f"{name}{line}" for line in ("step 60/600, 0:01:20 left, loss 1.234", *LINES[1:])]
