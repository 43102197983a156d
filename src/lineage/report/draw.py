"""Objects drawn over an image: translucent masks with a contour, boxes, skeletons, and labels that stay readable.

Areas of stuff lie beneath them, where no object is.

The image is enlarged first and drawn on afterwards, so lines and letters are sharp however small the image is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
Point = tuple[float, float]
Spots = Callable[[float, float], list[Point]]  # width and height of a tag -> where its top left may be

# Twelve hues far apart, light enough for dark letters on them; classes take them in turn.
COLOURS: tuple[Colour, ...] = (
    (255, 99, 99), (74, 195, 255), (132, 224, 92), (255, 189, 66), (203, 140, 255), (64, 224, 190),
    (255, 138, 209), (232, 229, 88), (126, 160, 255), (255, 150, 92), (166, 214, 168), (214, 178, 148),
)  # fmt: skip
INK: Colour = (16, 18, 24)
PAPER: Colour = (240, 242, 246)
OPACITY = 0.42
GROUND = 0.5  # how much darker areas of stuff are than objects
FONT = ImageFont.load_default(14)


class Mark(NamedTuple):
    """One object to draw, in the pixels of its image."""

    box: Rectangle  # xyxy
    text: str
    colour: Colour
    mask: NDArray[np.bool_] | None = None  # [h, w]
    points: tuple[Point, ...] = ()
    bones: tuple[tuple[Point, Point], ...] = ()


class Area(NamedTuple):
    """All that an image shows of one class of stuff."""

    mask: NDArray[np.bool_]  # [h, w]
    text: str
    colour: Colour


def paint(image: Image.Image, marks: Sequence[Mark], scale: float, areas: Sequence[Area] = ()) -> Image.Image:
    """The image at `scale` with every mark on it; small objects are drawn last, so that none is hidden."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    marks = sorted(marks, key=lambda mark: -_area(mark.box))
    areas = _beside(areas, [mark.mask for mark in marks if mark.mask is not None])
    for area in areas:
        _tint(canvas, area.mask, area.colour)
    for mark in marks:
        if mark.mask is not None:
            _tint(canvas, mark.mask, mark.colour)
    draw = ImageDraw.Draw(canvas)
    boxes = [_scaled(mark.box, scale) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        draw.rectangle(box, outline=mark.colour, width=2)
        _figure(draw, mark, scale)
    taken: list[Rectangle] = []
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        _label(draw, mark, _corners(box), taken, size)
    for area in areas:
        _label(draw, area, _middle(area.mask, scale), taken, size)
    return canvas


def _beside(areas: Sequence[Area], masks: Sequence[NDArray[np.bool_]]) -> list[Area]:
    """What objects leave of the areas."""
    free = ~np.any(masks, axis=0) if masks else np.True_
    return [left for area in areas if (left := area._replace(mask=area.mask & free)).mask.any()]


def _figure(draw: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    """Bones with a dark rim, so that they are seen on a mask of their own colour, and joints upon them."""
    lines = [[(x * scale, y * scale) for x, y in bone] for bone in mark.bones]
    for colour, width in ((INK, 4), (mark.colour, 2)):
        for line in lines:
            draw.line(line, fill=colour, width=width)
    for x, y in mark.points:
        draw.circle((x * scale, y * scale), 3, fill=mark.colour, outline=INK)


def colour_of(label: int) -> Colour:
    return COLOURS[label % len(COLOURS)]


def ground_of(label: int) -> Colour:
    """Of a class of stuff: a darker one, from the other end."""
    red, green, blue = COLOURS[-1 - label % len(COLOURS)]
    return (round(red * GROUND), round(green * GROUND), round(blue * GROUND))


def _tint(canvas: Image.Image, mask: NDArray[np.bool_], colour: Colour) -> None:
    """Colour the inside, and draw the contour where a mask shrunk by two pixels differs from it."""
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(canvas.size, Image.Resampling.BILINEAR)
    shape = soft.point(lambda value: 255 if value >= 128 else 0)
    canvas.paste(colour, mask=shape.point(lambda value: round(value * OPACITY)))
    canvas.paste(colour, mask=ImageChops.subtract(shape, shape.filter(ImageFilter.MinFilter(5))))


def _label(
    draw: ImageDraw.ImageDraw, mark: Mark | Area, spots: Spots, taken: list[Rectangle], size: tuple[int, int]
) -> None:
    """A filled tag at the first of the spots where it covers no other tag."""
    left, top, right, bottom = FONT.getbbox(mark.text)
    width, height = right - left + 8, bottom - top + 7
    places = [_inside(x, y, width, height, size) for x, y in spots(width, height)]
    place = next((place for place in places if not any(_overlap(place, other) for other in taken)), None)
    if place is None:
        return  # a crowd of objects: a box without a name reads better than names on top of each other
    taken.append(place)
    draw.rectangle(place, fill=mark.colour)
    letters = INK if sum(mark.colour) > 3 * 110 else PAPER
    draw.text((place[0] + 4 - left, place[1] + 3 - top), mark.text, fill=letters, font=FONT)


def _corners(box: Rectangle) -> Spots:
    """Above the box, inside its top, below it, inside its bottom; flush left, then flush right."""
    x1, y1, x2, y2 = box
    return lambda width, height: [(x, y) for x in (x1, x2 - width) for y in (y1 - height, y1, y2, y2 - height)]


def _middle(mask: NDArray[np.bool_], scale: float) -> Spots:
    """Around the pixel of an area that is nearest to its middle, then around others of it."""
    y, x = np.nonzero(mask)
    order = np.argsort((y - y.mean()) ** 2 + (x - x.mean()) ** 2)[:: max(1, len(y) // 8)]
    pixels = [((x[i] + 0.5) * scale, (y[i] + 0.5) * scale) for i in order]
    return lambda width, height: [(across - width / 2, down - height / 2) for across, down in pixels]


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
