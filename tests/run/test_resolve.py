"""A config is resolved once: what a run records does not depend on how its parents were named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ReadonlyConfigError

from lineage.config import digests
from lineage.config.compose import compose_config
from lineage.run.assemble import assemble
from lineage.run.metadata import to_plain_config
from lineage.run.resolve import Resolved, resolve
from lineage.weights.pretrained import LATER

PANOPTIC = ("model=panoptic_fpn", "dataset=shapes_panoptic", "tier=smoke", "~dataset.stuff", "dataset.train.length=2",
            "dataset.val.length=2")  # fmt: skip


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """A dataset whose YAML does not count its semantic classes, as coco_panoptic."""
    return compose_config(list(PANOPTIC))


@pytest.fixture(scope="module")
def alone(composed: DictConfig) -> Resolved:
    return resolve(composed)


def test_a_parent_changes_nothing_that_is_recorded(composed: DictConfig, alone: Resolved, tmp_path: Path) -> None:
    torch.save(assemble(alone).model.state_dict(), tmp_path / "weights.pt")
    child = resolve(composed, {"weights": tmp_path / "weights.pt"})
    for one in (alone, child):
        assert one.recorded.dataset.stuff == 5
        assert one.recorded.model.heads.semantic.num_classes == 5
    assert digests.config_digest(to_plain_config(child.recorded)) == digests.config_digest(
        to_plain_config(alone.recorded)
    )
    assert child.recorded == alone.recorded
    assert child.config.weights == str(tmp_path / "weights.pt")
    assert assemble(child).model.heads["semantic"] is not None


def test_the_config_as_composed_stays_as_it_is(composed: DictConfig, alone: Resolved) -> None:
    assert composed == compose_config(list(PANOPTIC))
    assert composed.dataset.classes is None
    assert alone.config.dataset.classes == len(alone.train.meta.classes)


def test_a_resolved_config_is_never_changed(alone: Resolved) -> None:
    for config in (alone.config, alone.recorded):
        before = OmegaConf.to_yaml(config)
        with pytest.raises(ReadonlyConfigError):
            config.dataset.classes = 3
        assemble(alone)
        assert OmegaConf.to_yaml(config) == before


def test_the_backbone_waits_for_weights_of_the_whole_model(tmp_path: Path) -> None:
    small = ["tier=smoke", "dataset.train.length=2", "dataset.val.length=2"]
    assert resolve(compose_config(small)).config.backbone.weights is None
    path = tmp_path / "weights.pt"
    assert resolve(compose_config([*small, f"weights={path}"])).recorded.backbone.weights == LATER
    child = resolve(compose_config(small), {"weights": path})
    assert (child.config.backbone.weights, child.recorded.backbone.weights) == (LATER, None)
