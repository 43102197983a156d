"""Objects drawn over an image: translucent masks with a contour, boxes, keypoints, and labels that stay readable.

The image is enlarged first and drawn on afterwards, so lines and letters are sharp however small the image is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]

# Twelve hues far apart, light enough for dark letters on them; classes take them in turn.
COLOURS: tuple[Colour, ...] = (
    (255, 99, 99), (74, 195, 255), (132, 224, 92), (255, 189, 66), (203, 140, 255), (64, 224, 190),
    (255, 138, 209), (232, 229, 88), (126, 160, 255), (255, 150, 92), (166, 214, 168), (214, 178, 148),
)  # fmt: skip
INK: Colour = (16, 18, 24)
OPACITY = 0.42
FONT = ImageFont.load_default(14)


class Mark(NamedTuple):
    """One object to draw, in the pixels of its image."""

    box: Rectangle  # xyxy
    text: str
    colour: Colour
    mask: NDArray[np.bool_] | None = None  # [h, w]
    points: tuple[tuple[float, float], ...] = ()


def paint(image: Image.Image, marks: Sequence[Mark], scale: float) -> Image.Image:
    """The image at `scale` with every mark on it; small objects are drawn last, so that none is hidden."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    marks = sorted(marks, key=lambda mark: -_area(mark.box))
    for mark in marks:
        if mark.mask is not None:
            _tint(canvas, mark.mask, mark.colour)
    draw = ImageDraw.Draw(canvas)
    boxes = [_scaled(mark.box, scale) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        draw.rectangle(box, outline=mark.colour, width=2)
        for x, y in mark.points:
            draw.circle((x * scale, y * scale), 3, fill=mark.colour, outline=INK)
    taken: list[Rectangle] = []
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        _label(draw, mark, box, taken, size)
    return canvas


def colour_of(label: int) -> Colour:
    return COLOURS[label % len(COLOURS)]


def _tint(canvas: Image.Image, mask: NDArray[np.bool_], colour: Colour) -> None:
    """Colour the inside, and draw the contour where a mask shrunk by two pixels differs from it."""
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(canvas.size, Image.Resampling.BILINEAR)
    shape = soft.point(lambda value: 255 if value >= 128 else 0)
    canvas.paste(colour, mask=shape.point(lambda value: round(value * OPACITY)))
    canvas.paste(colour, mask=ImageChops.subtract(shape, shape.filter(ImageFilter.MinFilter(5))))


def _label(
    draw: ImageDraw.ImageDraw, mark: Mark, box: Rectangle, taken: list[Rectangle], size: tuple[int, int]
) -> None:
    """A filled tag at the first corner of the box where it covers no other tag."""
    left, top, right, bottom = FONT.getbbox(mark.text)
    width, height = right - left + 8, bottom - top + 7
    places = [_inside(x, y, width, height, size) for x, y in _corners(box, width, height)]
    place = next((place for place in places if not any(_overlap(place, other) for other in taken)), None)
    if place is None:
        return  # a crowd of objects: a box without a name reads better than names on top of each other
    taken.append(place)
    draw.rectangle(place, fill=mark.colour)
    draw.text((place[0] + 4 - left, place[1] + 3 - top), mark.text, fill=INK, font=FONT)


def _corners(box: Rectangle, width: float, height: float) -> list[tuple[float, float]]:
    """Above the box, inside its top, below it, inside its bottom; flush left, then flush right."""
    x1, y1, x2, y2 = box
    rows = (y1 - height, y1, y2, y2 - height)
    return [(x, y) for x in (x1, x2 - width) for y in rows]


def _inside(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> Rectangle:
    x = min(max(x, 0), max(size[0] - width - 1, 0))
    y = min(max(y, 0), max(size[1] - height - 1, 0))
    return (x, y, x + width, y + height)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _scaled(box: Rectangle, scale: float) -> Rectangle:
    x1, y1, x2, y2 = (value * scale for value in box)
    return (x1, y1, max(x2, x1), max(y2, y1))


def _area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
