"""Objects drawn over an image: translucent masks with a contour, boxes, skeletons, and labels that stay readable.

Areas of stuff lie beneath them, where no object is.

The image is enlarged first and drawn on afterwards, so lines and letters are sharp however small the image is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from lineage.data.samples.lettering import choose_letters

Colour = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]
Point = tuple[float, float]
Spots = Callable[[float, float], list[Point]]  # width and height of a tag -> candidates for its top left

# Twelve hues far apart, light enough for dark letters on them; classes take them in turn.
COLOURS: tuple[Colour, ...] = (
    (255, 99, 99), (74, 195, 255), (132, 224, 92), (255, 189, 66), (203, 140, 255), (64, 224, 190),
    (255, 138, 209), (232, 229, 88), (126, 160, 255), (255, 150, 92), (166, 214, 168), (214, 178, 148),
)  # fmt: skip
INK: Colour = (16, 18, 24)
PAPER: Colour = (240, 242, 246)
OPACITY = 0.42
GROUND = 0.5  # how much darker areas of stuff are than objects
LETTER_SIZE = 14


class Mark(NamedTuple):
    """One object to draw, in the pixels of its image."""

    box: Rectangle  # xyxy
    text: str
    colour: Colour
    mask: NDArray[np.bool_] | None = None  # [h, w]
    keypoints: tuple[Point, ...] = ()
    skeleton: tuple[tuple[Point, Point], ...] = ()  # pairs of keypoints that a line connects


class Area(NamedTuple):
    """The pixels of one class of stuff in an image."""

    mask: NDArray[np.bool_]  # [h, w]
    text: str
    colour: Colour


def paint(image: Image.Image, marks: Sequence[Mark], scale: float, areas: Sequence[Area] = ()) -> Image.Image:
    """Return the image at `scale` with all marks and areas; small objects are drawn last, so that none is hidden."""
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    # 1. Masks, of stuff below those of objects.
    marks = sorted(marks, key=lambda mark: -_box_area(mark.box))
    areas = _subtract(areas, [mark.mask for mark in marks if mark.mask is not None])
    for area in areas:
        _tint(canvas, area.mask, area.colour)
    for mark in marks:
        if mark.mask is not None:
            _tint(canvas, mark.mask, mark.colour)
    # 2. Boxes and skeletons.
    draw = ImageDraw.Draw(canvas)
    boxes = [_scale_box(mark.box, scale) for mark in marks]
    for mark, box in zip(marks, boxes, strict=True):
        draw.rectangle(box, outline=mark.colour, width=2)
        _draw_skeleton(draw, mark, scale)
    # 3. Tags, those of small objects first.
    taken: list[Rectangle] = []
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        _draw_tag(draw, mark, _spots_at_box(box), taken, size)
    for area in areas:
        _draw_tag(draw, area, _spots_in_area(area.mask, scale), taken, size)
    return canvas


def _subtract(areas: Sequence[Area], masks: Sequence[NDArray[np.bool_]]) -> list[Area]:
    """Remove the objects from the areas, and areas that become empty."""
    free = ~np.any(masks, axis=0) if masks else np.True_
    remaining = [area._replace(mask=area.mask & free) for area in areas]
    return [area for area in remaining if area.mask.any()]


def _draw_skeleton(draw: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    """Draw lines with a dark rim, visible on a mask of their own colour, and the keypoints on top."""
    lines = [[(x * scale, y * scale) for x, y in pair] for pair in mark.skeleton]
    for colour, width in ((INK, 4), (mark.colour, 2)):
        for line in lines:
            draw.line(line, fill=colour, width=width)
    for x, y in mark.keypoints:
        draw.circle((x * scale, y * scale), 3, fill=mark.colour, outline=INK)


def object_colour(label: int) -> Colour:
    """Return the colour of a class of objects."""
    return COLOURS[label % len(COLOURS)]


def stuff_colour(label: int) -> Colour:
    """Return the colour of a class of stuff: darker than objects, taken from the end of COLOURS."""
    red, green, blue = COLOURS[-1 - label % len(COLOURS)]
    return (round(red * GROUND), round(green * GROUND), round(blue * GROUND))


def _tint(canvas: Image.Image, mask: NDArray[np.bool_], colour: Colour) -> None:
    """Colour the inside of a mask and its contour, which is what a mask shrunk by two pixels lacks."""
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(canvas.size, Image.Resampling.BILINEAR)
    shape = soft.point(lambda value: 255 if value >= 128 else 0)
    canvas.paste(colour, mask=shape.point(lambda value: round(value * OPACITY)))
    canvas.paste(colour, mask=ImageChops.subtract(shape, shape.filter(ImageFilter.MinFilter(5))))


def _draw_tag(
    draw: ImageDraw.ImageDraw, mark: Mark | Area, spots: Spots, taken: list[Rectangle], size: tuple[int, int]
) -> None:
    """Draw a filled tag at the first of the spots where it covers no other tag; if all are taken, draw none."""
    text, font = choose_letters(mark.text, LETTER_SIZE)
    left, top, right, bottom = font.getbbox(text)
    width, height = right - left + 8, bottom - top + 7
    rectangles = [_move_inside(x, y, width, height, size) for x, y in spots(width, height)]
    tag = next((rectangle for rectangle in rectangles if not any(_overlap(rectangle, other) for other in taken)), None)
    if tag is None:
        return  # a crowd of objects: a box without a name reads better than names on top of each other
    taken.append(tag)
    draw.rectangle(tag, fill=mark.colour)
    letters = INK if sum(mark.colour) > 3 * 110 else PAPER
    draw.text((tag[0] + 4 - left, tag[1] + 3 - top), text, fill=letters, font=font)


def _spots_at_box(box: Rectangle) -> Spots:
    """Return spots above the box, inside its top, below it, inside its bottom; flush left, then flush right."""
    x1, y1, x2, y2 = box
    return lambda width, height: [(x, y) for x in (x1, x2 - width) for y in (y1 - height, y1, y2, y2 - height)]


def _spots_in_area(mask: NDArray[np.bool_], scale: float) -> Spots:
    """Return spots around the pixel of an area that is nearest to its middle, then around others of it."""
    y, x = np.nonzero(mask)
    order = np.argsort((y - y.mean()) ** 2 + (x - x.mean()) ** 2)[:: max(1, len(y) // 8)]
    pixels = [((x[i] + 0.5) * scale, (y[i] + 0.5) * scale) for i in order]
    return lambda width, height: [(across - width / 2, down - height / 2) for across, down in pixels]


def _move_inside(x: float, y: float, width: float, height: float, size: tuple[int, int]) -> Rectangle:
    x = min(max(x, 0), max(size[0] - width - 1, 0))
    y = min(max(y, 0), max(size[1] - height - 1, 0))
    return (x, y, x + width, y + height)


def _overlap(a: Rectangle, b: Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _scale_box(box: Rectangle, scale: float) -> Rectangle:
    x1, y1, x2, y2 = (value * scale for value in box)
    return (x1, y1, max(x2, x1), max(y2, y1))


def _box_area(box: Rectangle) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
