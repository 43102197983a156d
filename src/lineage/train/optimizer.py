"""Optimizers: SGD of the R-CNN papers, AdamW for small models from scratch.

Detectron gives weights, norm layers and biases their own weight decay, and biases (in the C4 and Caffe2 days) twice the
learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


def sgd(
    model: nn.Module,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    norm_decay: float,
    bias_lr_factor: float,
    bias_decay: float,
) -> Optimizer:
    """Return SGD with momentum. Norm layers decay by `norm_decay`, biases by `bias_decay` at lr * bias_lr_factor."""
    weights, norms, biases = split_parameters(model)
    groups = [
        {"params": weights, "lr": lr, "weight_decay": weight_decay},
        {"params": norms, "lr": lr, "weight_decay": norm_decay},
        {"params": biases, "lr": lr * bias_lr_factor, "weight_decay": bias_decay},
    ]
    return SGD([group for group in groups if group["params"]], lr=lr, momentum=momentum, fused=can_fuse(model))


def adamw(model: nn.Module, *, lr: float, betas: Sequence[float], weight_decay: float) -> Optimizer:
    """Return AdamW (arXiv:1711.05101): decoupled weight decay, on weights only."""
    weights, norms, biases = split_parameters(model)
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": norms + biases, "weight_decay": 0.0}]
    first, second = betas
    groups = [group for group in groups if group["params"]]
    return AdamW(groups, lr=lr, betas=(first, second), fused=can_fuse(model))


def can_fuse(model: nn.Module) -> bool:
    """Return whether torch has one kernel for a step of all parameters on the model's device."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())


def unfuse(optimizer: Optimizer) -> None:
    """Step parameter by parameter or in groups, not in one kernel: the only way to clip gradients in mixed precision.

    A fused step divides the gradients by the loss scale itself, so Lightning refuses to clip them before.
    """
    for options in (optimizer.defaults, *optimizer.param_groups):
        if options.get("fused"):
            options["fused"] = None
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]


def match_layouts(optimizer: Optimizer) -> None:
    """Give the optimizer's state the memory layout of its parameters: a checkpoint may come from another device."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Return (weights, parameters of norm layers, biases): each trainable parameter once, no frozen one."""
    weights, norms, biases = [], [], []
    visited: set[nn.Parameter] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in visited:
                continue
            visited.add(parameter)
            if isinstance(module, NORMS):
                norms.append(parameter)
            elif name.endswith("bias"):
                biases.append(parameter)
            else:
                weights.append(parameter)
    return weights, norms, biases
