"""Maps as pictures: colours of heat over a grey image, and a sheet of detections x methods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lineage.explain.explained_image import ExplainedDetection, ExplainedImage, Map
from lineage.report.draw import Mark, paint

PANEL = 220  # pixels of the longer side of an image of the sheet
GAP, MARGIN, HEAD, FOOT = 10, 18, 22, 14
BACKGROUND, LETTERS = (22, 24, 29), (200, 204, 212)
# dark to light: violet, magenta, orange, yellow; hues of matplotlib's inferno, readable in grey too
HEAT = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64)
QUANTILE = 0.998  # of a map that gets the lightest colour: single pixels of gradients would leave all others dark


def scale_to_unit(values: Map) -> Map:
    """Return the positive part of a map divided by its quantile QUANTILE, cut at 1; zeros of a map without any."""
    positive = np.clip(values, 0, None)
    limit = float(np.quantile(positive, QUANTILE)) or float(positive.max())
    return np.clip(positive / limit, 0, 1) if limit > 0 else positive


def colour_heat(unit: Map) -> NDArray[np.uint8]:
    """Return the colours [h, w, 3] of values 0 to 1."""
    position = unit.astype(np.float64) * (len(HEAT) - 1)
    return np.stack([np.interp(position, range(len(HEAT)), HEAT[:, i]) for i in range(3)], -1).round().astype(np.uint8)


def make_overlay(values: Map) -> Image.Image:
    """Return a map as an RGBA picture, the more opaque the larger the value."""
    unit = scale_to_unit(values)
    alpha = (np.sqrt(unit) * 235).round().astype(np.uint8)
    return Image.fromarray(np.dstack([colour_heat(0.25 + 0.75 * unit), alpha]), "RGBA")


def blend(pixels: NDArray[np.uint8], values: Map, size: tuple[int, int]) -> Image.Image:
    """Return a map over the grey image at `size` (width, height)."""
    grey = Image.fromarray(pixels).convert("L").point(lambda value: round(value * 0.55)).convert("RGBA")
    heat = make_overlay(values).resize(size, Image.Resampling.BILINEAR)
    return Image.alpha_composite(grey.resize(size, Image.Resampling.BICUBIC), heat).convert("RGB")


def paint_detections(image: ExplainedImage, detections: Sequence[ExplainedDetection], scale: float) -> Image.Image:
    """Return the image at `scale` with boxes, masks and numbers of detections."""
    marks = [Mark(item.box, item.text, item.colour, item.mask) for item in detections]
    return paint(Image.fromarray(image.pixels), marks, scale)


def save_sheet(image: ExplainedImage, path: Path) -> Path:
    """Write the sheet of an image as PNG."""
    draw_sheet(image).save(path)
    return path


def save_sheets(images: Sequence[ExplainedImage], path: Path) -> Path:
    """Write the sheets of several images below each other as one PNG, each with the name of its image."""
    sheets = [draw_sheet(image, title=image.name) for image in images]
    canvas = Image.new("RGB", (max(sheet.width for sheet in sheets), sum(sheet.height for sheet in sheets)), BACKGROUND)
    top = 0
    for sheet in sheets:
        canvas.paste(sheet, (0, top))
        top += sheet.height
    canvas.save(path, "PNG")
    return path


def draw_sheet(image: ExplainedImage, title: str = "") -> Image.Image:
    """Return a picture with a row per detection: the detection itself, then each method's map above its layer."""
    height, width = image.pixels.shape[:2]
    scale = PANEL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    methods = list(image.detections[0].maps) if image.detections else []
    # 1. Measure the words: narrow images would let those of two columns overlap.
    font, small = ImageFont.load_default(13), ImageFont.load_default(10)
    words = [title, f"target: {image.target}", image.proposal_policy, image.d_rise]
    caption = " · ".join(word for word in words if word)
    layers = [heatmap.layer for detection in image.detections for heatmap in detection.maps.values()]
    widths = [font.getlength(name) for name in methods] + [small.getlength(layer) for layer in layers]
    step_x, step_y = math.ceil(max(size[0], *widths, 110)) + GAP, size[1] + FOOT + GAP
    columns, rows = step_x * (1 + len(methods)) - GAP, step_y * max(1, len(image.detections)) - GAP
    columns = max(columns, math.ceil(font.getlength(caption)))
    canvas = Image.new("RGB", (2 * MARGIN + columns, 2 * MARGIN + 2 * HEAD + rows), BACKGROUND)
    # 2. Write the heads of the columns.
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN - 6), caption, fill=LETTERS, font=font)
    for column, name in enumerate(["detection", *methods]):
        draw.text((MARGIN + column * step_x, MARGIN + HEAD - 4), name, fill=LETTERS, font=font)
    # 3. Paste the panels.
    top = MARGIN + 2 * HEAD
    if not image.detections:
        canvas.paste(paint_detections(image, [], scale), (MARGIN, top))
    for row, detection in enumerate(image.detections):
        y = top + row * step_y
        canvas.paste(paint_detections(image, [detection], scale), (MARGIN, y))
        for column, name in enumerate(methods, 1):
            panel = blend(image.pixels, detection.maps[name].values, size)
            outline = [value * scale for value in detection.box]
            ImageDraw.Draw(panel).rectangle(outline, outline=detection.colour, width=1)
            corner = (MARGIN + column * step_x, y)
            canvas.paste(panel, corner)
            below = (corner[0], y + size[1] + 2)
            draw.text(below, detection.maps[name].layer, fill=LETTERS, font=small)
    return canvas
