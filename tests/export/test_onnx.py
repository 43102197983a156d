"""Operators that are translated to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lineage.models.detectors.image_pyramid import resize
from lineage.models.export.onnx import open_session, run_session, write_onnx
from lineage.models.roi_heads.pooler import RoIPool
from lineage.structures import Images


def test_roi_pooling_in_onnx(tmp_path: Path) -> None:
    """Alone: behind a network, a difference in the last digit moves a rounded border."""
    feature = torch.rand(2, 3, 16, 20)
    rois = torch.tensor([[0, 1, 2, 9, 12], [1, 0, 0, 19, 15], [1, 4.4, 3.6, 5.1, 4.2], [0, 7.5, 2.5, 7.5, 8.5]])
    program = torch.export.export(RoIPool(6).eval(), ([feature], rois))
    write_onnx(program, tmp_path / "pool.onnx", ("feature", "rois"), ("pooled",))
    session = open_session(tmp_path / "pool.onnx")
    (pooled,) = run_session(session, {"feature": feature.numpy(), "rois": rois.numpy()})
    np.testing.assert_allclose(pooled, RoIPool(6)([feature], rois).numpy(), atol=1e-6)


class Smaller(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        sizes = torch.tensor([[128.0, 96.0]])
        return resize(Images(pixels, sizes, torch.zeros(1, dtype=torch.int64)), 0.4).pixels


def test_an_image_is_resized_alike(tmp_path: Path) -> None:
    """ONNX Runtime's own antialiased Resize differs by up to 74 of 255 here."""
    pixels = torch.randint(0, 256, (1, 3, 128, 96), dtype=torch.uint8)
    write_onnx(torch.export.export(Smaller(), (pixels,)), tmp_path / "smaller.onnx", ("pixels",), ("smaller",))
    (smaller,) = run_session(open_session(tmp_path / "smaller.onnx"), {"pixels": pixels.numpy()})
    np.testing.assert_allclose(smaller, Smaller()(pixels).numpy(), atol=1e-3)
