"""Operators that are translated to ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lineage.models.backbones.deformable_conv import DeformableConv
from lineage.models.detectors.image_pyramid import resize
from lineage.models.export.onnx import open_session, run_session, write_onnx
from lineage.models.export.program import ExportError, capture, vary_size
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


class Cells(torch.nn.Module):
    """Column of a flat index: the number of columns is a size that varies."""

    def forward(self, index: torch.Tensor, heat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return index % heat.shape[1], heat.flatten() % heat.shape[1]


def test_a_remainder_by_a_size_that_varies(tmp_path: Path) -> None:
    index, columns = torch.tensor([-4, 0, 5, 7, 23]), torch.export.Dim("columns", min=2, max=64)
    program = torch.export.export(Cells(), (index, torch.zeros(3, 7)), dynamic_shapes=({}, {1: columns}))
    write_onnx(program, tmp_path / "cells.onnx", ("index", "heat"), ("column", "rest"))
    heat = torch.linspace(-9, 9, 15).view(3, 5)
    arrays = {"index": index.numpy(), "heat": heat.numpy()}
    column, rest = run_session(open_session(tmp_path / "cells.onnx"), arrays)
    assert column.tolist() == [1, 0, 0, 2, 3]
    np.testing.assert_allclose(rest, np.mod(heat.numpy().ravel(), 5), atol=1e-6)


def test_a_deformable_convolution(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layer = DeformableConv(torch.nn.Conv2d(4, 6, 3, padding=1), version=2).eval()
    torch.nn.init.normal_(layer.offset.weight, std=0.3)
    sides = {2: torch.export.Dim("height", min=2, max=64), 3: torch.export.Dim("width", min=2, max=64)}
    program = torch.export.export(layer, (torch.rand(1, 4, 8, 10),), dynamic_shapes=(sides,))
    write_onnx(program, tmp_path / "deformable.onnx", ("x",), ("y",))
    x = torch.rand(1, 4, 11, 7)
    (y,) = run_session(open_session(tmp_path / "deformable.onnx"), {"x": x.numpy()})
    np.testing.assert_allclose(y, layer(x).detach().numpy(), atol=1e-5)


class Bessel(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


def test_an_operator_that_onnx_does_not_have_is_named(tmp_path: Path) -> None:
    program = torch.export.export(Bessel(), (torch.rand(3),))
    with pytest.raises(ExportError, match=r"the operator \w+\.\w*bessel_j0\.default of this model: .{20}"):
        write_onnx(program, tmp_path / "bessel.onnx", ("x",), ("y",))


class FixedBatch(torch.nn.Module):
    """A model that computes with the batch as a fixed number."""

    def forward(self, pixels: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return sizes.expand(len(pixels), 2)


def test_a_model_of_one_batch_is_refused_with_the_remedy() -> None:
    inputs = torch.zeros(2, 3, 64, 96), torch.zeros(2, 2)
    with pytest.raises(ExportError, match=r"(?s)one program: .*batch.*\nWrite a file of one size instead"):
        capture(FixedBatch(), inputs, vary_size(32))
