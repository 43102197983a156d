"""The picture of a run with a mask drawn over it, for tests of trackers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lineage.report.draw import Mark, object_colour, paint

SIZE = (48, 40)  # width, height
BOX = (8, 6, 32, 30)  # xyxy


def save_masked_picture(path: Path) -> None:
    """Draw the left half of a box as a mask over a grey image."""
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[6:30, 8:20] = True
    path.parent.mkdir(exist_ok=True)
    paint(Image.new("RGB", SIZE, (90, 90, 90)), [Mark(BOX, "", object_colour(1), mask)], 1.0).save(path)


def assert_mask_is_there(picture: Image.Image) -> None:
    """Check that pixels within the mask have a colour, and those beside it in the box are grey."""
    assert picture.size == SIZE
    inside, beside = picture.convert("RGB").getpixel((13, 18)), picture.convert("RGB").getpixel((27, 18))
    assert beside == (90, 90, 90)
    assert isinstance(inside, tuple)
    assert max(inside) - min(inside) > 30
