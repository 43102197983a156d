"""A detector as a program of fixed shapes: pixels in, padded slots out, nothing of Python left.

Every step of `detect` keeps its shapes, so that all of it can be captured: normalisation, proposals, NMS, heads. One
operator is ours, `lineage::nms`. A program that runs without this package needs a replacement: `nms_in_torch` here is
its pure-torch equal, `nms_onnx` in onnx.py its ONNX equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.while_loop import while_loop
from torch.export import Dim, ExportedProgram

import lineage.ops.nms  # noqa: F401  registers the operator
from lineage.ops import boxes as box_ops
from lineage.structures import Detections, Images, Proposals

OUTPUTS = ("boxes", "scores", "labels", "valid", "masks", "keypoints", "semantic")
WITHOUT_SLOTS = ("valid", "semantic")  # outputs without empty slots to clear
LARGEST_BATCH, MIN_SIDE, LARGEST_SIDE = 256, 64, 4096  # of programs of any batch and size
INPUTS = ("pixels", "sizes", "proposals")  # the last is for models that take precomputed proposals


DynamicShapes = tuple[dict[int, Any], ...]


def vary_size(size_divisibility: int) -> DynamicShapes:
    """Return the dimensions of pixels and sizes that may vary: the batch, and sides that are multiples."""
    batch = Dim("batch", min=1, max=LARGEST_BATCH)
    smallest = max(1, MIN_SIDE // size_divisibility)
    height, width = (Dim(name, min=smallest, max=LARGEST_SIDE // size_divisibility) for name in ("height", "width"))
    if size_divisibility > 1:
        height, width = height * size_divisibility, width * size_divisibility
    return {0: batch, 2: height, 3: width}, {0: batch}


def find_smallest_side(program: ExportedProgram) -> int:
    """Return the smallest height and width of a program of any size: the coarsest map has two positions a side."""
    pixels = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name == "pixels")
    smallest = 1
    for side in pixels.meta["val"].shape[2:]:
        (symbol,) = side.node.expr.free_symbols
        lower = int(program.range_constraints[symbol].lower)
        smallest = max(smallest, int(side.node.expr.subs(symbol, lower)))
    return smallest


class ExportError(ValueError):
    """A model that cannot be exported, or whose file computes something else."""


class ExportableDetector(nn.Module):
    """(pixels [B, 3, H, W] uint8 RGB, sizes [B, 2] float32 height and width of the content) -> tuple of the outputs.

    Some models also take proposals [B, N, 4] float32 in canvas pixels, best first; a slot without a size is empty.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor, sizes: Tensor, proposals: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return the outputs in the order of OUTPUTS, those that the model has."""
        detections = self.model.detect(build_images(pixels, sizes, proposals))
        return tuple(
            value if name in WITHOUT_SLOTS else _clear_empty_slots(value, detections.valid)
            for name, value in list_outputs(detections)
        )


def build_images(pixels: Tensor, sizes: Tensor, proposals: Tensor | None = None) -> Images:
    """Convert the inputs of a program to the model's."""
    keys = sizes.new_zeros(sizes.shape[0], dtype=torch.int64)
    if proposals is None:
        return Images(pixels, sizes, keys)
    rank = torch.arange(proposals.shape[1], 0, -1, device=proposals.device).expand(proposals.shape[:2])
    return Images(pixels, sizes, keys, Proposals(proposals, rank.float(), box_ops.area(proposals) > 0))


def name_inputs(inputs: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the inputs of a program by name."""
    return dict(zip(INPUTS[: len(inputs)], inputs, strict=True))


def list_outputs(detections: Detections) -> list[tuple[str, Tensor]]:
    """Return (name, value) of the outputs that a model has, in the order of a program; those of new heads come last."""
    outputs = [(name, getattr(detections, name, None)) for name in OUTPUTS] + [*(detections.extra or {}).items()]
    return [(name, value) for name, value in outputs if value is not None]


@torch.no_grad()
def name_outputs(model: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """Run the model once and return the names of its outputs."""
    return [name for name, _ in list_outputs(model.detect(build_images(*inputs)))]


def _clear_empty_slots(value: Tensor, valid: Tensor) -> Tensor:
    """Set slots without an object to zero, so that equal programs give equal arrays."""
    return torch.where(valid.view(*valid.shape, *[1] * (value.dim() - 2)), value, torch.zeros_like(value))


@torch.no_grad()
def capture(
    detector: nn.Module, inputs: tuple[Tensor, ...], dynamic_shapes: DynamicShapes | None = None
) -> ExportedProgram:
    """Trace a detector. Raises ExportError, which names the line of the model that cannot be traced.

    dynamic_shapes: for each input the dimensions that may vary; None: all are those of `inputs`.
    """
    try:
        return torch.export.export(detector, inputs, dynamic_shapes=dynamic_shapes, strict=False)
    except Exception as error:  # torch.export raises dozens of types
        reason = str(error).strip().partition("\n")[0]
        remedy = "\nWrite a file of one size instead, such as --size 800x1088." if dynamic_shapes else ""
        raise ExportError(
            f"this model cannot be captured as one program: {type(error).__name__}: {reason}{remedy}"
        ) from error


def replace_own_operators(program: ExportedProgram) -> ExportedProgram:
    """Replace `lineage::nms` in a captured program by its pure-torch equal."""
    return program.run_decompositions({torch.ops.lineage.nms.default: nms_in_torch})


def nms_in_torch(boxes: Tensor, groups: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """Compute `lineage::nms` in torch alone.

    boxes [R, K, 4] by falling score, groups [R, K], valid [R, K] -> flags of the boxes that survive [R, K] bool

    A box survives unless a better survivor overlaps it. The rule is applied to all boxes at once and repeated until
    nothing changes: this is the greedy result, because the first k boxes are final after k rounds, usually after few.
    """
    other_group = groups[:, :, None] != groups[:, None, :]
    rank = torch.arange(boxes.shape[1], device=boxes.device)
    better = rank[:, None] < rank[None, :]
    iou = box_ops.iou(boxes, boxes).nan_to_num()
    suppresses = ((iou > threshold) & ~other_group & better).float()  # [R, better, worse]

    def has_changed(survivors: Tensor, before: Tensor, suppresses: Tensor, valid: Tensor) -> Tensor:
        return (survivors != before).any()

    def apply_rule(survivors: Tensor, before: Tensor, suppresses: Tensor, valid: Tensor) -> tuple[Tensor, ...]:
        suppressed = (survivors.float()[:, None, :] @ suppresses)[:, 0] > 0
        return valid & ~suppressed, survivors.clone(), suppresses.clone(), valid.clone()

    first = valid & ~((valid.float()[:, None, :] @ suppresses)[:, 0] > 0)
    return while_loop(has_changed, apply_rule, (first, valid.clone(), suppresses, valid.clone()))[0]
