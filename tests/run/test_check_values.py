"""A value that its keyword cannot take is refused with its key, not by an error of Python or torch in a later step."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineage.config import validate
from lineage.config.build import ConfigError
from lineage.config.compose import compose_config
from lineage.run.assemble import assemble
from lineage.run.checks.values import check_values
from lineage.run.resolve import resolve

CONF = Path(__file__).parents[2] / "conf"
SMALL = ("tier=smoke", "dataset.train.length=2", "dataset.val.length=2", "dataset.classes=6")
GROUPS = ("backbone", "roi", "classification", "regression", "suppression", "optimizer", "sampling")


@pytest.mark.parametrize(("override", "message"), [
    ("model.neck=fpn", r"model.neck=fpn: neck is a node with a _target_, .* \+neck@model.neck=OPTION, and there is no"),
    ("model.box=cascade", r"the option cascade of the group box goes there as \+box@model.box=cascade"),
    ("model.box=null", "model.box=null: model is not built without; leave model.box=null out"),
    ("model.heads.mask=null", "remove it by ~model.heads.mask"),
    ("model.box.pool.size=abc", "model.box.pool.size=abc: size of Pooler is a whole number"),
    ("model.box.pool.size=7.5", "size of Pooler is a whole number"),
    ("model.box.pool.size=0", "size is 1 or more"),
    ("model.box.pool.strides=4", "strides of Pooler is a list"),
    ("model.box.class_agnostic=1", "class_agnostic of BoxHead is true or false"),
    ("model.sampler.batch_size_per_image=0", "batch_size_per_image is 1 or more"),
    ("model.proposals.matcher.bg_iou_thresh=0.3", "bg_iou_thresh of Matcher is a list of 2 numbers"),
    ("model.proposals.score_thresh=high", "score_thresh of RPN is a number or null"),
    ("model.box.bbox_reg_weights=[10,10]", "bbox_reg_weights are 4 numbers"),
    ("+model.box.nms_tresh=0.3", "BoxHead has no keyword nms_tresh. Did you mean model.box.nms_thresh?"),
    ("optimizer.betas=[0.9]", "betas are 2 numbers"),
    ("optimizer.weight_decay=-1", "weight_decay is 0 or more"),
    ("optimizer.weight_decay=null", "optimizer.weight_decay=null: weight_decay of adamw is a number"),
])  # fmt: skip
def test_a_value_of_another_type_is_refused_with_its_key(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_values(compose_config([*SMALL, override]))


@pytest.mark.parametrize(("override", "message"), [
    ("model.flow=spinet", "model.flow=spinet: flow of DVTSR is spynet, exact, exact_intermediate or none. Did you "
                          "mean spynet?"),
    ("model.loss=huber", "model.loss=huber: loss of DVTSR is l1 or l2"),
    ("model.flow=7", "model.flow=7: flow of DVTSR is spynet, exact, exact_intermediate or none"),
])  # fmt: skip
def test_a_value_that_is_no_choice_is_refused_with_the_choices(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_values(compose_config(["tier=smoke", "model=dvtsr", "dataset=moving_shapes", override]))
    assert str(refusal.value) == message


def test_a_cascade_has_weights_for_each_stage() -> None:
    """As cascade_rcnn/table3 sets them."""
    stages = "[[10,10,5,5],[20,20,10,10],[30,30,15,15]]"
    check_values(compose_config([*SMALL, "model=cascade_rcnn", f"model.box.bbox_reg_weights={stages}"]))


def test_a_rate_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"optimizer.lr=abc: optimizer.lr is a number"):
        validate.check(compose_config(["optimizer.lr=abc"]))


def test_a_number_of_classes_that_contradicts_the_dataset_is_refused() -> None:
    for head in ("box", "heads.mask"):
        with pytest.raises(ConfigError, match=rf"model.{head}.num_classes=3, but the dataset has 6 classes: disc"):
            assemble(resolve(compose_config([*SMALL, f"model.{head}.num_classes=3"])))


@pytest.mark.slow
@pytest.mark.parametrize("group", ["model", *GROUPS])
def test_every_option_has_values_that_its_keywords_take(group: str) -> None:
    for option in sorted(path.stem for path in (CONF / group).glob("*.yaml")):
        check_values(compose_config([*SMALL, f"{group}={option}"]))
