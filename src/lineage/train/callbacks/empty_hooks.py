"""A step without the calls that do nothing: hooks that nothing defines, and the profiler that measures nothing.

Lightning calls each hook of the module and of each callback in every step, defined or not, inside a context of its
profiler. It skips a hook that is not callable. It also inspects the signature of training_step in every step.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.profilers import PassThroughProfiler

STEP_HOOKS = (
    "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_train_batch_end",
)  # fmt: skip
NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"  # Lightning sets it when it is imported
NOTHING: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiler that returns one empty context; Lightning's makes a generator for each of its 50 contexts per step."""

    def profile(self, action_name: str) -> Any:
        return NOTHING


def simplify_steps(trainer: Trainer, module: LightningModule) -> None:
    """Leave out of the steps of a training what does nothing."""
    skip_empty_hooks(module, vars(trainer)["callbacks"])
    fix_step_arguments(trainer)
    skip_search_for_gpus()


def fix_step_arguments(trainer: Trainer) -> None:
    """Call training_step(batch, batch_idx) without a look at its signature."""
    vars(trainer.fit_loop.epoch_loop)["_build_kwargs"] = _build_arguments


def _build_arguments(arguments: OrderedDict[str, Any], batch: Any, batch_idx: int) -> OrderedDict[str, Any]:
    arguments |= {"batch": batch, "batch_idx": batch_idx}
    return arguments


def skip_empty_hooks(module: LightningModule, callbacks: Iterable[Callback]) -> None:
    """Set the hooks of a step that the module or a callback does not define to None."""
    _skip_inherited(module, LightningModule)
    for callback in callbacks:
        _skip_inherited(callback, Callback)


def _skip_inherited(instance: Any, parent: type) -> None:
    for name in STEP_HOOKS:
        if getattr(type(instance), name) is getattr(parent, name):
            vars(instance).setdefault(name, None)


def skip_search_for_gpus() -> None:
    """If this machine has no GPU, let torch count none without a search for NVML's library.

    Its optimizers count GPUs in every step, and a search takes 0.1 to 0.2 ms. Where there are GPUs, NVML counts them
    before CUDA starts, which lets processes fork.
    """
    if not torch.cuda.is_available():
        os.environ.pop(NVML_CHECK, None)
