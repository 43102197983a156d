"""Any machine runs the paper's number of images per step."""

import pytest

from lineage.train.plan import Recipe, Split, announce, split, unscaled

PAPER = Recipe(0.02, 16, 90000)


@pytest.mark.parametrize(
    ("images", "devices", "fit", "expected"),
    [
        (16, 8, 2, Split(8, 2, 1)),
        (16, 1, 2, Split(1, 2, 8)),
        (16, 1, 5, Split(1, 4, 4)),
        (2, 2, 2, Split(2, 1, 1)),
        (6, 2, 2, Split(2, 1, 3)),
        (8, 1, 100, Split(1, 8, 1)),
    ],
)
def test_the_step_is_split_exactly(images: int, devices: int, fit: int, expected: Split) -> None:
    found = split(images, devices, fit)
    assert found == expected
    assert found.devices * found.images * found.accumulated == images


def test_a_step_that_cannot_be_split_says_what_can() -> None:
    with pytest.raises(ValueError, match=r"16 cannot be shared equally by 3 devices; use trainer.devices=2"):
        split(16, 3, 2)


def test_the_line_says_what_runs_and_what_the_paper_ran() -> None:
    line = announce("1 x H100", "32-true", Split(1, 2, 4), Recipe(0.01, 8, 300), PAPER, 100)
    assert line == (
        "1 x H100, 32-true · 8 images per step (1 device x 2 x 4 accumulated) · lr 0.01 · 300 steps = 2,400 images = "
        "24.0 epochs · reference: 16 images per step, lr 0.02, 90,000 steps"
    )


def test_only_an_unscaled_rate_warns() -> None:
    assert unscaled(Recipe(0.01, 8, 300), PAPER) is None
    assert "optimizer.lr=0.0025" in (unscaled(Recipe(0.02, 2, 300), PAPER) or "")
