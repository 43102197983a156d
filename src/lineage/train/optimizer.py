"""Optimizers and the learning-rate schedule: SGD of the R-CNN papers, AdamW for small models from scratch.

Detectron gives weights, norm layers and biases their own weight decay, and biases (in the C4 and Caffe2 days) twice the
learning rate. The schedule is a pure function of the step: linear warm-up (Goyal et al., arXiv:1706.02677, 2.2), then a
drop by gamma at each milestone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

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
    fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    return SGD([group for group in groups if group["params"]], lr=lr, momentum=momentum, fused=fused)


def adamw(model: nn.Module, *, lr: float, betas: Sequence[float], weight_decay: float) -> Optimizer:
    """Return AdamW (arXiv:1711.05101): decoupled weight decay, on weights only."""
    weights, norms, biases = split_parameters(model)
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": norms + biases, "weight_decay": 0.0}]
    first, second = betas
    return AdamW([group for group in groups if group["params"]], lr=lr, betas=(first, second))


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


def get_lr_factor(step: int, milestones: Sequence[int], gamma: float, warmup_steps: int, warmup_factor: float) -> float:
    """Return the factor of the learning rate at a step, counted from 0."""
    decay = gamma ** bisect_right(milestones, step)
    if step >= warmup_steps:
        return decay
    return decay * (warmup_factor + (1 - warmup_factor) * step / warmup_steps)


def warmup_multistep(
    optimizer: Optimizer, *, milestones: Sequence[int], gamma: float, warmup_steps: int, warmup_factor: float
) -> LambdaLR:
    """Return the schedule: warm-up from warmup_factor * lr, then lr * gamma after each milestone."""
    milestones = sorted(milestones)
    return LambdaLR(optimizer, lambda step: get_lr_factor(step, milestones, gamma, warmup_steps, warmup_factor))
