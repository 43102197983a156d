"""Whether a file computes what the model does, on images where the model itself knows what it says.

A detector decides: which of two scores is higher, whether an overlap is above a threshold, which pixel a border is
rounded to. Another runtime adds in another order, so that a number differs in its last digit, and where a decision
hangs on that digit, either answer is right. The model itself tells such images: it is run again with its numbers moved
by as little. Images on which that changes the answer are left out, never those on which it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lineage.models.export.program import ExportError
from lineage.ops.boxes import take

CHECKED = 4  # images that have to be equal
DRAWN = 24  # images that are tried until then
ROUNDS = 8  # in which numbers of the model are moved; a decision between two is missed by all of them once in 256
MOVED = 1e-6  # relative: some of the last digits of a float32
TOLERANCE = 1e-4  # relative; of boxes, to the longer side of the image
SUMS = ("conv2d", "conv_transpose2d", "linear", "matmul", "__matmul__", "einsum")
RANKED = ("topk", "sort", "argsort")
Run = Callable[..., Sequence[Tensor]]
Draw = Callable[[int], tuple[Tensor, ...]]  # seed -> what goes in


class Checked(NamedTuple):
    differs: dict[str, float]  # the largest relative difference per output
    doubtful: int  # images that were left out


@torch.no_grad()
def compare(eager: nn.Module, run: Run, draw: Draw, names: Sequence[str], tolerance: float = TOLERANCE) -> Checked:
    """ExportError if an answer differs by more where the model is sure, or if it is sure of too few images."""
    found, equal, doubtful = dict.fromkeys(names, 0.0), 0, 0
    for seed in range(DRAWN):
        inputs = draw(seed)
        wanted = dict(zip(names, eager(*inputs), strict=True))
        apart = differences(wanted, dict(zip(names, run(*inputs), strict=True)), inputs)
        if max(apart.values()) <= tolerance:
            found, equal = {name: max(found[name], apart[name]) for name in names}, equal + 1
        elif sure(eager, inputs, wanted, tolerance):
            wrong = ", ".join(f"{name} by {value:.1e}" for name, value in apart.items() if value > tolerance)
            raise ExportError(f"the file computes something else than the model: {wrong}; it was not kept")
        else:
            doubtful += 1
        if equal == CHECKED:
            return Checked(found, doubtful)
    raise ExportError(
        f"the file cannot be compared: on {doubtful} of {DRAWN} images rounding decides what the model finds, as where "
        "scores are all alike; it was not kept. Train the model, or say what is acceptable: --tolerance"
    )


def sure(eager: nn.Module, inputs: tuple[Tensor, ...], wanted: dict[str, Tensor], tolerance: float) -> bool:
    """Whether the model gives the same answer when its numbers are moved in their last digits."""
    for seed in range(ROUNDS):
        with Moved(seed):
            again = dict(zip(wanted, eager(*inputs), strict=True))
        if max(differences(wanted, again, inputs).values()) > tolerance:
            return False
    return True


class Moved(TorchFunctionMode):
    """What sums give, and what is ranked, is moved at random: of equal scores another comes first."""

    def __init__(self, seed: int):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in RANKED:
            args = (self._moved(args[0]), *args[1:])
        found = function(*args, **(kwargs or {}))
        return self._moved(found) if name in SUMS else found

    def _moved(self, values: Tensor) -> Tensor:
        if not values.is_floating_point():
            return values
        return values * (1 + MOVED * torch.randn(values.shape, generator=self.generator))


def differences(wanted: dict[str, Tensor], given: dict[str, Tensor], inputs: Sequence[Tensor]) -> dict[str, float]:
    """The largest relative one of each output."""
    longer = max(inputs[0].shape[-2:])
    ordered = in_order(wanted, given)
    return {name: difference(name, value, ordered[name], longer) for name, value in wanted.items()}


def in_order(wanted: dict[str, Tensor], got: dict[str, Tensor]) -> dict[str, Tensor]:
    """The slots of `got` as in `wanted`: which of two detections with equal scores comes first is nobody's."""
    order = torch.arange(wanted["scores"].shape[1]).repeat(len(wanted["scores"]), 1)
    for image in range(len(order)):
        scores, labels, boxes = ((wanted[name][image], got[name][image]) for name in ("scores", "labels", "boxes"))
        equal = ((scores[0][:, None] - scores[1]).abs() < TOLERANCE) & (labels[0][:, None] == labels[1])
        apart = (boxes[0][:, None] - boxes[1]).abs().sum(-1).masked_fill(~equal, torch.inf)
        nearest = []
        for row in apart:  # a view: what is taken is taken for all
            nearest.append(int(row.argmin()))
            if not row.isfinite().any():
                break  # another answer, which stays as it is
            apart[:, nearest[-1]] = torch.inf
        else:
            order[image] = torch.tensor(nearest)
    return {name: value if name == "semantic" else take(value, order) for name, value in got.items()}


def difference(name: str, wanted: Tensor, given: Tensor, longer: int) -> float:
    if wanted.shape != given.shape or wanted.dtype != given.dtype:
        raise ExportError(f"{name} is {wanted.dtype} {tuple(wanted.shape)}, the file gives {given.dtype} "
                          f"{tuple(given.shape)}")  # fmt: skip
    if not wanted.is_floating_point():
        return 0.0 if torch.equal(wanted, given) else 1.0
    unit = longer if name in ("boxes", "keypoints") else 1.0
    return float(((wanted - given).abs() / unit).max()) if wanted.numel() else 0.0
