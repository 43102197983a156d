"""Anchors, RoI layers and semantic heads that do not fit a model's maps are refused before training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.run.checks.levels import check_levels, evaluation_mode, measure_strides

SIX = "model.proposals.anchors.sizes=[[8],[16],[32],[64],[128],[256]]"
MAPS = r"the maps of this model have the strides \[4, 8, 16, 32, 64\]"


def build_model(*overrides: str) -> nn.Module:
    model: nn.Module = build(compose_config(["tier=smoke", "dataset.classes=3", *overrides]).model)
    return model


@pytest.mark.parametrize(("overrides", "message"), [
    ([SIX], "sizes are of 6 levels and strides of 5"),
    ([SIX, "model.proposals.anchors.strides=[4,8,16,32,64,128]"], rf"anchors.strides=.*128\], but {MAPS}"),
    (["model.proposals.anchors.sizes=[[8],[16]]"], "sizes are of 2 levels and strides of 5"),
    (["model.proposals.anchors.sizes=[[8],[16],[32],[64],[128]]", "model.proposals.anchors.strides=[8,16,32,64,128]"],
     rf"model.proposals.anchors.strides=\[8, .*{MAPS}"),
    (["model.proposals.anchors.sizes=[[8],[16],[32],[64],[128,256]]"], r"equal on all levels .*\[1, 1, 1, 1, 2\]"),
    (["model.proposals.anchors.sizes=[8,16,32,64,128]"], r"each level has a list of sizes"),
    (["model.proposals.anchors.aspect_ratios=[]"], "aspect_ratios 0"),
    (["model.proposals.anchors.aspect_ratios=[0,1]"], r"aspect_ratios=\[0, 1\] has 0: all must be above 0"),
    (["model.neck.top_block=null"], r"\[4, 8, 16, 32\], finest first"),
    (["model.neck.start_level=1"], r"model.proposals.anchors.strides=.*\[8, 16, 32, 64\], finest first"),
    (["model.box.pool.strides=[8,16,32]"], rf"model.box.pool.strides=\[8, 16, 32\], but {MAPS}"),
    (["model.heads.mask.pool.strides=[4,8,16,32,64,128]"], rf"model.heads.mask.pool.strides=.*{MAPS}"),
    (["model=panoptic_fpn", "model.heads.semantic.strides=[8,16,32]"], rf"model.heads.semantic.strides=.*{MAPS}"),
    (["model=retinanet", "model.head.anchors.strides=[8,16,32,64]"], r"model.head.anchors.strides=.*128\], finest"),
    (["model=rpn", "model.proposals.anchors.strides=[4,8,16]"], "sizes are of 5 levels and strides of 3"),
])  # fmt: skip
def test_strides_that_are_not_those_of_the_maps(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_levels(build_model(*overrides))


def test_fewer_levels_may_be_pooled() -> None:
    check_levels(build_model("model.box.pool.strides=[4,8]"))


def test_the_blank_image_leaves_the_model_as_it_was() -> None:
    model = build_model("model=mask_rcnn_v2")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    assert measure_strides(model) == (4, 8, 16, 32, 64)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert {name: module.training for name, module in model.named_modules()} == modes
    with evaluation_mode(model):
        assert not any(module.training for module in model.modules())
