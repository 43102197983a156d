"""Verify that an exported file computes what the model does, on images where the model's answer is certain.

A detector decides: which of two scores is higher, whether an overlap is above a threshold, to which pixel a border is
rounded. Another runtime adds in another order, so a number differs in its last digit, and if a decision depends on that
digit, either answer is right. The model itself identifies such images: it runs again with its numbers perturbed in
their last digits. Images on which that changes the answer are left out; all others must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lineage.models.export.program import ExportError
from lineage.ops.boxes import take

REQUIRED_IMAGES = 4  # images that have to be equal
MAX_IMAGES = 24  # images that are tried until then
ROUNDS = 8  # perturbed runs per image; a decision between two is missed by all of them once in 256
NOISE = 1e-6  # relative: some of the last digits of a float32
TOLERANCE = 1e-4  # relative; of boxes, to the longer side of the image
SUMS = ("conv2d", "conv_transpose2d", "linear", "matmul", "__matmul__", "einsum")
RANKED = ("topk", "sort", "argsort")

Run = Callable[..., Sequence[Tensor]]
DrawInputs = Callable[[int], tuple[Tensor, ...]]  # seed -> inputs
Outputs = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Verification:
    max_difference: dict[str, float]  # relative, per output
    uncertain_images: int  # left out


@torch.no_grad()
def verify(
    model: nn.Module, run: Run, draw: DrawInputs, names: Sequence[str], tolerance: float = TOLERANCE
) -> Verification:
    """Compare a file with the model it came from.

    model: an ExportableDetector.
    run: runs the file.
    draw: seed -> inputs of both.
    names: outputs in their order.
    Raises ExportError if an answer differs by more than `tolerance` where the model is certain, or if it is certain on
    too few images.
    """
    worst, equal, uncertain = dict.fromkeys(names, 0.0), 0, 0
    for seed in range(MAX_IMAGES):
        inputs = draw(seed)
        expected = dict(zip(names, model(*inputs), strict=True))
        differences = compare_outputs(expected, dict(zip(names, run(*inputs), strict=True)), inputs)
        if max(differences.values()) <= tolerance:
            worst = {name: max(worst[name], differences[name]) for name in names}
            equal += 1
        elif is_certain(model, inputs, expected, tolerance):
            wrong = ", ".join(f"{name} by {value:.1e}" for name, value in differences.items() if value > tolerance)
            raise ExportError(f"the file computes something else than the model: {wrong}; it was not kept")
        else:
            uncertain += 1
        if equal == REQUIRED_IMAGES:
            return Verification(worst, uncertain)
    raise ExportError(
        f"the file cannot be compared: on {uncertain} of {MAX_IMAGES} images rounding decides what the model finds, as "
        "where scores are all alike; it was not kept. Train the model, or set what is acceptable: --tolerance"
    )


def is_certain(model: nn.Module, inputs: tuple[Tensor, ...], expected: Outputs, tolerance: float) -> bool:
    """Return whether the model's answer stays the same if its numbers are perturbed in their last digits."""
    for seed in range(ROUNDS):
        with Perturbation(seed):
            perturbed = dict(zip(expected, model(*inputs), strict=True))
        if max(compare_outputs(expected, perturbed, inputs).values()) > tolerance:
            return False
    return True


class Perturbation(TorchFunctionMode):
    """Adds relative noise to the results of sums and to ranked values, so that equal scores change their order."""

    def __init__(self, seed: int):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in RANKED:
            args = (self._add_noise(args[0]), *args[1:])
        result = function(*args, **(kwargs or {}))
        return self._add_noise(result) if name in SUMS else result

    def _add_noise(self, values: Tensor) -> Tensor:
        if not values.is_floating_point():
            return values
        return values * (1 + NOISE * torch.randn(values.shape, generator=self.generator))


def compare_outputs(expected: Outputs, actual: Outputs, inputs: Sequence[Tensor]) -> dict[str, float]:
    """Return the largest relative difference of each output."""
    longer_side = max(inputs[0].shape[-2:])
    aligned = align_slots(expected, actual)
    return {name: max_difference(name, value, aligned[name], longer_side) for name, value in expected.items()}


def align_slots(expected: Outputs, actual: Outputs) -> Outputs:
    """Order the slots of `actual` as in `expected`: the order of detections with equal scores is undefined."""
    order = torch.arange(expected["scores"].shape[1]).repeat(len(expected["scores"]), 1)
    for image in range(len(order)):
        # 1. distance of each pair of detections; infinite unless score and label are equal
        scores, labels, boxes = ((expected[name][image], actual[name][image]) for name in ("scores", "labels", "boxes"))
        equal = ((scores[0][:, None] - scores[1]).abs() < TOLERANCE) & (labels[0][:, None] == labels[1])
        distance = (boxes[0][:, None] - boxes[1]).abs().sum(-1).masked_fill(~equal, torch.inf)
        # 2. each takes the nearest that is free; if one finds none, the answer is another and keeps its order
        nearest = []
        for row in distance:  # a view: a column set to infinity below is infinite in the rows that follow
            nearest.append(int(row.argmin()))
            if not row.isfinite().any():
                break
            distance[:, nearest[-1]] = torch.inf
        else:
            order[image] = torch.tensor(nearest)
    return {name: value if name == "semantic" else take(value, order) for name, value in actual.items()}


def max_difference(name: str, expected: Tensor, actual: Tensor, longer_side: int) -> float:
    """Return the largest difference, relative to the image for coordinates. Labels and flags differ by 0 or 1."""
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        raise ExportError(f"{name} is {expected.dtype} {tuple(expected.shape)}, the file gives {actual.dtype} "
                          f"{tuple(actual.shape)}")  # fmt: skip
    if not expected.is_floating_point():
        return 0.0 if torch.equal(expected, actual) else 1.0
    unit = longer_side if name in ("boxes", "keypoints") else 1.0
    return float(((expected - actual).abs() / unit).max()) if expected.numel() else 0.0
