"""Curves survive a resume, and W&B never prompts."""

from pathlib import Path

import pytest

from lineage.results.run_folder import read_metrics
from lineage.train.loggers import CsvLogger, RunName, has_wandb_key

NAME = RunName("id", "scratch", "mask_rcnn", 0)


def log(folder: Path, start: int, steps: range) -> CsvLogger:
    logger = CsvLogger(folder=folder, name=NAME, start=start)
    logger.log_hyperparams({})
    for step in steps:
        logger.log_metrics({"loss": float(step)}, step)
    return logger


def test_a_new_column_keeps_the_old_rows(tmp_path: Path) -> None:
    logger = log(tmp_path, 0, range(1, 3))
    logger.log_metrics({"box/AP": 3.0}, 2)
    assert read_metrics(logger.path) == [
        {"step": "1", "loss": "1.0", "box/AP": ""},
        {"step": "2", "loss": "2.0", "box/AP": ""},
        {"step": "2", "loss": "", "box/AP": "3.0"},
    ]


def test_what_a_killed_run_logged_after_its_checkpoint_is_dropped(tmp_path: Path) -> None:
    log(tmp_path, 0, range(1, 6))
    logger = log(tmp_path, 3, range(4, 7))
    assert [row["step"] for row in read_metrics(logger.path)] == ["1", "2", "3", "4", "5", "6"]


def test_a_machine_without_a_key_stays_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert not has_wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert has_wandb_key()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not has_wandb_key()
