"""How many objects of which class and size a dataset has, read from its columns without opening an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lineage.data.dataset import Dataset

SMALL, MEDIUM = 32**2, 96**2  # COCO's borders of object areas
PANEL = (520, 300)
PAPER, INK, PALE, BAR = (250, 250, 248), (40, 42, 48), (215, 217, 220), (66, 123, 196)


class ClassStats(NamedTuple):
    name: str
    images: int
    objects: int
    crowds: int
    small: int
    medium: int
    large: int
    median: float  # side of a square of the median area, pixels


class Stats(NamedTuple):
    images: int
    empty: int  # images without an object
    classes: tuple[ClassStats, ...]
    per_image: NDArray[np.int64]  # [images] objects
    sides: NDArray[np.float64]  # [objects] square root of the area
    sizes: NDArray[np.int64]  # [images, 2]


def stats(dataset: Dataset) -> Stats:
    """Crowds are counted apart; areas are those of the annotations."""
    truth = dataset.ground_truth()
    place = {one["id"]: i for i, one in enumerate(truth["images"])}
    label = {category: i for i, category in enumerate(dataset.category_ids)}
    rows = [
        (place[one["image_id"]], label[one["category_id"]], one.get("area") or one["bbox"][2] * one["bbox"][3],
         bool(one.get("iscrowd"))) for one in truth["annotations"]
    ]  # fmt: skip
    table = np.array(rows, np.float64).reshape(-1, 4)
    crowd = table[:, 3] > 0
    counted = table[~crowd]
    per_image = np.bincount(counted[:, 0].astype(int), minlength=len(place))
    found = (_of_class(name, table[table[:, 1] == i]) for i, name in enumerate(dataset.classes))
    return Stats(
        len(place), int((per_image == 0).sum()), tuple(found), per_image, np.sqrt(counted[:, 2]), dataset.sizes.numpy()
    )


def _of_class(name: str, rows: NDArray[np.float64]) -> ClassStats:
    crowd = rows[:, 3] > 0
    own = rows[~crowd]
    areas = own[:, 2]
    small, large = int((areas < SMALL).sum()), int((areas >= MEDIUM).sum())
    median = float(np.sqrt(np.median(areas))) if len(own) else 0.0
    images = len(np.unique(own[:, 0]))
    return ClassStats(name, images, len(own), int(crowd.sum()), small, len(own) - small - large, large, median)


def plot(found: Stats, path: Path, title: str) -> Path:
    """Four panels: objects per class, their sides, objects per image, sides of the images."""
    ordered = sorted(found.classes, key=lambda one: -one.objects)
    named = len(ordered) <= 20
    most = int(found.per_image.max(initial=0))
    counts = np.bincount(np.minimum(found.per_image, 30), minlength=min(most, 30) + 1)
    edges = np.geomspace(2, max(float(found.sides.max(initial=4)), 4), 21)
    shorter = found.sizes.min(1)
    spread = np.linspace(shorter.min(), shorter.max() + 1, 13)
    panels = [
        ("objects of each class" + ("" if named else ", most frequent first"),
         [one.objects for one in ordered], [one.name if named else "" for one in ordered]),
        ("side of an object, square root of its area (px)",
         np.histogram(found.sides, edges)[0].tolist(), [f"{edge:.0f}" for edge in edges[:-1]]),
        ("objects of an image", counts.tolist(), [str(i) if i < 30 else "30+" for i in range(len(counts))]),
        ("shorter side of an image (px)",
         np.histogram(shorter, spread)[0].tolist(), [f"{edge:.0f}" for edge in spread[:-1]]),
    ]  # fmt: skip
    width, height = PANEL
    sheet = Image.new("RGB", (2 * width + 60, 2 * height + 90), PAPER)
    ImageDraw.Draw(sheet).text((20, 14), title, fill=INK, font=ImageFont.load_default(18))
    for number, (name, values, labels) in enumerate(panels):
        sheet.paste(bars(name, values, labels), (20 + number % 2 * (width + 20), 50 + number // 2 * (height + 20)))
    sheet.save(path)
    return path


def bars(title: str, values: Sequence[int], labels: Sequence[str]) -> Image.Image:
    """One panel; labels stand upright where they would overlap and every few only where even that is too tight."""
    width, height = PANEL
    canvas = Image.new("RGB", PANEL, PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    draw.text((4, 2), f"{title}    most: {max(values, default=0):,}", fill=INK, font=ImageFont.load_default(13))
    top, floor, step = 28, height - 92, (width - 8) / max(len(values), 1)
    draw.line((4, floor, width - 4, floor), fill=PALE)
    every = max(1, round(14 / step))
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        left = 4 + place * step
        tall = (floor - top) * value / max(*values, 1)
        draw.rectangle((left, floor - tall, left + max(step - 1.5, 0.5), floor), fill=BAR)
        if label and place % every == 0:
            _upright(canvas, label[:14], int(left + step / 2), floor + 4, font)
    return canvas


def _upright(
    canvas: Image.Image, text: str, x: int, y: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    _, _, width, height = font.getbbox(text)
    tag = Image.new("RGB", (int(width) + 2, int(height) + 3), PAPER)
    ImageDraw.Draw(tag).text((1, 0), text, fill=INK, font=font)
    turned = tag.rotate(90, expand=True)
    canvas.paste(turned, (x - turned.width // 2, y))
