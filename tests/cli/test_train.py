"""The command line of a training, before Hydra reads it."""

from __future__ import annotations

import pytest

from lineage.cli import train


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
