"""A captured detector as ONNX, and the same numbers from ONNX Runtime.

`lineage::nms` becomes NonMaxSuppression. That operator separates classes by a dimension of the scores, so groups become
that dimension: a box has a score in its own group alone. The returned indices are scattered back into flags, so the
number of slots stays fixed.
"""

from __future__ import annotations

import re
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
from torch import Tensor
from torch.export import ExportedProgram
from torch.onnx import OnnxExporterError

from lineage.models.export.program import ExportError, name_inputs

OPSET = 18
DEFORMABLE_OPSET = 19  # the first that has DeformConv
op: Any = opset18  # its type variables do not match traced values
REMEDY = "A .pt2 file can, also with --size any; or write ONNX of one size, such as --size 800x1088."
ALL = 1 << 30  # more boxes than any model has


def nms_onnx(boxes: Any, groups: Any, valid: Any, threshold: float) -> Any:
    """boxes [R, K, 4] by falling score, groups [R, K], valid [R, K] -> flags of the survivors [R, K] bool."""
    # 1. scores [R, G, K]: falling from K to 1 in the group of a box, 0 in the others
    axis = op.Constant(value_ints=[1])
    count = op.Add(op.ReduceMax(op.Reshape(groups, op.Constant(value_ints=[-1])), keepdims=1), axis)
    classes = op.Range(op.Constant(value_int=0), op.Squeeze(count), op.Constant(value_int=1))
    in_group = op.Equal(op.Unsqueeze(groups, axis), op.Unsqueeze(classes, op.Constant(value_ints=[0, 2])))
    in_group = op.And(in_group, op.Unsqueeze(valid, axis))
    slots = op.Shape(boxes, start=1, end=2)
    falling = op.Cast(op.Range(op.Squeeze(slots), op.Constant(value_int=0), op.Constant(value_int=-1)), to=1)
    zero = op.Constant(value_float=0.0)
    scores = op.Where(in_group, op.Unsqueeze(falling, op.Constant(value_ints=[0, 1])), zero)
    # 2. suppress
    survivors = op.NonMaxSuppression(
        boxes,
        scores,
        op.Constant(value_ints=[ALL]),
        op.Constant(value_floats=[threshold]),
        op.Constant(value_floats=[0.5]),  # real scores are 1 or more
    )
    # 3. indices (row, class, slot) -> flags by (row, slot)
    indices = op.Gather(survivors, op.Constant(value_ints=[0, 2]), axis=1)
    ones = op.Expand(op.Constant(value_int=1), op.Shape(survivors, start=0, end=1))
    zeros = op.Expand(op.Constant(value_int=0), op.Shape(valid))
    return op.Cast(op.ScatterND(zeros, indices, ones), to=9)


def sort_onnx(values: Any, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """Sort by a TopK of everything; ONNX also keeps the order of equal values."""
    return op.TopK(values, op.Shape(values, start=dim, end=dim + 1 or None), axis=dim, largest=int(descending))


def roi_pool_onnx(values: Any, rois: Any, scale: float, height: int, width: int) -> Any:
    """Pool with MaxRoiPool, which rounds as Caffe and torchvision do. The positions of the maxima are unused."""
    pooled = op.MaxRoiPool(values, rois, pooled_shape=[height, width], spatial_scale=scale)
    return pooled, op.Cast(pooled, to=6)


def remainder_onnx(values: Any, divisor: Any) -> Any:
    """Return values modulo a number, which may be a size that varies; torch's translation takes fixed numbers only."""
    divisor = op.CastLike(divisor, values)
    if values.dtype.is_floating_point():
        return op.Sub(values, op.Mul(op.Floor(op.Div(values, divisor)), divisor))
    return op.Mod(values, divisor)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.lineage.nms.default: nms_onnx,
    torch.ops.aten.sort.stable: sort_onnx,
    torch.ops.aten.remainder.Scalar: remainder_onnx,
    torch.ops.torchvision.roi_pool.default: roi_pool_onnx,
}


def write_onnx(program: ExportedProgram, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Write one file with the weights inside, checked by onnx's own checker.

    Raises ExportError if ONNX has no equivalent of an operator.
    """
    try:
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=choose_opset(program),
            input_names=list(inputs),
            output_names=list(outputs),
            custom_translation_table=TRANSLATIONS,
            external_data=False,
            verbose=False,
        )
    except OnnxExporterError as error:
        raise ExportError(f"ONNX cannot express {_name_part(error)}: {_root_cause(error)}\n{REMEDY}") from error
    assert exported is not None  # the exporter before dynamo returned None
    exported.save(str(path), external_data=False)
    onnx.checker.check_model(str(path), full_check=True)


def choose_opset(program: ExportedProgram) -> int:
    """Return the version of ONNX's operators that a program needs."""
    deformable = torch.ops.torchvision.deform_conv2d.default
    return DEFORMABLE_OPSET if any(node.target == deformable for node in program.graph.nodes) else OPSET


def _name_part(error: BaseException) -> str:
    """Return the operator that the exporter could not translate; "this model" if its message does not name one."""
    operator = re.search(r"target=torch\.ops\.([\w.]+)", str(error.__cause__))
    return f"the operator {operator[1]} of this model" if operator else "this model"


def _root_cause(error: BaseException) -> str:
    """Return the first line of the innermost error; the exporter wraps it in pages of text."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a file on the CPU; 0 threads are as many as there are cores. Raises ExportError if it is damaged."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a dozen types
        raise ExportError(f"{path}: ONNX Runtime cannot open it ({_root_cause(error)})") from error


def run_session(
    session: onnxruntime.InferenceSession, inputs: dict[str, NDArray[np.generic]]
) -> list[NDArray[np.generic]]:
    outputs: list[NDArray[np.generic]] = session.run(None, inputs)
    return outputs


def load_onnx(path: Path) -> Callable[..., Sequence[Tensor]]:
    """Return a function that runs the file on tensors."""
    session = open_session(path)

    def run(*inputs: Tensor) -> list[Tensor]:
        arrays = {name: value.numpy() for name, value in name_inputs(inputs).items()}
        try:
            outputs = run_session(session, arrays)
        except Exception as error:  # the runtime has a dozen types
            shape = " x ".join(map(str, inputs[0].shape))
            raise ExportError(f"ONNX Runtime fails on {shape} pixels: {_root_cause(error)}\n{REMEDY}") from error
        return [torch.from_numpy(np.asarray(value)) for value in outputs]

    return run
