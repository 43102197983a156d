"""A captured detector as ONNX, and the same numbers from ONNX Runtime.

`lineage::nms` becomes NonMaxSuppression. That operator keeps classes apart by a dimension of the scores, so groups
turn into it: a box scores only in its own group. Its indices are scattered back into flags, and shapes stay fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision  # noqa: F401  registers its operators
from numpy.typing import NDArray
from onnxscript import opset18
from torch.export import ExportedProgram

import lineage.ops.nms  # noqa: F401  registers the operator

OPSET = 18
op: Any = opset18  # its type variables do not know that a traced value is of the type it needs
ALL = 1 << 30  # more boxes than any model keeps


def nms_onnx(boxes: Any, groups: Any, valid: Any, threshold: float) -> Any:
    """boxes [R, K, 4] by falling score, groups [R, K], valid [R, K] -> [R, K] bool."""
    one = op.Constant(value_ints=[1])
    count = op.Add(op.ReduceMax(op.Reshape(groups, op.Constant(value_ints=[-1])), keepdims=1), one)
    classes = op.Range(op.Constant(value_int=0), op.Squeeze(count), op.Constant(value_int=1))
    mine = op.Equal(op.Unsqueeze(groups, one), op.Unsqueeze(classes, op.Constant(value_ints=[0, 2])))  # [R, G, K]
    mine = op.And(mine, op.Unsqueeze(valid, one))
    slots = op.Shape(boxes, start=1, end=2)
    falling = op.Cast(op.Range(op.Squeeze(slots), op.Constant(value_int=0), op.Constant(value_int=-1)), to=1)
    scores = op.Where(mine, op.Unsqueeze(falling, op.Constant(value_ints=[0, 1])), op.Constant(value_float=0.0))
    kept = op.NonMaxSuppression(
        boxes,
        scores,
        op.Constant(value_ints=[ALL]),
        op.Constant(value_floats=[threshold]),
        op.Constant(value_floats=[0.5]),  # real scores are 1 or more
    )
    places = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)  # (row, class, slot) -> (row, slot)
    ones = op.Expand(op.Constant(value_int=1), op.Shape(kept, start=0, end=1))
    none = op.Expand(op.Constant(value_int=0), op.Shape(valid))
    return op.Cast(op.ScatterND(none, places, ones), to=9)


def sort_onnx(values: Any, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """TopK of everything: among equals ONNX, too, keeps the order."""
    return op.TopK(values, op.Shape(values, start=dim, end=dim + 1 or None), axis=dim, largest=int(descending))


def roi_pool_onnx(values: Any, rois: Any, scale: float, height: int, width: int) -> Any:
    """MaxRoiPool counts as Caffe did, and so does torchvision; nobody reads the places of the maxima."""
    pooled = op.MaxRoiPool(values, rois, pooled_shape=[height, width], spatial_scale=scale)
    return pooled, op.Cast(pooled, to=6)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.lineage.nms.default: nms_onnx,
    torch.ops.aten.sort.stable: sort_onnx,
    torch.ops.torchvision.roi_pool.default: roi_pool_onnx,
}


def write(program: ExportedProgram, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Weights inside the file; checked by onnx's own checker."""
    made = torch.onnx.export(
        program,
        (),
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=list(outputs),
        custom_translation_table=TRANSLATIONS,
        external_data=False,
        verbose=False,
    )
    assert made is not None  # None is what the exporter before dynamo returned
    made.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(running: onnxruntime.InferenceSession, inputs: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    found: list[NDArray[np.generic]] = running.run(None, inputs)
    return found
