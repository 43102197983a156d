"""What the choices of a config become."""

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import lineage.config.schema  # noqa: F401  registers the schema
from lineage.config import digests
from lineage.config.build import ConfigError, build
from lineage.data.annotations.validate import DatasetError
from lineage.data.samples.metadata import DatasetMeta
from lineage.data.shapes.dataset import Shapes
from lineage.run.assemble import add_labels, assemble
from lineage.run.metadata import to_plain_config
from lineage.run.pseudo_label import open_unlabelled
from lineage.run.resolve import fill_classes, resolve
from lineage.weights.pretrained import WeightsError

CONF = Path(__file__).parents[2] / "conf"


def config(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize("option", [path.stem for path in (CONF / "trainer").glob("*.yaml")])
def test_the_options_of_trainer_compute_the_same(option: str) -> None:
    assert digests.config_digest(to_plain_config(config(f"trainer={option}"))) == digests.config_digest(
        to_plain_config(config())
    )


def test_the_model_gets_its_classes_from_the_dataset() -> None:
    small = config("dataset.train.length=4", "dataset.val.length=2")
    resolved = resolve(small)
    parts = assemble(resolved)
    assert resolved.config.dataset.classes == len(parts.data.train.meta.classes) == parts.model.box.num_classes
    assert small.dataset.classes is None  # as it was composed


def test_classes_that_contradict_the_dataset_are_refused() -> None:
    given = OmegaConf.create({"dataset": {"classes": 3}})
    with pytest.raises(ConfigError, match=r"dataset.classes=3, but the dataset has 2: cat, dog"):
        fill_classes(given, DatasetMeta(("cat", "dog"), (1, 2)), DatasetMeta(("cat", "dog"), (1, 2)))
    with pytest.raises(ConfigError, match="cat has the id 1 in train and 2 in val"):
        fill_classes(given, DatasetMeta(("cat", "dog"), (1, 2)), DatasetMeta(("dog", "cat"), (1, 2)))


def test_an_argument_that_does_not_exist_names_its_node() -> None:
    wrong = OmegaConf.create({"roi": {"_target_": "torch.nn.Conv2d", "widht": 3}})
    with pytest.raises(ConfigError, match=r"config node 'roi' cannot be built: TypeError: .*widht"):
        build(wrong.roi)


def test_losses_for_long_tails_learn_how_frequent_classes_are() -> None:
    small = config("classification=equalization", "dataset.train.length=4", "dataset.val.length=2")
    parts = assemble(resolve(small))
    images = [set(parts.data.train[i].labels.tolist()) for i in range(4)]
    expected = [sum(label in shown for shown in images) for label in range(len(parts.data.train.meta.classes))]
    assert parts.model.box.classification.counts.tolist() == expected
    assert parts.model.box.classification.images == 4


def test_labels_are_for_a_dataset_that_takes_them_and_for_training() -> None:
    small = ("model=keypoint_rcnn", "dataset.train.length=4", "dataset.val.length=2")
    with pytest.raises(ConfigError, match=r"dataset=shapes_figures is trained on its own labels, not on a.json"):
        assemble(resolve(config(*small, "dataset=shapes_figures", "+dataset.labels=a.json")))
    with pytest.raises(DatasetError, match=r"dataset.labels is not set"):
        assemble(resolve(config(*small, "dataset=shapes_figures_distilled", "sampling=ratio")))
    test = config(*small, "dataset=shapes_figures_distilled", "evaluate_only=true")
    assert isinstance(add_labels(test, Shapes(seed=1, length=4)), Shapes)  # needs none


def test_a_head_needs_labels_of_a_model_that_has_it(tmp_path: Path) -> None:
    """Boxes alone, as a Faster R-CNN leaves them."""
    figures = Shapes(seed=3, length=4, size=128, only=["figure"])
    truth = figures.ground_truth()
    boxes = {"annotations": [{**one, "keypoints": [], "segmentation": None} for one in truth["annotations"]]}
    (tmp_path / "labels.json").write_text(json.dumps(truth | boxes))
    labels = ("dataset=shapes_figures_distilled", "dataset.train.length=4", "dataset.val.length=2", "sampling=ratio",
              "dataset.distilled.min_keypoints=0", f"dataset.labels={tmp_path / 'labels.json'}")  # fmt: skip
    with pytest.raises(ConfigError, match=r"model.heads.keypoint cannot be trained on .*, which has no keypoints"):
        assemble(resolve(config("model=keypoint_rcnn", *labels)))
    with pytest.raises(ConfigError, match=r"model.heads.mask cannot be trained on .* its teacher has no mask head"):
        assemble(resolve(config("model=mask_rcnn", *labels)))
    assert len(assemble(resolve(config("model=faster_rcnn", *labels))).data.train) == 4 + 4


def test_images_to_label_are_those_of_the_dataset() -> None:
    with pytest.raises(ConfigError, match=r"dataset=shapes names no images without labels; dataset=coco_person_unlab"):
        open_unlabelled(config())
    assert len(open_unlabelled(config("dataset=shapes_figures_unlabelled", "dataset.unlabelled.length=3"))) == 3


def test_frozen_layers_need_weights_of_the_backbone_or_of_the_whole_model(tmp_path: Path) -> None:
    small = ("backbone=resnet18", "dataset.train.length=4", "dataset.val.length=2", "backbone.weights=null")
    with pytest.raises(WeightsError, match=r"backbone.norm=gn32 backbone.frozen_stages=0"):
        assemble(resolve(config(*small)))
    scratch = assemble(resolve(config(*small, "backbone.norm=bn", "backbone.frozen_stages=0")))
    torch.save(scratch.model.state_dict(), tmp_path / "whole.pt")
    parts = assemble(resolve(config(*small, f"weights={tmp_path / 'whole.pt'}")))
    assert not next(parts.model.backbone.parameters()).requires_grad
