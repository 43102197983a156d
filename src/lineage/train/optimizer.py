"""Optimizers: SGD of the R-CNN papers, AdamW for small models from scratch.

Detectron gives weights, norm layers and biases their own weight decay, and biases (in the C4 and Caffe2 days) twice the
learning rate. With `layer_decay` below 1 the first layers of the body learn more slowly than the last (BEiT,
arXiv:2106.08254; 0.7 to 0.95 in ViTDet and ConvNeXt). With `offset_lr_factor` below 1 the filters that predict offsets
and modulations learn more slowly than others: 0.1 in Deformable ConvNets v2 (arXiv:1811.11168, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    layer_decay: float = 1.0,
    offset_lr_factor: float = 1.0,
) -> Optimizer:
    """Return SGD with momentum. Norm layers decay by `norm_decay`, biases by `bias_decay` at lr * bias_lr_factor."""
    weights, norms, biases = split_parameters(model)
    groups = [
        {"params": weights, "lr": lr, "weight_decay": weight_decay},
        {"params": norms, "lr": lr, "weight_decay": norm_decay},
        {"params": biases, "lr": lr * bias_lr_factor, "weight_decay": bias_decay},
    ]
    groups = _split_by_rate(groups, get_rate_factors(model, layer_decay, offset_lr_factor))
    return SGD(groups, lr=lr, momentum=momentum, fused=can_fuse(model))


def adamw(
    model: nn.Module,
    *,
    lr: float,
    betas: Sequence[float],
    weight_decay: float,
    layer_decay: float = 1.0,
    offset_lr_factor: float = 1.0,
) -> Optimizer:
    """Return AdamW (arXiv:1711.05101): decoupled weight decay, on weights only."""
    weights, norms, biases = split_parameters(model)
    groups = [
        {"params": weights, "lr": lr, "weight_decay": weight_decay},
        {"params": norms + biases, "lr": lr, "weight_decay": 0.0},
    ]
    first, second = betas
    groups = _split_by_rate(groups, get_rate_factors(model, layer_decay, offset_lr_factor))
    return AdamW(groups, lr=lr, betas=(first, second), fused=can_fuse(model))


def can_fuse(model: nn.Module) -> bool:
    """Return whether torch has one kernel for a step of all parameters on the model's device; of parts it has none."""
    parameters = list(model.parameters())
    is_sharded = any(hasattr(parameter, "full_tensor") for parameter in parameters)
    return not is_sharded and all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)


def get_rate_factors(model: nn.Module, layer_decay: float, offset_lr_factor: float) -> dict[nn.Parameter, float]:
    """Return the factors of the learning rates of parameters; those that are not listed have 1.

    Raises ValueError if layers of a body without order shall have rates of their own.
    """
    factors = get_layer_factors(model, layer_decay) if layer_decay != 1 else {}
    for module in model.modules():
        list_offset_parameters = getattr(module, "list_offset_parameters", None)  # of a deformable convolution
        if offset_lr_factor != 1 and list_offset_parameters is not None:
            for parameter in list_offset_parameters():
                factors[parameter] = factors.get(parameter, 1.0) * offset_lr_factor
    return factors


def get_layer_factors(model: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """Return the factors of the learning rates of the body's parameters; all others have 1.

    Of L layers from 0, the stem, layer l has layer_decay ** (L - l), as detectron2's get_vit_lr_decay_rate.
    Raises ValueError if the body has no order of layers.
    """
    list_layers = getattr(getattr(model, "backbone", None), "list_layers", None)
    if list_layers is None:
        body = type(getattr(model, "backbone", model)).__name__
        raise ValueError(
            f"optimizer.layer_decay={layer_decay:g}: {body} has no method list_layers, which orders layers"
        )
    layers = list_layers()
    return {
        parameter: layer_decay ** (len(layers) - number)
        for number, layer in enumerate(layers)
        for parameter in layer.parameters()
    }


def _split_by_rate(groups: list[dict[str, Any]], factors: Mapping[nn.Parameter, float]) -> list[dict[str, Any]]:
    """Split parameter groups by the factor of their rate, the largest first; leave out those without parameters."""
    split = []
    for group in groups:
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            by_factor.setdefault(factors.get(parameter, 1.0), []).append(parameter)
        for factor in sorted(by_factor, reverse=True):
            split.append({**group, "params": by_factor[factor], "lr": group["lr"] * factor})
    return split


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
