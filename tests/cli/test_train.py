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


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        ("hydra.sweep.dir=X -m seed=0,1", "hydra.sweep.dir=X seed=0,1 -m"),
        ("--cfg job seed=0 --package model roi=pool", "seed=0 roi=pool --cfg job --package model"),
        ("-cn other seed=0 --config-d=x roi=pool", "seed=0 roi=pool -cn other --config-d=x"),
        ("--info defaults seed=0", "seed=0 --info defaults"),
        ("--info seed=0", "seed=0 --info"),
        ("seed=0 roi=pool", "seed=0 roi=pool"),
    ],
)
def test_flags_may_stand_between_overrides(typed: str, passed: str) -> None:
    from hydra._internal.utils import get_args_parser

    assert train.put_flags_last(typed.split()) == passed.split()
    overrides = [text for text in typed.split() if "=" in text and not text.startswith("-")]
    assert get_args_parser().parse_args(passed.split()).overrides == overrides


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("--cfg all_of_it", "argument --cfg/-c: invalid choice: 'all_of_it'"),
        ("seed=0 --cfg", "argument --cfg/-c: expected one argument"),
        ("--r", "ambiguous option: --r could match --resolve, --run"),
    ],
)
def test_a_flag_that_hydra_refuses_is_one_line(typed: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(typed.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(says)


@pytest.mark.parametrize("command", ["seed=0 -c job roi=pool", "model=centernet -c job seed=0"])
def test_overrides_on_both_sides_of_a_flag_are_composed(command: str) -> None:
    done = subprocess.run([sys.executable, ROOT / "train.py", *command.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "seed: 0" in done.stdout.splitlines()


def test_a_refused_config_leaves_no_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "train.py", "schedule.steps=-1", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert not (tmp_path / "run").exists(), done.stderr
