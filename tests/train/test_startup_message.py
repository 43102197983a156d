"""The first line of a run: its batch, schedule and those of the paper."""

from lineage.train.startup_message import BatchSplit, LrScaling, format_lr_warning, format_start_line

PAPER = LrScaling(0.02, 16, 90000)


def test_the_line_says_what_runs_and_what_the_paper_ran() -> None:
    line = format_start_line("1 x H100", "32-true", BatchSplit(1, 8, 4), LrScaling(0.01, 8, 300), PAPER, 100)
    assert line == (
        "1 x H100, 32-true · 8 images per step (1 device x 2 images x 4 accumulated) · lr 0.01 · "
        "300 steps = 2,400 images = 24.0 epochs · reference: 16 images per step, lr 0.02, 90,000 steps"
    )


def test_only_an_unscaled_rate_warns() -> None:
    assert format_lr_warning(LrScaling(0.01, 8, 300), PAPER) is None
    assert "optimizer.lr=0.0025" in (format_lr_warning(LrScaling(0.02, 2, 300), PAPER) or "")
