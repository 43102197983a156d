"""The command line of a training, before Hydra reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lineage.cli import train
from lineage.results.paths import ROOT


@pytest.mark.parametrize(
    ("word", "answer"), [("--hlep", "--help"), ("--multrun=1", "--multirun"), ("-x", "no option -x")]
)
def test_an_unknown_option_is_answered_with_the_nearest(
    word: str, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["model=mask_rcnn", word]) == 2
    assert answer in capsys.readouterr().err


def test_options_of_hydra_pass() -> None:
    known = ["-m", "--multirun", "--cfg", "job", "--config-dir=conf", "--multi", "roi=pool,align", "x=-1"]
    assert train.explain_unknown_flag(known) is None


def test_a_refused_config_leaves_no_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "train.py", "schedule.steps=-1", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert not (tmp_path / "run").exists(), done.stderr
