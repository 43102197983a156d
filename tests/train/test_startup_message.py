"""The first line of a run: its batch, schedule and those of the paper."""

from pathlib import Path

from omegaconf import OmegaConf

from lineage.run.metadata import has_scale, read_reference
from lineage.run.resume import Attempt
from lineage.structures import DETECTION, INTERPOLATION
from lineage.train.startup_message import (
    BatchSplit,
    LrScaling,
    format_lr_warning,
    format_precision_warning,
    format_scale_warning,
    format_schedule_warning,
    format_start_line,
)

PAPER = LrScaling(0.02, 16, 90000)


def test_the_line_says_what_runs_and_what_the_paper_ran() -> None:
    line = format_start_line("1 x H100, 32-true", BatchSplit(1, 8, 4), LrScaling(0.01, 8, 300), PAPER, 100)
    assert line == (
        "1 x H100, 32-true · 8 images per step (1 device x 2 images x 4 accumulated) · lr 0.01 · "
        "300 steps = 2,400 images = 24.0 epochs · reference: 16 images per step, lr 0.02, 90,000 steps"
    )


def test_a_task_without_a_common_schedule_has_no_reference() -> None:
    """DVTSR was set beside the 90,000 steps of SGD that detectors are trained by."""
    ours = LrScaling(0.004, 4, 600, "lineage.train.optimizer.adamw")
    line = format_start_line("CPU, 32-true", BatchSplit(1, 4, 1), ours, None, 1000)
    assert line.endswith("600 steps = 2,400 images = 2.4 epochs")
    assert format_lr_warning(ours, None) is None
    assert read_reference(INTERPOLATION) is None
    assert read_reference(DETECTION) == LrScaling(0.02, 16, 90000, "lineage.train.optimizer.sgd")


def test_only_an_unscaled_rate_warns() -> None:
    assert format_lr_warning(LrScaling(0.01, 8, 300), PAPER) is None
    assert "optimizer.lr=0.0025" in (format_lr_warning(LrScaling(0.02, 2, 300), PAPER) or "")


def test_rates_of_different_optimizers_are_not_compared() -> None:
    """Following the advice halved AP: AdamW's 0.0015 is no scaled 0.02 of SGD."""
    ours, paper = LrScaling(0.0015, 4, 600, "lineage.train.optimizer.adamw"), LrScaling(0.02, 16, 90000, "x.sgd")
    assert format_lr_warning(ours, paper) is None
    line = format_start_line("CPU, 32-true", BatchSplit(1, 4, 1), ours, paper, 2000)
    assert line.endswith("reference: 16 images per step, lr 0.02 with sgd, 90,000 steps")


def test_a_schedule_that_never_happens_warns() -> None:
    assert format_schedule_warning(600, [440, 550], 30) is None
    assert format_schedule_warning(200, [], 20) is None
    assert format_schedule_warning(0, [440, 550], 30) is None  # evaluates only
    text = format_schedule_warning(200, [440, 550], 30) or ""
    assert "never drops" in text
    assert text.endswith("they would be 'schedule.milestones=[147,183]'")
    text = format_schedule_warning(3, [870, 1050, 1170, 1260, 1330], 0) or ""
    assert text.endswith("they would be 'schedule.milestones=[2]'")  # no step twice, none that lies at the end
    assert "schedule.warmup_steps=2" in (format_schedule_warning(20, [15], 30) or "")


def test_emulated_bfloat16_is_warned_of() -> None:
    assert "no bf16" in (format_precision_warning("cpu", "bf16-mixed", False) or "")
    quiet = (
        ("cuda", "bf16-mixed", False),
        ("cpu", "32-true", False),
        ("cpu", "bf16-true", True),
        ("cpu", "bf16", None),
    )
    assert [format_precision_warning(*case) for case in quiet] == [None] * 4


def test_a_model_that_no_file_shrinks_is_slow_and_says_which_file_is_missing() -> None:
    assert format_scale_warning("paper", "mine", False) is None
    assert format_scale_warning("mini", "mask_rcnn", True) is None
    text = format_scale_warning("mini", "mine", False)
    assert text is not None
    assert "conf/scale/mini/mine.yaml" in text


def test_the_file_that_shrinks_a_model_is_found_by_tier_and_model() -> None:
    attempts = [
        Attempt(Path("runs/a"), OmegaConf.create({"tier": tier}), [], {"model": model})
        for tier, model in (("mini", "mask_rcnn"), ("smoke", "mask_rcnn"), ("mini", "mine"), ("paper", "mask_rcnn"))
    ]
    assert [has_scale(attempt) for attempt in attempts] == [True, True, False, False]
