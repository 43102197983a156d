"""Check that what a run does beside training and evaluation can be done with weights that are split over processes."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import WeightAveraging
from pytorch_lightning.strategies import FSDPStrategy, Strategy
from torch import nn

from lineage.config.build import ConfigError
from lineage.train.memory.sharding import ShardedStrategy

LATER = "trainer=fsdp splits the weights over processes, and {what} needs whole ones: train without it, then run {how}"


def check_sharding(strategy: Strategy, config: DictConfig, model: nn.Module, callbacks: Sequence[Callback]) -> None:
    """Raise ConfigError for FSDP1, and for what a sharded run cannot do."""
    if isinstance(strategy, FSDPStrategy):
        raise ConfigError(
            "trainer.strategy=fsdp is FSDP1, which does not take a module that runs twice in a step, as the head of an "
            "RPN does. trainer=fsdp is FSDP2"
        )
    if not isinstance(strategy, ShardedStrategy):
        return
    for key in ("dump_proposals", "dump_labels"):
        if config.get(key):
            again = f"evaluate_only=true weights=<run folder> {key}=true trainer=auto"
            raise ConfigError(LATER.format(what=f"{key}=true", how=again))
    if any(isinstance(callback, WeightAveraging) for callback in callbacks):
        how = "average_checkpoints, the mean of checkpoints (docs/recipes.md)"
        raise ConfigError(LATER.format(what="an average of the weights (callbacks=[ema])", how=how))
    if hasattr(getattr(model, "box", None), "fit"):
        raise ConfigError("trainer=fsdp: this model's box head is fitted after training, on whole weights: trainer=ddp")
