"""A step without the calls that do nothing: hooks that no callback defines, and the profiler that measures nothing.

Lightning calls each hook of each callback in every step, defined or not, inside a context of its profiler. It skips a
hook that is not callable. It also inspects the signature of training_step in every step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.profilers import PassThroughProfiler

STEP_HOOKS = (
    "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_train_batch_end",
)  # fmt: skip
NOTHING: AbstractContextManager[None] = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiler that returns one empty context; Lightning's makes a generator for each of its 50 contexts per step."""

    def profile(self, action_name: str) -> Any:
        return NOTHING


def fix_step_arguments(trainer: Trainer) -> None:
    """Call training_step(batch, batch_idx) without a look at its signature."""
    vars(trainer.fit_loop.epoch_loop)["_build_kwargs"] = _build_arguments


def _build_arguments(arguments: OrderedDict[str, Any], batch: Any, batch_idx: int) -> OrderedDict[str, Any]:
    arguments |= {"batch": batch, "batch_idx": batch_idx}
    return arguments


def skip_empty_hooks(callbacks: Iterable[Callback]) -> None:
    """Set the hooks of a step that a callback does not define to None."""
    for callback in callbacks:
        for name in STEP_HOOKS:
            if getattr(type(callback), name) is getattr(Callback, name):
                vars(callback).setdefault(name, None)
