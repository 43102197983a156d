"""The distributions of a dataset as one picture: its classes, the sizes of objects and images, objects in an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lineage.data.stats import MEDIUM, SMALL, Stats

SIZE = (1180, 760)
PAPER, INK, GREY, PALE, BAR = (250, 250, 248), (40, 42, 48), (120, 124, 132), (226, 228, 231), (66, 123, 196)
NAMED = 18  # classes with a bar of their own; the curve below has all
MANY = 30  # objects of an image that are counted together


class Place(NamedTuple):
    """Where a panel is on the sheet."""

    left: int
    top: int
    width: int
    height: int


def plot(found: Stats, path: Path, title: str) -> Path:
    sheet = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((24, 16), title, fill=INK, font=ImageFont.load_default(20))
    counts = sorted((one.objects for one in found.classes), reverse=True)
    tail = len(counts) > NAMED
    classes(draw, Place(24, 64, 520, 460 if tail else 660), found)
    if tail:
        curve(draw, Place(24, 560, 520, 170), f"all {len(counts)} classes by frequency, logarithmic", counts)
    right = [Place(600, 64 + 228 * number, 556, 204) for number in range(3)]
    sides(draw, right[0], found)
    per_image = np.bincount(np.minimum(found.per_image, MANY))
    labels = [str(number) if number < MANY else f"{MANY}+" for number in range(len(per_image))]
    bars(draw, right[1], "objects of an image", per_image.tolist(), labels)
    shorter = found.sizes.min(1)
    edges = np.linspace(shorter.min(), shorter.max() + 1, 13)
    values = np.histogram(shorter, edges)[0].tolist()
    bars(draw, right[2], "shorter side of an image, pixels", values, [f"{edge:.0f}" for edge in edges[:-1]])
    sheet.save(path)
    return path


def sides(draw: ImageDraw.ImageDraw, place: Place, found: Stats) -> None:
    """Six bars to an octave, each power of two beginning one."""
    octaves = np.log2(found.sides.clip(1)) if len(found.sides) else np.zeros(1)
    low, high = (int(np.floor(6 * bound)) for bound in (octaves.min(), octaves.max()))
    values = np.bincount((6 * octaves).astype(int) - low, minlength=high - low + 1)
    edges = [2 ** (step / 6) for step in range(low, high + 1)]
    named = [f"{edge:.0f}" if step % 6 == 0 else "" for step, edge in enumerate(edges, low)]
    borders = f"COCO: small below {SMALL**0.5:.0f}, large from {MEDIUM**0.5:.0f}"
    held = values.tolist() if len(found.sides) else [0] * len(edges)
    bars(draw, place, f"square root of an object's area, pixels ({borders})", held, named)


def classes(draw: ImageDraw.ImageDraw, place: Place, found: Stats) -> None:
    """A bar for each class, the most frequent first."""
    ordered = sorted(found.classes, key=lambda one: -one.objects)[:NAMED]
    left = f", the {NAMED} most frequent of {len(found.classes)}" if len(found.classes) > NAMED else ""
    heading(draw, place, f"objects of each class{left}")
    step = min(36.0, (place.height - 24) / max(len(ordered), 1))
    most, font = max(1, *(one.objects for one in ordered)), ImageFont.load_default(12)
    for number, one in enumerate(ordered):
        middle, start = place.top + 24 + (number + 0.5) * step, place.left + 130
        wide = (place.width - 200) * one.objects / most
        draw.text((start - 8, middle), shortened(one.name, 118, font), fill=INK, font=font, anchor="rm")
        draw.rectangle((start, middle - 0.36 * step, start + wide, middle + 0.36 * step), fill=BAR)
        draw.text((start + 6 + wide, middle), f"{one.objects:,}", fill=GREY, font=font, anchor="lm")


def shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while len(text) > 1 and font.getbbox(text)[2] > width:
        text = text.removesuffix("\u2026")[:-1] + "\u2026"
    return text


def curve(draw: ImageDraw.ImageDraw, place: Place, title: str, counts: Sequence[int]) -> None:
    """Each class a column, its height the logarithm of its count; a line for each power of ten."""
    heading(draw, place, title)
    font, floor = ImageFont.load_default(11), place.top + place.height
    tall = (place.height - 26) / np.log10(max(counts[0], 10) * 1.2)
    for power in range(int(np.log10(max(counts[0], 1))) + 1):
        y = floor - power * tall
        draw.line((place.left + 46, y, place.left + place.width, y), fill=PALE)
        draw.text((place.left + 40, y), f"{10**power:,}", fill=GREY, font=font, anchor="rm")
    step = (place.width - 46) / len(counts)
    for number, count in enumerate(counts):
        if count:
            left = place.left + 46 + number * step
            top = floor - max(np.log10(count) * tall, 1.5)
            draw.rectangle((left, top, left + max(step - 1, 0.5), floor), fill=BAR)


def bars(draw: ImageDraw.ImageDraw, place: Place, title: str, values: Sequence[int], labels: Sequence[str]) -> None:
    """Columns with their counts above where there is room, and every few labels below."""
    heading(draw, place, title)
    font, floor, step = ImageFont.load_default(11), place.top + place.height - 18, place.width / max(len(values), 1)
    draw.line((place.left, floor, place.left + place.width, floor), fill=PALE)
    every = 1 if "" in labels else max(1, round(26 / step))
    for number, (value, label) in enumerate(zip(values, labels, strict=True)):
        left, tall = place.left + number * step, (place.height - 62) * value / max(*values, 1)
        if value:
            draw.rectangle((left, floor - max(tall, 1), left + max(step - 1.5, 0.5), floor), fill=BAR)
        if value and (step > 7 * len(f"{value:,}") or value == max(values)):
            draw.text((left + step / 2, floor - tall - 2), f"{value:,}", fill=GREY, font=font, anchor="mb")
        if number % every == 0:
            draw.text((left + step / 2, floor + 4), label, fill=INK, font=font, anchor="mt")


def heading(draw: ImageDraw.ImageDraw, place: Place, text: str) -> None:
    draw.text((place.left, place.top), text, fill=INK, font=ImageFont.load_default(14))
