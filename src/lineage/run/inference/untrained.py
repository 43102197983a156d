"""A model of a config with random weights: how long an image takes hardly depends on what the weights are.

Only the number of boxes that suppression compares does, in models with proposals or anchors.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from lineage.config import digests
from lineage.config.allowed_targets import check_targets
from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.results.entry import Entry
from lineage.results.overrides import Override
from lineage.run.class_names import default_meta
from lineage.run.metadata import make_portable
from lineage.run.restore import Restored, join_parts
from lineage.run.task import check_detector
from lineage.weights.pretrained import LATER

NOTE = "random weights"
SEED = 0


def build_untrained(overrides: Sequence[str]) -> Restored:
    """Compose and build a model at its paper's size, unless an override names another tier.

    Raises ConfigError for a model of videos, or if the number of classes is that of a dataset which would be read.
    """
    config = compose_config([*_choose_tier(overrides), *overrides])
    OmegaConf.set_struct(config, False)
    check_targets(config.model, "model")
    check_detector(get_object(config.model._target_), "latency")
    if config.dataset.get("classes") is None:
        raise ConfigError("the number of classes is that of a dataset: add for example dataset.classes=80")
    torch.manual_seed(SEED)
    model = build(_leave_out_weights(config).model).eval()
    return join_parts(model, config, default_meta(config.dataset.classes), "")


def describe_untrained(restored: Restored, overrides: Sequence[str]) -> Entry:
    """Return what an entry of this model would say of itself: its row, its config, its size, and no result."""
    config = restored.config
    plain: Any = OmegaConf.to_container(config, resolve=True)
    parsed = [Override.parse(text) for text in overrides]
    return Entry(
        id="",
        table=config.cell.table,
        row=config.cell.row,
        tier=config.tier,
        status="finished",
        metrics={},
        deviations=[],
        seed=SEED,
        config_digest="",  # that of the entry counts
        cell_digest=_compute_cell_digest(config),
        evaluation_digest="",
        choices={override.key: override.value or "" for override in parsed if override.key.isidentifier()},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        parameters=sum(parameter.numel() for parameter in restored.model.parameters()),
        command=[],
        commit=None,
        dirty=False,
        note=NOTE,
        config=make_portable(plain),
    )


def _leave_out_weights(config: DictConfig) -> DictConfig:
    config = deepcopy(config)
    if config.get("backbone") and "weights" in config.backbone:
        config.backbone.weights = LATER
    return config


def _choose_tier(overrides: Sequence[str]) -> list[str]:
    """A row has a tier of its own."""
    keys = {Override.parse(text).key for text in overrides}
    return [] if keys & {"tier", "experiment"} else ["tier=paper"]


def _compute_cell_digest(config: DictConfig) -> str:
    """Return the digest of the row that a training by this config would fill."""
    return digests.cell_digest(digests.test_digest(config), digests.training_digest(config))
