"""Activation checkpointing (arXiv:1604.06174): the blocks of the body keep their input alone for the backward pass.

Each block is computed a second time when its gradients are due, with the same numbers. A block runs by a method `run`
(a residual block), `run_scaled` (one with stochastic depth), or forward; these methods are wrapped, on the block, so
that containers, names of parameters and checkpoints stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import nn
from torch.utils.checkpoint import checkpoint

METHODS = ("run", "run_scaled")


class NoCheckpointing(ValueError):
    """Error for a model whose blocks cannot be computed twice."""


class CheckpointedMethod:
    """A method of a block that keeps its arguments for the backward pass, and nothing that it computes."""

    def __init__(self, method: Callable[..., Any], *, draws: bool) -> None:
        self.method = method
        self.draws = draws  # from the global generator, as dropout does
        self.runs = 0

    def __call__(self, *arguments: Any) -> Any:
        self.runs += 1
        if not torch.is_grad_enabled():
            return self.method(*arguments)
        return checkpoint(self.method, *arguments, use_reentrant=False, preserve_rng_state=self.draws)


def checkpoint_blocks(model: nn.Module) -> dict[str, list[CheckpointedMethod]]:
    """Wrap the trained blocks of each body in the model; return their methods by the name of the block.

    A body orders its layers by `list_layers`. Raises NoCheckpointing if there is none, or if a norm of a block counts
    batches, which it would count twice.
    """
    names = {module: name for name, module in model.named_modules()}
    bodies = [module for module in names if hasattr(module, "list_layers")]
    if not bodies:
        raise NoCheckpointing(
            f"activation_checkpointing=true: no part of {type(model).__name__} has a method list_layers, which orders "
            "blocks; ResNet, ResNeXt, RegNet and MobileNet do"
        )
    layers = [layer for body in bodies for layer in select_blocks(body.list_layers())]
    blocks = [layer for layer in layers if any(parameter.requires_grad for parameter in layer.parameters())]
    for block in blocks:
        _refuse_batch_statistics(names[block], block)
    return {names[block]: _wrap(block) for block in blocks}


def select_blocks(layers: list[nn.Module]) -> list[nn.Module]:
    """Return the layers with a method of METHODS, or all if no layer has one: the stem beside them runs in pieces."""
    with_method = [layer for layer in layers if any(hasattr(layer, method) for method in METHODS)]
    return with_method or layers


def _refuse_batch_statistics(name: str, block: nn.Module) -> None:
    for part, module in block.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            raise NoCheckpointing(
                f"activation_checkpointing=true: {name}.{part} is a {type(module).__name__}, which would count each "
                "batch twice. Choose backbone.norm=frozen_bn or a group norm, such as backbone.norm=gn32"
            )


def _wrap(block: nn.Module) -> list[CheckpointedMethod]:
    draws = any(isinstance(module, nn.modules.dropout._DropoutNd) for module in block.modules())
    methods = [name for name in METHODS if hasattr(block, name)] or ["forward"]
    wrapped = {name: CheckpointedMethod(getattr(block, name), draws=draws) for name in methods}
    vars(block).update(wrapped)
    return list(wrapped.values())


class CheckBlocksRun(Callback):
    """Callback that raises NoCheckpointing after the first step if a wrapped block has not run by its methods."""

    def __init__(self, blocks: dict[str, list[CheckpointedMethod]]) -> None:
        self.blocks = blocks

    def on_train_batch_end(self, *_: Any) -> None:
        idle = [name for name, methods in self.blocks.items() if not any(method.runs for method in methods)]
        self.blocks = {}
        if idle:
            raise NoCheckpointing(
                f"activation_checkpointing=true: {', '.join(idle[:3])} did not run in the first step, or run by other "
                f"methods than {', '.join(METHODS)} and forward, so that nothing is saved"
            )
