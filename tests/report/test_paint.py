"""What is drawn lands where it should, at any size of image."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lineage.report.draw import INK, Area, Mark, object_colour, paint, stuff_colour


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


def test_bones_join_joints() -> None:
    ends = (10.0, 10.0), (30.0, 20.0)
    drawn = paint(grey(), [Mark((5, 5, 50, 35), "", (255, 0, 0), keypoints=ends, skeleton=(ends,))], 4.0)
    assert drawn.getpixel((80, 60)) == (255, 0, 0), "half way between the two"
    alone = paint(grey(), [Mark((5, 5, 50, 35), "", (255, 0, 0), keypoints=ends)], 4.0)
    assert alone.getpixel((80, 60)) == (128, 128, 128)
    assert alone.getpixel((40, 40)) == drawn.getpixel((40, 40)) == (255, 0, 0), "a joint"


def test_stuff_lies_where_no_object_is() -> None:
    left, middle = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    left[:, :30] = True
    middle[10:30, 20:40] = True
    area, mark = Area(left, "grass", stuff_colour(0)), Mark((20, 10, 40, 30), "", (255, 0, 0), middle)
    both = paint(grey(), [mark], 4.0, [area])
    assert both.getpixel((16, 16)) == paint(grey(), [], 4.0, [area]).getpixel((16, 16)) != (128, 128, 128)
    assert both.getpixel((100, 88)) == paint(grey(), [mark], 4.0).getpixel((100, 88)), "the object is not mixed with it"
    assert both.getpixel((200, 150)) == (128, 128, 128)
    hidden = Area(middle, "water", stuff_colour(1))
    assert paint(grey(), [mark], 4.0, [hidden]).tobytes() == paint(grey(), [mark], 4.0).tobytes()


@pytest.mark.parametrize("label", range(12))
def test_areas_say_what_they_are_in_letters_that_can_be_read(label: int) -> None:
    drawn = paint(grey(), [], 8.0, [Area(np.ones((40, 60), bool), "gravel", stuff_colour(label))])
    tag = np.array(drawn.crop((200, 140, 280, 180))).astype(int)
    assert np.ptp(tag.sum(-1)) > 3 * 90


@pytest.mark.parametrize("corner", [(0, 0), (55, 0), (0, 36), (55, 36)])
def test_labels_stay_on_the_image(corner: tuple[int, int]) -> None:
    x, y = corner
    drawn = paint(grey(), [Mark((x, y, x + 5, y + 4), "disc 0.99", object_colour(0))], 4.0)
    assert INK in {colour for _, colour in drawn.getcolors(10000)}, "letters are drawn"


def test_labels_avoid_each_other() -> None:
    """Four objects in one place: four tags at four corners, where one on top of another would cover it."""

    def letters(count: int) -> int:
        marks = [Mark((20, 15, 40, 25), "figure", object_colour(place)) for place in range(count)]
        return sum(number for number, colour in paint(grey(), marks, 8.0).getcolors(100000) if colour == INK)

    assert letters(4) > 3.5 * letters(1)


def test_degenerate_boxes_and_single_pixels() -> None:
    paint(grey(1, 1), [Mark((0, 0, 0, 0), "dot", object_colour(3), np.ones((1, 1), bool), ((0.5, 0.5),))], 300.0)
