"""Each model finds the labels that it learns from, or says which dataset has them before it is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import DictConfig

from lineage.config.build import ConfigError, build
from lineage.config.compose import compose_config
from lineage.config.default_dataset import add_default_dataset, read_default_datasets
from lineage.run.assemble import assemble
from lineage.run.checks import labels
from lineage.run.resolve import fill_keypoints, resolve
from lineage.run.task import check_task

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))


def compose_small(*overrides: str) -> DictConfig:
    return compose_config([*overrides, "dataset.train.length=2", "dataset.val.length=2"])


@pytest.mark.parametrize("model", MODELS)
def test_each_model_runs_on_the_dataset_that_it_comes_with(model: str) -> None:
    config = compose_small(*add_default_dataset([f"model={model}", "tier=smoke"]))
    requirements = list(labels.find_requirements(config))
    assert {*(config.model.get("heads") or {})} <= {one.key.rpartition(".")[2] for one in requirements}
    train = build(config.dataset.train)
    fill_keypoints(config, train)  # as `resolve` does before a run checks its labels
    check_task(config, train)
    labels.check_labels(config, train, build(config.dataset.val))
    assert {one.field for one in requirements} <= labels.find_labels(train)


def test_a_typed_dataset_or_row_wins() -> None:
    assert add_default_dataset(["seed=1", "model=panoptic_fpn", "--cfg", "job"]) == [
        "seed=1", "model=panoptic_fpn", "dataset=shapes_panoptic", "--cfg", "job",
    ]  # fmt: skip
    for typed in ("dataset=coco", "experiment=detectron2/panoptic_fpn/r50_fpn_1x", "resume=runs/a"):
        assert add_default_dataset(["model=panoptic_fpn", typed]) == ["model=panoptic_fpn", typed]
    assert add_default_dataset(["model=mask_rcnn"]) == ["model=mask_rcnn"]
    assert add_default_dataset(["-m", "model=panoptic_fpn,mask_rcnn"]) == ["-m", "model=panoptic_fpn,mask_rcnn"]
    assert {*read_default_datasets()} <= {*MODELS}


@pytest.mark.parametrize(("model", "dataset", "message"), [
    ("panoptic_fpn", "shapes", r"model.heads.semantic learns from semantic .*dataset=shapes has none.\n"
                               r"Choose .*dataset=shapes_panoptic \(drawn.*, coco_panoptic; .*model=mask_rcnn"),
])  # fmt: skip
def test_labels_that_a_dataset_lacks_are_named_before_the_model_is_built(
    model: str, dataset: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve(compose_small(f"model={model}", f"dataset={dataset}", "tier=smoke"))
    monkeypatch.setattr("lineage.run.assemble.build", lambda node, **_: pytest.fail("built") if "box" in node else node)
    monkeypatch.setattr("lineage.run.assemble.Augment", lambda **_: None)
    with pytest.raises(ConfigError, match=message):
        assemble(resolved)


@pytest.mark.parametrize(("model", "dataset", "part"), [
    ("keypoint_rcnn", "voc07", "model.heads.keypoint learns from keypoints, and dataset=voc07 has none"),
    ("panoptic_fpn", "coco", "semantic labels .*, and dataset=coco has none"),
])  # fmt: skip
def test_a_format_without_the_labels_is_refused_before_its_files_are_asked_for(
    model: str, dataset: str, part: str
) -> None:
    with pytest.raises(ConfigError, match=part):
        resolve(compose_config([f"model={model}", f"dataset={dataset}"]))
    with pytest.raises(Exception, match=r"dataset.root is not set"):
        resolve(compose_config(["model=faster_rcnn", f"dataset={dataset}"]))


def test_the_datasets_of_the_remedy_have_the_labels() -> None:
    assert {*labels.DATASETS} == {*labels.NAMES} == {*labels.MODELS}
    for field, (drawn, *others) in labels.DATASETS.items():
        assert field in labels.find_labels(build(compose_small(f"dataset={drawn}").dataset.train))
        assert all((CONF / "dataset" / f"{name}.yaml").is_file() for name in others)
        assert field not in {one.field for one in labels.find_requirements(
            compose_small(f"model={labels.MODELS[field]}"))}  # fmt: skip
