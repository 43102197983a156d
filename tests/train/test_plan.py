"""A reader of the first line knows what runs and what the paper ran."""

from lineage.train.startup_message import Recipe, Split, announce, unscaled

PAPER = Recipe(0.02, 16, 90000)


def test_the_line_says_what_runs_and_what_the_paper_ran() -> None:
    line = announce("1 x H100", "32-true", Split(1, 8, 4), Recipe(0.01, 8, 300), PAPER, 100)
    assert line == (
        "1 x H100, 32-true · 8 images per step (1 device x 2 images x 4 accumulated) · lr 0.01 · "
        "300 steps = 2,400 images = 24.0 epochs · reference: 16 images per step, lr 0.02, 90,000 steps"
    )


def test_only_an_unscaled_rate_warns() -> None:
    assert unscaled(Recipe(0.01, 8, 300), PAPER) is None
    assert "optimizer.lr=0.0025" in (unscaled(Recipe(0.02, 2, 300), PAPER) or "")
