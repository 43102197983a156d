"""Samples in rows of three, with boxes, masks, skeletons, stuff and ignored regions: the contents of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from lineage.data.samples.sample import Sample
from lineage.report.draw import paint
from lineage.report.pictures import BACKGROUND, GAP, MARGIN, PANEL, mark_truth, truth_areas
from lineage.results.atomic import atomic_write

if TYPE_CHECKING:
    from lineage.data.samples.metadata import DatasetMeta

ACROSS = 3


def save_grid(samples: Sequence[Sample], meta: DatasetMeta, path: Path) -> Path:
    """Write one PNG with a panel per sample."""
    panels = [_paint_sample(sample, meta) for sample in samples]
    rows = -(-len(panels) // ACROSS)
    across = min(ACROSS, len(panels))
    size = (across * (PANEL[0] + GAP) - GAP + 2 * MARGIN, rows * (PANEL[1] + GAP) - GAP + 2 * MARGIN)
    canvas = Image.new("RGB", size, BACKGROUND)
    for index, panel in enumerate(panels):
        left = MARGIN + index % ACROSS * (PANEL[0] + GAP) + (PANEL[0] - panel.width) // 2
        top = MARGIN + index // ACROSS * (PANEL[1] + GAP) + (PANEL[1] - panel.height) // 2
        canvas.paste(panel, (left, top))
    atomic_write(path, canvas.save)
    return path


def _paint_sample(sample: Sample, meta: DatasetMeta) -> Image.Image:
    image = Image.fromarray(sample.image.permute(1, 2, 0).contiguous().numpy())
    scale = min(PANEL[0] / image.width, PANEL[1] / image.height)
    return paint(image, mark_truth(sample, meta), scale, truth_areas(sample, meta))
