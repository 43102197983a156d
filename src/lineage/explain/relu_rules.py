"""Rules by which a signal passes a ReLU backwards: gradient, deconvnet (arXiv:1311.2901), guided (arXiv:1412.6806).

A residual block owns a single in-place nn.ReLU for all of its rectifications, and heads call F.relu, so that hooks on
modules are wrong or silent here. A TorchFunctionMode replaces the function itself, whoever calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

RULES = ("gradient", "deconvnet", "guided")
RELUS: tuple[Callable[..., Tensor], ...] = (torch.relu, torch.relu_, F.relu, Tensor.relu, Tensor.relu_)
OTHERS: tuple[Callable[..., Tensor], ...] = (
    F.hardswish, F.silu, F.gelu, F.leaky_relu, F.elu, F.mish, F.selu, F.prelu, torch.prelu, F.softplus
)  # fmt: skip


class UndefinedRule(ValueError):
    """The network has an activation for which deconvnet and guided backpropagation define nothing."""


class ReLURule(TorchFunctionMode):
    """Context in which ReLUs pass signals backwards by `rule`.

    gradient: R * [f > 0]. deconvnet: R * [R > 0]. guided: R * [f > 0] * [R > 0]. For ReLU6, f > 0 is 0 < f < 6.
    count: number of rectifications so far; with none, the rule has changed nothing.
    """

    def __init__(self, rule: str):
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule={rule} is unknown; choose one of {', '.join(RULES)}")
        self.rule, self.count = rule, 0

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in RELUS:
            return self._rectify(args[0] if args else kwargs["input"], math.inf)
        if function is F.relu6:
            return self._rectify(args[0] if args else kwargs["input"], 6.0)
        if function is F.hardtanh:
            x, low, high = _read_hardtanh(*args, **kwargs)
            if low == 0:
                return self._rectify(x, high)
        if function in OTHERS or function is F.hardtanh:
            raise UndefinedRule(
                f"{self.rule}: the network computes {function.__name__}, and the rule is defined for ReLU alone; "
                "choose gradient, integrated_gradients or grad_cam"
            )
        return function(*args, **kwargs)

    def _rectify(self, x: Tensor, limit: float) -> Tensor:
        self.count += 1
        return _Rectify.apply(x, limit, self.rule)


def _read_hardtanh(
    x: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> tuple[Tensor, float, float]:
    return x, min_val, max_val


class _Rectify(torch.autograd.Function):
    """min(max(x, 0), limit), whose backward pass follows a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float, rule: str) -> Tensor:
        ctx.save_for_backward(x)
        ctx.limit, ctx.rule = limit, rule
        return x.clamp(0, limit)

    @staticmethod
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        if ctx.rule != "deconvnet":
            signal = signal * ((x > 0) & (x < ctx.limit))
        if ctx.rule != "gradient":
            signal = signal.clamp(min=0)
        return signal, None, None
