"""What is drawn lands where it should, at any size of image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lineage.report.paint import INK, Mark, colour_of, paint


def grey(width: int = 60, height: int = 40) -> Image.Image:
    return Image.new("RGB", (width, height), (128, 128, 128))


def test_nothing_to_draw_leaves_the_image() -> None:
    assert paint(grey(), [], 1.0).tobytes() == grey().tobytes()


def test_mask_and_box_colour_their_pixels_only() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    drawn = paint(grey(), [Mark((20, 10, 50, 30), "", (255, 0, 0), mask)], 4.0)
    assert drawn.size == (240, 160)
    red, green, _ = drawn.getpixel((140, 80))
    assert red > 150 > 100 > green, "inside the mask"
    assert drawn.getpixel((80, 60)) == (255, 0, 0), "on the box"
    assert drawn.getpixel((230, 150)) == (128, 128, 128), "outside"


@pytest.mark.parametrize("corner", [(0, 0), (55, 0), (0, 36), (55, 36)])
def test_labels_stay_on_the_image(corner: tuple[int, int]) -> None:
    x, y = corner
    drawn = paint(grey(), [Mark((x, y, x + 5, y + 4), "disc 0.99", colour_of(0))], 4.0)
    assert INK in {colour for _, colour in drawn.getcolors(10000)}, "letters are drawn"


def test_labels_avoid_each_other() -> None:
    """Four objects in one place: four tags at four corners, where one on top of another would cover it."""
    def letters(count: int) -> int:
        marks = [Mark((20, 15, 40, 25), "figure", colour_of(place)) for place in range(count)]
        return sum(number for number, colour in paint(grey(), marks, 8.0).getcolors(100000) if colour == INK)

    assert letters(4) > 3.5 * letters(1)


def test_degenerate_boxes_and_single_pixels() -> None:
    paint(grey(1, 1), [Mark((0, 0, 0, 0), "dot", colour_of(3), np.ones((1, 1), bool), ((0.5, 0.5),))], 300.0)
