"""The picture of a run on videos: what was given, what is true, what was predicted, and where the two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lineage.report.pictures import BACKGROUND, GAP, HEAD, LETTERS, MARGIN
from lineage.results.atomic import atomic_write

PANEL = 300, 240  # pixels: a frame is enlarged or reduced until it just fits
TITLES = ("first frame", "second frame", "true frame between", "predicted", "error x 4")
TRIPLET = ("first frame", "frame between", "second frame")


class PredictedFrame(Protocol):
    """A frame that was predicted, beside what was given and what is true; all [3, h, w] uint8."""

    @property
    def first(self) -> Tensor: ...

    @property
    def second(self) -> Tensor: ...

    @property
    def truth(self) -> Tensor: ...

    @property
    def predicted(self) -> Tensor: ...


def save_frames(examples: Mapping[int, PredictedFrame], path: Path) -> Path | None:
    """Write one PNG with a row per frame; return None if there is none."""
    rows = [_paint_row(examples[number]) for number in sorted(examples)]
    return _save_rows(rows, TITLES, path) if rows else None


def save_triplets(triplets: Sequence[Sequence[Tensor]], path: Path) -> Path:
    """Write one PNG with a row per triplet of frames [3, h, w] uint8: the first, the one between, the second."""
    return _save_rows([[_enlarge(frame) for frame in triplet] for triplet in triplets], TRIPLET, path)


def _save_rows(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str], path: Path) -> Path:
    # 1. The grid: a column for each title.
    widths = [max(row[column].width for row in rows) for column in range(len(titles))]
    heights = [max(panel.height for panel in row) for row in rows]
    size = sum(widths) + GAP * (len(widths) - 1) + 2 * MARGIN, sum(heights) + GAP * (len(rows) - 1) + HEAD + 2 * MARGIN
    canvas = Image.new("RGB", size, BACKGROUND)
    # 2. Titles, then the panels row by row.
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(18)
    lefts = [MARGIN + sum(widths[:column]) + GAP * column for column in range(len(widths))]
    for left, title in zip(lefts, titles, strict=True):
        draw.text((left, MARGIN - 8), title, fill=LETTERS, font=font)
    top = MARGIN + HEAD - GAP
    for row, height in zip(rows, heights, strict=True):
        for left, panel in zip(lefts, row, strict=True):
            canvas.paste(panel, (left, top))
        top += height + GAP
    atomic_write(path, canvas.save)
    return path


def _paint_row(frame: PredictedFrame) -> list[Image.Image]:
    error = (frame.predicted.int() - frame.truth.int()).abs().mul(4).clamp(max=255).to(torch.uint8)
    return [_enlarge(image) for image in (frame.first, frame.second, frame.truth, frame.predicted, error)]


def _enlarge(image: Tensor) -> Image.Image:
    """Return [3, h, w] at the size of a panel; small frames show their pixels."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    scale = min(PANEL[0] / picture.width, PANEL[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
