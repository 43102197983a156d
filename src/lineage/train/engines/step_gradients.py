"""The gradients of a recorded step, written where the optimizer reads them.

Those of prepared weights (ops/layers/prepared_weights.py) are cast and scaled by one launch on their way to the
engine's buffers; some layers write there by themselves; the rest is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lineage.ops.layers.prepared_weights import PreparedWeights, lend_buffers

if TYPE_CHECKING:
    from lineage.ops.layers.prepared_weights_cuda import Casts


class StepGradients:
    """Computes gradients of parameters into buffers of their layouts."""

    def __init__(self, prepared: PreparedWeights, parameters: Sequence[Tensor], buffers: Sequence[Tensor]) -> None:
        self.parameters, self.buffers = parameters, buffers
        position = {id(parameter): index for index, parameter in enumerate(parameters)}
        uses = [use for use in prepared.list_trained() if id(use.weight) in position]
        self.positions = [position[id(use.weight)] for use in uses]  # of the leaves' parameters
        self.norms = [use.norm for use in uses]
        self.leaves = [prepared.prepared[id(use.weight)].weight for use in uses]
        self.casts = _reserve_casts([use.weight for use in uses])

    def compute(self, sums: Tensor, grad_sums: Tensor) -> list[Tensor | None]:
        """Fill the buffers; return them, None for parameters without a gradient. May be recorded."""
        others = set(range(len(self.buffers))).difference(self.positions)  # the launch overwrites those of leaves
        lent = {id(self.parameters[index]): self.buffers[index] for index in others}
        with lend_buffers(lent):
            results = torch.autograd.grad(sums, [*self.leaves, *self.parameters], grad_sums, allow_unused=True)
        cast = self._cast(results[: len(self.leaves)])
        grads = {index: grad for index, grad in enumerate(results[len(self.leaves) :]) if grad is not None}
        copied = {
            index: grad
            for index, grad in grads.items()
            if index not in cast and grad.data_ptr() != self.buffers[index].data_ptr()
        }
        if copied:
            torch._foreach_copy_([self.buffers[index] for index in copied], [*copied.values()])
        for index in cast.intersection(grads):  # a weight that is read in its own type as well
            self.buffers[index].add_(grads[index])
        return [buffer if index in cast or index in grads else None for index, buffer in enumerate(self.buffers)]

    def _cast(self, grads: Sequence[Tensor | None]) -> set[int]:
        """Write the gradients of prepared weights; return the positions of those that have one."""
        if self.casts is None:
            return set()
        from lineage.ops.layers.prepared_weights_cuda import Cast  # Triton loads only where there is a GPU

        casts = {
            index: Cast(_arrange(grad, self.buffers[index]), self.buffers[index], norm, None)
            for index, norm, grad in zip(self.positions, self.norms, grads, strict=True)
            if grad is not None
        }
        self.casts.plan([*casts.values()])
        if not (self.buffers[0].is_cuda and torch.cuda.is_current_stream_capturing()):
            self.casts.write_tables()
        self.casts.launch()
        return set(casts)

    def finish_recording(self) -> None:
        """Tell the recorded launch where the gradients are, and let later graphs have their memory."""
        if self.casts is not None:
            self.casts.write_tables()
            self.casts.plan([])


def _reserve_casts(weights: Sequence[Tensor]) -> Casts | None:
    """Reserve the tables that a launch reads, now and at each replay."""
    if not weights:
        return None
    from lineage.ops.layers.prepared_weights_cuda import Casts

    return Casts(weights)


def _arrange(grad: Tensor, like: Tensor) -> Tensor:
    """Return a gradient in the order of memory that `like` has."""
    strides = zip(grad.stride(), like.stride(), grad.shape, strict=True)
    if all(stride == expected for stride, expected, size in strides if size > 1):
        return grad
    return torch.empty_like(like, dtype=grad.dtype).copy_(grad)
