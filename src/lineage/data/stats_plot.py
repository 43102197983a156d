"""A picture of a dataset's statistics: its classes, the sizes of objects and images, the objects of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lineage.data.samples.lettering import Font, choose_letters
from lineage.data.stats import MEDIUM, SMALL, Stats

SIZE = (1180, 760)
PAPER, INK, GREY, PALE, BAR = (250, 250, 248), (40, 42, 48), (120, 124, 132), (226, 228, 231), (66, 123, 196)
TOP_CLASSES = 18  # with a bar of their own; the curve below has all
MAX_SIDES = 12  # bars of the shorter sides of images
MAX_OBJECTS = 30  # images with this many objects or more share a bar


class Panel(NamedTuple):
    """A rectangle of the sheet, in pixels."""

    left: int
    top: int
    width: int
    height: int


def plot(stats: Stats, path: Path, title: str) -> Path:
    """Write the picture and return its path."""
    sheet = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(sheet)
    text, font = choose_letters(title, 20)
    draw.text((24, 16), text, fill=INK, font=font)
    counts = sorted((row.objects for row in stats.classes), reverse=True)
    has_tail = len(counts) > TOP_CLASSES
    draw_classes(draw, Panel(24, 64, 520, 460 if has_tail else 660), stats)
    if has_tail:
        draw_curve(draw, Panel(24, 560, 520, 170), f"all {len(counts)} classes by frequency, logarithmic", counts)
    right = [Panel(600, 64 + 228 * number, 556, 204) for number in range(3)]
    draw_sides(draw, right[0], stats)
    per_image = np.bincount(np.minimum(stats.per_image, MAX_OBJECTS))
    labels = [str(count) if count < MAX_OBJECTS else f"{MAX_OBJECTS}+" for count in range(len(per_image))]
    draw_bars(draw, right[1], "objects of an image", per_image.tolist(), labels)
    starts, values = count_shorter_sides(stats)
    draw_bars(draw, right[2], "shorter side of an image, pixels", values, [str(start) for start in starts])
    sheet.save(path)
    return path


def count_shorter_sides(stats: Stats) -> tuple[list[int], list[int]]:
    """Return at most 12 bars of equal whole widths: the side at which each starts, and its images. One size is one."""
    shorter = stats.sizes.min(1)
    low, span = int(shorter.min()), int(shorter.max() - shorter.min()) + 1
    width = -(-span // MAX_SIDES)
    values = np.bincount((shorter - low) // width)
    return [low + number * width for number in range(len(values))], values.tolist()


def draw_sides(draw: ImageDraw.ImageDraw, panel: Panel, stats: Stats) -> None:
    """Draw the sizes of objects, six bars to an octave; each power of two begins a bar."""
    octaves = np.log2(stats.sides.clip(1)) if len(stats.sides) else np.zeros(1)
    low, high = (int(np.floor(6 * bound)) for bound in (octaves.min(), octaves.max()))
    values = np.bincount((6 * octaves).astype(int) - low, minlength=high - low + 1)
    edges = [2 ** (step / 6) for step in range(low, high + 1)]
    is_short = len(edges) < 7  # less than an octave may have no power of two
    labels = [f"{edge:.0f}" if step % 6 == 0 or is_short else "" for step, edge in enumerate(edges, low)]
    borders = f"COCO: small below {SMALL**0.5:.0f}, large from {MEDIUM**0.5:.0f}"
    counts = values.tolist() if len(stats.sides) else [0] * len(edges)
    draw_bars(draw, panel, f"square root of an object's area, pixels ({borders})", counts, labels)


def draw_classes(draw: ImageDraw.ImageDraw, panel: Panel, stats: Stats) -> None:
    """Draw a bar for each class, the most frequent first."""
    rows = sorted(stats.classes, key=lambda row: -row.objects)[:TOP_CLASSES]
    count = len(stats.classes)
    selection = f", the {TOP_CLASSES} most frequent of {count}" if count > TOP_CLASSES else ""
    draw_heading(draw, panel, f"objects of each class{selection}")
    step = min(36.0, (panel.height - 24) / max(len(rows), 1))
    most = max(1, *(row.objects for row in rows))
    font = ImageFont.load_default(12)
    for number, row in enumerate(rows):
        middle, start = panel.top + 24 + (number + 0.5) * step, panel.left + 130
        width = (panel.width - 200) * row.objects / most
        name, letters = choose_letters(row.name, 12)
        draw.text((start - 8, middle), shorten(name, 118, letters), fill=INK, font=letters, anchor="rm")
        draw.rectangle((start, middle - 0.36 * step, start + width, middle + 0.36 * step), fill=BAR)
        draw.text((start + 6 + width, middle), f"{row.objects:,}", fill=GREY, font=font, anchor="lm")


def shorten(text: str, width: int, font: Font) -> str:
    """Cut the text with an ellipsis so that it fits `width` pixels."""
    while len(text) > 1 and font.getbbox(text)[2] > width:
        text = text.removesuffix("\u2026")[:-1] + "\u2026"
    return text


def draw_curve(draw: ImageDraw.ImageDraw, panel: Panel, title: str, counts: Sequence[int]) -> None:
    """Draw a column for each class, as high as the logarithm of its count, and a line for each power of ten."""
    draw_heading(draw, panel, title)
    font, floor = ImageFont.load_default(11), panel.top + panel.height
    unit = (panel.height - 26) / np.log10(max(counts[0], 10) * 1.2)
    for power in range(int(np.log10(max(counts[0], 1))) + 1):
        y = floor - power * unit
        draw.line((panel.left + 46, y, panel.left + panel.width, y), fill=PALE)
        draw.text((panel.left + 40, y), f"{10**power:,}", fill=GREY, font=font, anchor="rm")
    step = (panel.width - 46) / len(counts)
    for number, count in enumerate(counts):
        if count:
            left = panel.left + 46 + number * step
            top = floor - max(np.log10(count) * unit, 1.5)
            draw.rectangle((left, top, left + max(step - 1, 0.5), floor), fill=BAR)


def draw_bars(
    draw: ImageDraw.ImageDraw, panel: Panel, title: str, values: Sequence[int], labels: Sequence[str]
) -> None:
    """Draw a column for each value, its count above it if there is room, and every few labels below."""
    draw_heading(draw, panel, title)
    font = ImageFont.load_default(11)
    floor = panel.top + panel.height - 18
    step = panel.width / max(len(values), 1)
    draw.line((panel.left, floor, panel.left + panel.width, floor), fill=PALE)
    every = 1 if "" in labels else max(1, round(26 / step))
    for number, (value, label) in enumerate(zip(values, labels, strict=True)):
        left = panel.left + number * step
        height = (panel.height - 62) * value / max(*values, 1)
        if value:
            draw.rectangle((left, floor - max(height, 1), left + max(step - 1.5, 0.5), floor), fill=BAR)
        if value and (step > 7 * len(f"{value:,}") or value == max(values)):
            draw.text((left + step / 2, floor - height - 2), f"{value:,}", fill=GREY, font=font, anchor="mb")
        if number % every == 0:
            draw.text((left + step / 2, floor + 4), label, fill=INK, font=font, anchor="mt")


def draw_heading(draw: ImageDraw.ImageDraw, panel: Panel, text: str) -> None:
    draw.text((panel.left, panel.top), text, fill=INK, font=ImageFont.load_default(14))
