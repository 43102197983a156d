"""Samples in rows of three, with boxes, masks, skeletons, stuff and ignored regions: what a batch really holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lineage.data.samples.sample import Sample
from lineage.report.draw import paint
from lineage.report.pictures import BACKGROUND, GAP, MARGIN, PANEL, truth_areas, truth_marks

if TYPE_CHECKING:
    from lineage.data.samples.metadata import DatasetMeta

ACROSS = 3


def grid(samples: Sequence[Sample], meta: DatasetMeta, path: Path) -> Path:
    panels = [panel(sample, meta) for sample in samples]
    rows = -(-len(panels) // ACROSS)
    across = min(ACROSS, len(panels))
    size = (across * (PANEL[0] + GAP) - GAP + 2 * MARGIN, rows * (PANEL[1] + GAP) - GAP + 2 * MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    for place, one in enumerate(panels):
        left = MARGIN + place % ACROSS * (PANEL[0] + GAP) + (PANEL[0] - one.width) // 2
        top = MARGIN + place // ACROSS * (PANEL[1] + GAP) + (PANEL[1] - one.height) // 2
        canvas.paste(one, (left, top))
    canvas.save(path)
    return path


def panel(sample: Sample, meta: DatasetMeta) -> Image.Image:
    image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
    scale = min(PANEL[0] / image.width, PANEL[1] / image.height)
    return paint(image, truth_marks(sample, meta), scale, truth_areas(sample, meta))
